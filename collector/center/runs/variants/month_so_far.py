# SPDX-License-Identifier: GPL-3.0-or-later
"""A running settlement for reading every morning: by service, compared with last month, and with a forecast.

Last month is compared over the same days. For the center or for one plant; read from the run's own files: nothing is
computed again but sums, and a plain extrapolation that is named as one.
"""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

from sqlalchemy import Connection

from collector.center.db.store import CenterStore
from collector.center.people.access import Actor
from collector.center.runs.asking.run_queue import AskedRun
from collector.center.runs.run_list import RUNNING, RunRow, list_runs, manifest_text
from collector.center.runs.settle_month import MadeRun
from collector.center.runs.stored_run import OpenedRun
from collector.center.runs.variants.running_month import ask_to_settle_running
from collector.model.interval import Month, parse_time_ms
from collector.report.words import SERVICES
from collector.settlement.statement import PlantRow

_FEN = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class ServiceSoFar:
    """A service up to the cut, in yuan. `unsettled`: lines without an amount, which are in no sum.

    `yesterday_yuan`: the change by the last day, None where a line had no amount; `estimate`: the change is of an
    estimate. `before_yuan`: the same days of the month before, None where they were not settled. `forecast_yuan`: the
    month if its other days are like these: amount × days of the month ÷ days over.
    """

    service: str
    amount_yuan: Decimal
    unsettled: int
    yesterday_yuan: Decimal | None
    estimate: bool
    before_yuan: Decimal | None
    forecast_yuan: Decimal


@dataclass(frozen=True, slots=True)
class UnitRates:
    """A unit's AGC in-service rate, 0..1, and its AVC orders up to the cut; None: never on grid, nothing judged."""

    plant: str
    unit: str
    agc_ratio: Fraction | None
    judged: int
    failed: int

    @property
    def avc_ratio(self) -> Fraction | None:
        """The share of passed among judged orders."""
        return Fraction(self.judged - self.failed, self.judged) if self.judged else None


@dataclass(frozen=True, slots=True)
class LeftSoFar:
    """The cost of one reason alone (never summed over reasons); `yuan` None: minutes only."""

    plant: str
    service: str
    reason: str
    minutes: str
    yuan: Decimal | None


@dataclass(frozen=True, slots=True)
class MonthSoFar:
    """A month up to the cut. `revenue_month`: its revenue gives the shares; `before`: the run compared with."""

    run: RunRow
    month: Month
    cut_ms: int
    elapsed_days: int
    revenue_month: str
    services: tuple[ServiceSoFar, ...]
    plants: tuple[PlantRow, ...]
    units: tuple[UnitRates, ...]
    left: tuple[LeftSoFar, ...]
    before: RunRow | None


def latest_running(connection: Connection, month: Month) -> RunRow | None:
    """The newest running settlement of a month up to its last sealed day, not one made for a comparison."""
    found = [each for each in list_runs(connection, month) if each.kind == RUNNING]
    return max(found, key=lambda each: (_elapsed(connection, each), each.id), default=None)


def same_days(connection: Connection, month: Month, elapsed_days: int) -> RunRow | None:
    """The newest running settlement of a month over its first `elapsed_days` days."""
    found = [each for each in list_runs(connection, month) if each.kind == RUNNING]
    return next((each for each in reversed(found) if _elapsed(connection, each) == elapsed_days), None)


def ask_same_days(
    store: CenterStore, made: MadeRun, *, rulebook: Path, actor: Actor, executor: str = ""
) -> AskedRun[MadeRun] | None:
    """Request a settlement of the same days of the month before, for comparison; None: there is one already.

    Raises:
        Denied: the actor may not settle.
    """
    assert made.statement.running is not None
    earlier = month_before(Month.parse(made.row.month))
    days = min(made.statement.running.elapsed_days, len(earlier.days))
    if store.read(lambda c: same_days(c, earlier, days)) is not None:
        return None
    last = earlier.days[days - 1]
    return ask_to_settle_running(store, earlier, rulebook=rulebook, actor=actor, executor=executor, last=last)


def month_before(month: Month) -> Month:
    """The month before a month."""
    return Month(month.year - (month.month == 1), (month.month - 2) % 12 + 1)


def _elapsed(connection: Connection, run: RunRow) -> int:
    return int(json.loads(manifest_text(connection, run.id)).get("running", {}).get("elapsed_days", 0))


