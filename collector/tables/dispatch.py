# SPDX-License-Identifier: GPL-3.0-or-later
"""The short tables of the dispatching side, row by row.

They are orders, reserves and their calls, exclusions, revenue, rates, meter changes, price table. The other cells of a
row with a refused cell are checked too, so that one pass finds every mistake; such a row is not in the result.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from operator import attrgetter
from typing import Any, Final, Generic, NamedTuple, TypeVar

from collector.base.text import tr
from collector.model.dispatch import (
    Exclusion,
    ExclusionReason,
    MeterChange,
    Order,
    OrderKind,
    Rate,
    Reserve,
    ReserveCall,
    ReserveKind,
    ReserveMinimum,
    Revenue,
    RevenueKind,
    StartStopRow,
)
from collector.model.interval import Month, format_time
from collector.model.register import PlantState, RevenueBasis
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings, nearest
from collector.sheets.grid import Field, ParsedRow, having, open_grid, parse_rows
from collector.tables.cells import (
    choice_of,
    one_of,
    parse_analog,
    parse_counter,
    parse_day,
    parse_id,
    parse_instant,
    parse_money,
    parse_month,
    parse_number,
    parse_ratio,
)
from collector.tables.limits import PowerLimits
from collector.tables.register import RegisterFile

Values = Mapping[str, Any]
_Number = TypeVar("_Number", Decimal, int)

_KINDS_OF_BASIS: Final[Mapping[RevenueBasis, frozenset[RevenueKind]]] = {
    RevenueBasis.ON_GRID: frozenset({RevenueKind.ENERGY}),
    RevenueBasis.LEASE: frozenset({RevenueKind.LEASE}),
    RevenueBasis.TWO_PART: frozenset({RevenueKind.ENERGY, RevenueKind.CAPACITY}),
}
_UNIT: Final = Field("unit", parse_id)
_START: Final = Field("start", parse_instant)
_END: Final = Field("end", parse_instant)


def _kilo(text: str) -> int:
    return parse_analog(text, 1000)


def _register(text: str) -> int:
    return parse_counter(text, 1_000_000)


def _text(text: str) -> str:
    return text


def read_orders(delivered: Delivered, units: Collection[str] | None, findings: Findings) -> tuple[Order, ...]:
    """orders.csv: ids unique, orders of one unit and kind without overlap."""
    fields = (Field("id", parse_id), _UNIT, Field("kind", choice_of(OrderKind)), _START, _END)
    rows = _rows(delivered, fields, units, findings)
    _check_unique(delivered.name, "id", ((row, (v["id"],)) for row, v in having(rows, ["id"])), findings)
    _check_overlap(delivered.name, rows, findings)
    return tuple(Order(v["id"], v["unit"], v["kind"], v["start"], v["end"]) for _, v in _whole(rows, fields))


def read_reserves(
    delivered: Delivered, units: Collection[str] | None, findings: Findings, limits: PowerLimits | None = None
) -> tuple[Reserve, ...]:
    """reserve.csv: rows of one unit and kind without overlap; power not negative, nor beyond `limits`."""
    fields = (_UNIT, Field("kind", choice_of(ReserveKind)), _START, _END, Field("power_mw", _kilo, filled=False))
    rows = _rows(delivered, fields, units, findings)
    _check_reserves(delivered.name, rows, findings)
    _check_power(delivered.name, rows, limits, findings)
    _check_overlap(delivered.name, rows, findings)
    whole = _whole(rows, fields)
    return tuple(Reserve(v["unit"], v["kind"], v["start"], v["end"], v["power_mw"]) for _, v in whole)


def read_exclusions(
    delivered: Delivered, units: Collection[str] | None, services: Collection[str], findings: Findings
) -> tuple[Exclusion, ...]:
    """exclusions.csv: `service` is one of `services` or `*`; rows may overlap, their union counts."""
    fields = (
        _UNIT,
        Field("service", one_of({*services, "*"})),
        _START,
        _END,
        Field("reason", choice_of(ExclusionReason)),
        Field("note", _text, required=False, filled=False),
    )
    rows = _whole(_rows(delivered, fields, units, findings), fields)
    return tuple(
        Exclusion(v["unit"], v["service"], v["start"], v["end"], v["reason"], v["note"] or "") for _, v in rows
    )


def read_revenue(delivered: Delivered, known: RegisterFile, findings: Findings) -> tuple[Revenue, ...]:
    """revenue.csv: known plants, kinds of the plant's basis, one row per plant, month, kind and area."""
    fields = (
        Field("plant", parse_id),
        Field("month", parse_month),
        Field("kind", choice_of(RevenueKind)),
        Field("amount_yuan", parse_money, filled=False),
        Field("area", parse_id, required=False, filled=False),
    )
    grid = open_grid(delivered, findings)
    rows = parse_rows(grid, fields, findings) if grid else []
    keys: list[tuple[int, tuple[str, ...]]] = []
    for row, v in rows:
        area = _check_revenue(delivered.name, row, v, known, findings)
        if area is not None:
            keys.append((row, (v["plant"], v["month"], v["kind"].value, area)))
    _check_unique(delivered.name, "plant", keys, findings)
    whole = _whole(rows, fields)
    return tuple(Revenue(v["plant"], v["month"], v["kind"], v["amount_yuan"], v["area"]) for _, v in whole)


def _check_revenue(file: str, row: int, v: Values, known: RegisterFile, findings: Findings) -> str | None:
    """The area of the row, empty where it can't be determined; None where a cell needed for it was refused."""
    for key, ids in (("area", known.areas), ("plant", known.plants)):
        if v.get(key) and ids is not None and v[key] not in ids:
            message = tr(
                "unknown {key} {id!r}: not in register.toml{hint}", key=key, id=v[key], hint=nearest(v[key], ids)
            )
            findings.add(file, row, key, message, kind=f"unknown {key}")
    if not having([(row, v)], ["plant", "month", "kind", "area"]):
        return None
    plants = known.register.plants if known.register else ()
    states = _states_in(plants, v["plant"], Month.parse(v["month"]))
    if not states:
        return str(v["area"] or "")
    kinds = frozenset[RevenueKind]().union(*(_KINDS_OF_BASIS[state.revenue_basis] for state in states))
    if v["kind"] not in kinds:
        bases = "/".join(sorted({state.revenue_basis.value for state in states}))
        wanted = ", ".join(sorted(kind.value for kind in kinds))
        message = tr(
            "{value!r} is foreign to plant {plant} ({bases}); it takes {wanted}",
            value=v["kind"].value,
            plant=v["plant"],
            bases=bases,
            wanted=wanted,
        )
        findings.add(file, row, "kind", message, kind="foreign kind")
    return str(v["area"] or states[-1].area)


def area_unsaid(states: Iterable[PlantState], plant: str, month: str) -> str:
    """The area for which revenue without an area is settled: the plant's last one of the month; "" if unknown."""
    found = _states_in(states, plant, Month.parse(month))
    return found[-1].area if found else ""


def _states_in(states: Iterable[PlantState], plant: str, month: Month) -> list[PlantState]:
    """The plant's states in the month, in order of time; all its states where none touches it (it is then not used)."""
    mine = sorted((state for state in states if state.id == plant), key=lambda state: state.from_day or date.min)
    first, after = month.first_day, month.next().first_day
    touching = [s for s in mine if (not s.from_day or s.from_day < after) and (not s.until_day or s.until_day > first)]
    return touching or mine


def read_rates(delivered: Delivered, units: Collection[str] | None, findings: Findings) -> tuple[Rate, ...]:
    """rates.csv: delivered rates, one per unit, month and kind, between 0 and 1."""
    fields = (
        _UNIT,
        Field("month", parse_month),
        Field("kind", one_of({"avc_pass"})),
        Field("value", parse_ratio, filled=False),
        Field("source", _text, required=False, filled=False),
    )
    rows = _rows(delivered, fields, units, findings)
    key = ("unit", "month", "kind")
    keys = ((row, tuple(v[name] for name in key)) for row, v in having(rows, key))
    _check_unique(delivered.name, "unit", keys, findings)
    whole = _whole(rows, fields)
    return tuple(Rate(v["unit"], v["month"], v["kind"], v["value"], v["source"] or "") for _, v in whole)


def read_meter_changes(
    delivered: Delivered, units: Collection[str] | None, findings: Findings
) -> tuple[MeterChange, ...]:
    """meter_changes.csv: one per unit and instant."""
    fields = (
        _UNIT,
        Field("time", parse_instant),
        Field("old_final_mwh", _register),
        Field("new_initial_mwh", _register),
        Field("document", _text, required=False, filled=False),
    )
    rows = _rows(delivered, fields, units, findings)
    keys = ((row, (v["unit"], format_time(v["time"]))) for row, v in having(rows, ("unit", "time")))
    _check_unique(delivered.name, "time", keys, findings)
    return tuple(
        MeterChange(v["unit"], v["time"], v["old_final_mwh"], v["new_initial_mwh"], v["document"] or "")
        for _, v in _whole(rows, fields)
    )