def month_so_far(run: OpenedRun, before: OpenedRun | None, *, plant: str = "") -> MonthSoFar:
    """The month up to the cut of a run; of one plant where named."""
    said = run.manifest["running"]
    elapsed, of = int(said["elapsed_days"]), run.month
    earlier = None if before is None else _by_service(before, plant)
    changes = _changes(run, plant)
    return MonthSoFar(
        run=run.facts,
        month=of,
        cut_ms=parse_time_ms(said["cut"]),
        elapsed_days=elapsed,
        revenue_month="" if said["revenue_month"] == str(of) else said["revenue_month"],
        services=tuple(_services(run, plant, changes, earlier, Fraction(len(of.days), elapsed))),
        plants=tuple(row for row in run.plants if plant in ("", row.plant)),
        units=tuple(_rates(run, plant)),
        left=tuple(_left(run, plant)),
        before=None if before is None else before.facts,
    )


def _services(
    run: OpenedRun,
    plant: str,
    changes: dict[str, tuple[Decimal | None, bool]],
    earlier: dict[str, Decimal] | None,
    whole: Fraction,
) -> Iterator[ServiceSoFar]:
    sums = _by_service(run, plant)
    unsettled = Counter(n.service for n in run.lines if plant in ("", n.plant) and n.amount_yuan is None)
    for service in SERVICES:
        if service not in sums:
            continue
        amount = sums[service]
        change, estimate = changes.get(service, (None, False))
        before = None if earlier is None else earlier.get(service, Decimal("0.00"))
        forecast = (amount * whole.numerator / whole.denominator).quantize(_FEN, ROUND_HALF_UP)
        yield ServiceSoFar(service, amount, unsettled[service], change, estimate, before, forecast)


def _by_service(run: OpenedRun, plant: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = defaultdict(lambda: Decimal("0.00"))
    for line in run.lines:
        if plant in ("", line.plant):
            found[line.service] += line.amount_yuan or Decimal(0)
    return found


def _rows(run: OpenedRun, name: str) -> Iterable[dict[str, str]]:
    if f"{name}.csv" not in run.manifest["files"]:
        return []
    return csv.DictReader(run.statement_file(f"{name}.csv").decode("utf-8").splitlines())


def _changes(run: OpenedRun, plant: str) -> dict[str, tuple[Decimal | None, bool]]:
    """The change by the last day, by service; None where a line had no amount on one of the days."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in _rows(run, "yesterday"):
        if plant in ("", row["plant"]):
            found[row["service"]].append((row["change_yuan"], row["note"]))
    return {
        service: (
            None if any(not change for change, _ in rows) else sum((Decimal(c) for c, _ in rows), Decimal("0.00")),
            any(note for _, note in rows),
        )
        for service, rows in found.items()
    }


def _rates(run: OpenedRun, plant: str) -> Iterator[UnitRates]:
    hours: dict[str, dict[str, Fraction]] = defaultdict(dict)
    of: dict[str, str] = {}
    for row in _rows(run, "determinants"):
        if plant not in ("", row["plant"]):
            continue
        of[row["unit"]] = row["plant"]
        if row["determinant"] in ("t_AGC", "t_on_grid") and row["value"]:
            mine = hours[row["unit"]]
            mine[row["determinant"]] = mine.get(row["determinant"], Fraction(0)) + Fraction(row["value"])
    verdicts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in _rows(run, "avc_orders"):
        verdicts[row["unit"]][row["verdict"]] += 1
    for unit, owner in sorted(of.items()):
        on, agc = hours[unit].get("t_on_grid"), hours[unit].get("t_AGC", Fraction(0))
        failed = verdicts[unit]["failed"]
        yield UnitRates(owner, unit, agc / on if on else None, failed + verdicts[unit]["passed"], failed)


def _left(run: OpenedRun, plant: str) -> Iterator[LeftSoFar]:
    """The rows of the plant, or of every plant, without the totals of areas."""
    for row in _rows(run, "left_totals"):
        if row["plant"] and plant in ("", row["plant"]):
            yuan = Decimal(row["amount_yuan"]) if row["amount_yuan"] else None
            yield LeftSoFar(row["plant"], row["service"], row["reason"], row["minutes"], yuan)