def read_reserve_calls(
    delivered: Delivered, units: Collection[str] | None, findings: Findings, limits: PowerLimits | None = None
) -> tuple[ReserveCall, ...]:
    """reserve_calls.csv: one per unit, kind and instant; power not negative, nor beyond `limits`."""
    fields = (
        _UNIT,
        Field("kind", choice_of(ReserveKind)),
        Field("called", parse_instant),
        Field("power_mw", _kilo, filled=False),
        Field("note", _text, required=False, filled=False),
    )
    rows = _rows(delivered, fields, units, findings)
    _check_reserves(delivered.name, rows, findings)
    _check_power(delivered.name, rows, limits, findings, at="called")
    key = ("unit", "kind", "called")
    keys = ((row, (v["unit"], v["kind"].value, format_time(v["called"]))) for row, v in having(rows, key))
    _check_unique(delivered.name, "called", keys, findings)
    whole = _whole(rows, fields)
    return tuple(ReserveCall(v["unit"], v["kind"], v["called"], v["power_mw"], v["note"] or "") for _, v in whole)


def read_reserve_minimum(
    delivered: Delivered, areas: Collection[str] | None, findings: Findings
) -> tuple[ReserveMinimum, ...]:
    """reserve_minimum.csv: known areas, rows of one area without overlap, power not negative."""
    fields = (
        Field("area", parse_id),
        _START,
        _END,
        Field("power_mw", _kilo, required=False, filled=False),
    )
    rows = _rows(delivered, fields, areas, findings, of="area")
    _check_reserves(delivered.name, rows, findings)
    _check_overlap(delivered.name, rows, findings, ("area",))
    return tuple(ReserveMinimum(v["area"], v["start"], v["end"], v["power_mw"]) for _, v in _whole(rows, fields))


def read_start_stop_table(delivered: Delivered, findings: Findings) -> tuple[StartStopRow, ...]:
    """start_stop_table.csv: half-open in capacity and gap, no amount below 0; rows of one `from` may not overlap."""
    numbers = ("capacity_from_mw", "capacity_to_mw", "gap_from_h", "gap_to_h")
    fields = (
        *(Field(name, parse_number) for name in numbers),
        # Money like revenue: the same whole fen and the same limit, in 万元.
        Field("amount_wan_yuan", partial(parse_money, unit_yuan=10_000)),
        Field("from", parse_day),
        Field("document", _text, required=False, filled=False),
    )
    grid = open_grid(delivered, findings)
    rows = parse_rows(grid, fields, findings) if grid else []
    for low, high in (("capacity_from_mw", "capacity_to_mw"), ("gap_from_h", "gap_to_h")):
        for row, v in having(rows, (low, high)):
            if v[low] >= v[high]:
                findings.add(delivered.name, row, high, tr("is not above {low}", low=low))
    for row, v in having(rows, ("amount_wan_yuan",)):
        if v["amount_wan_yuan"] < 0:  # a plant would pay for what it was asked to do, and the pool be below zero
            findings.add(delivered.name, row, "amount_wan_yuan", tr("a compensation is not negative"))
    boxes: dict[date, list[Box[Decimal]]] = defaultdict(list)
    for row, v in having(rows, (*numbers, "from")):
        boxes[v["from"]].append(Box(row, *(v[name] for name in numbers)))
    overlaps = {row: other for same_day in boxes.values() for row, other in find_overlaps(same_day).items()}
    for row, other_row in sorted(overlaps.items()):
        message = tr(
            "capacity and gap overlap row {other_row} of the same date; one pair must have one amount",
            other_row=other_row,
        )
        findings.add(delivered.name, row, "capacity_from_mw", message, kind="overlap")
    return tuple(
        StartStopRow(
            **{name: v[name] for name in (*numbers, "amount_wan_yuan")},
            from_day=v["from"],
            document=v["document"] or "",
        )
        for _, v in _whole(rows, fields)
    )


class Box(NamedTuple, Generic[_Number]):
    """Capacities [from, to) and gaps [from, to) of a row of the table."""

    row: int
    capacity_from: _Number
    capacity_to: _Number
    gap_from: _Number
    gap_to: _Number


def find_overlaps(boxes: Iterable[Box[_Number]]) -> dict[int, int]:
    """Rows that overlap an earlier one in capacity and gap, each with one such row; n rows take n log n comparisons.

    A row that overlaps only rows already reported is not reported itself. A row whose capacities or gaps end before
    they begin overlaps none.
    """
    found: dict[int, int] = {}
    proper = [box for box in boxes if box.capacity_from < box.capacity_to and box.gap_from < box.gap_to]
    leaving = sorted(proper, key=attrgetter("capacity_to"))
    here: list[Box[_Number]] = []  # rows whose capacities include the present one, by gap; no two of them overlap
    left = 0
    for box in sorted(proper, key=attrgetter("capacity_from")):
        while leaving[left].capacity_to <= box.capacity_from:
            _remove(here, leaving[left])
            left += 1
        at = bisect_right(here, box.gap_from, key=attrgetter("gap_to"))
        while at < len(here) and here[at].gap_from < box.gap_to:
            later, earlier = max(box.row, here[at].row), min(box.row, here[at].row)
            found.setdefault(later, earlier)
            if later == box.row:
                break
            del here[at]
        else:
            here.insert(at, box)
    return found


def _remove(here: list[Box[_Number]], box: Box[_Number]) -> None:
    """Remove a row from the list if it is there; of two overlapping rows one never was."""
    at = bisect_left(here, box.gap_from, key=attrgetter("gap_from"))
    if at < len(here) and here[at].row == box.row:
        del here[at]


# ---- what these tables share ---------------------------------------------------------------------------------------


def _rows(
    delivered: Delivered,
    fields: Sequence[Field],
    known: Collection[str] | None,
    findings: Findings,
    *,
    of: str = "unit",
) -> list[ParsedRow]:
    """Parse the rows of a table of units or areas; unknown ids and impossible intervals are reported."""
    grid = open_grid(delivered, findings)
    rows = parse_rows(grid, fields, findings) if grid else []
    unknown: dict[str, list[int]] = defaultdict(list)
    for row, v in having(rows, [of]):
        if known is not None and v[of] not in known:
            unknown[v[of]].append(row)
    for row, v in having(rows, ["start", "end"]):
        if v["start"] >= v["end"]:
            findings.add(delivered.name, row, "end", tr("is not after start"))
    for name, places in unknown.items():
        message = tr(
            "unknown {key} {id!r}: not in register.toml{hint}", key=of, id=name, hint=nearest(name, known or ())
        )
        findings.add(delivered.name, places[0], of, message, kind=f"unknown {of}", count=len(places))
    return rows


def _check_reserves(file: str, rows: Iterable[ParsedRow], findings: Findings) -> None:
    for row, v in having(rows, ["power_mw"]):
        if v["power_mw"] is not None and v["power_mw"] < 0:
            findings.add(file, row, "power_mw", tr("a reserve is not negative"))


def _check_power(
    file: str, rows: Iterable[ParsedRow], limits: PowerLimits | None, findings: Findings, *, at: str = ""
) -> None:
    """Check powers against the limits, over their interval or, where there is none, at the instant `at`."""
    first, last = (at, at) if at else ("start", "end")
    if limits is None:
        return
    for row, v in having(rows, {"unit", first, last, "power_mw"}):
        until = v[last] + 1 if at else v[last]
        if v["power_mw"] is not None and (message := limits.problem(v["unit"], v[first], until, v["power_mw"])):
            findings.add(file, row, "power_mw", message, kind="beyond")


def _whole(rows: Iterable[ParsedRow], fields: Sequence[Field]) -> list[ParsedRow]:
    """The rows without a refused cell whose interval, if any, starts before it ends."""
    whole = having(rows, (field.name for field in fields))
    return [(row, v) for row, v in whole if "start" not in v or v["start"] < v["end"]]


def _check_unique(file: str, column: str, keys: Iterable[tuple[int, tuple[str, ...]]], findings: Findings) -> None:
    seen: dict[tuple[str, ...], int] = {}
    for row, key in keys:
        if key in seen:
            text = ", ".join(part for part in key if part)
            findings.add(
                file,
                row,
                column,
                tr("{text} is there twice, first in row {seen}", text=text, seen=seen[key]),
                kind="duplicate",
            )
        else:
            seen[key] = row


def _check_overlap(
    file: str, rows: Iterable[ParsedRow], findings: Findings, of: Sequence[str] = ("unit", "kind")
) -> None:
    groups: dict[Hashable, list[tuple[int, int, int]]] = defaultdict(list)
    for row, v in having(rows, (*of, "start", "end")):
        if v["start"] < v["end"]:
            groups[tuple(v[name] for name in of)].append((v["start"], v["end"], row))
    for spans in groups.values():
        spans.sort()
        _, longest_end, longest_row = spans[0]
        for start, end, row in spans[1:]:
            if start < longest_end:
                message = tr(
                    "from {time} overlaps row {longest_row} of the same {what}",
                    time=format_time(start),
                    longest_row=longest_row,
                    what=tr("unit and kind") if len(of) > 1 else tr("area"),
                )
                findings.add(file, row, "start", message, kind="overlap")
            if end > longest_end:
                longest_end, longest_row = end, row
