# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a written statement beside what the slow reference says of them, figure by figure."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from collector.model.interval import Month
from collector.report.folder import write_statement
from collector.settlement.rulebook.load import Rulebook, load_rulebook
from collector.settlement.settle import settle
from collector.tables.folder import load_folder
from tests.reference.agc_rows import commands, quarter_hours
from tests.reference.evidence import find_evidence
from tests.reference.filled import fill
from tests.reference.folder import read_folder
from tests.reference.left import left_on_table
from tests.reference.measured import Case
from tests.reference.model import FOREVER
from tests.reference.order_rows import StartStop, avc_orders, start_stops
from tests.reference.regulation import SERVICES
from tests.reference.reserves import arrived_ms, planned_at
from tests.reference.reserves import changes as reserve_changes
from tests.reference.settle import Result, settle_data, settle_reference, settle_running
from tests.reference.times import local_day, local_midnight, month_span
from tests.settlement.consistency import assert_consistent, read_tables

RULES = Path(__file__).resolve().parents[2] / "config" / "rules" / "east-china-trial"
_BOOK = load_rulebook(RULES)
LOCAL = timezone(timedelta(hours=8))
HOUR_MS = 3_600_000
Rows = list[dict[str, str]]


def tables_only(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Spreads the writing of a statement over nobody, and leaves its page and its workbook out."""
    for item in items:
        yield "" if isinstance(item, str) and item.endswith((".html", ".xlsx")) else work(item)


def written(folder: Path, month: str, out: Path, book: Rulebook = _BOOK) -> dict[str, Rows]:
    """The CSV files of the statement that the program writes of a folder, by name."""
    write_statement(settle(Month.parse(month), load_folder(folder), book), out, spread=tables_only)
    return read_tables(out)


def revised_book(root: Path, first_day: str) -> Rulebook:
    """The example revision of the rule (config/rules/example-revision) as if it were in force from another day."""
    for name in (RULES.name, "example-revision"):
        (root / name).mkdir(parents=True)
        for file in sorted((RULES.parent / name).glob("*.toml")):
            text = file.read_text(encoding="utf-8")
            text = text.replace("2026-06-16", first_day) if name != RULES.name else text
            (root / name / file.name).write_text(text, encoding="utf-8")
    return load_rulebook(root / "example-revision")


def number(cell: str) -> Decimal | None:
    """A cell as a number; empty is None."""
    return Decimal(cell) if cell else None


def sixth(value: Fraction | int | None) -> Decimal | None:
    """A value as it is written, to six decimals, a half away from zero."""
    if value is None:
        return None
    exact = Fraction(value) * 1_000_000
    size = (2 * abs(exact.numerator) + exact.denominator) // (2 * exact.denominator)
    return (Decimal(size if exact >= 0 else -size) / 1_000_000).quantize(Decimal("0.000001"), ROUND_HALF_UP)


def instant(cell: str) -> int | None:
    """A written time as UTC ms; empty is None."""
    if not cell:
        return None
    moment = datetime.fromisoformat(cell)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def day_of(ms: int) -> str:
    """The local date of an instant."""
    return datetime.fromtimestamp(ms / 1000, LOCAL).date().isoformat()


def equal(what: str, found: Any, expected: Any) -> int:
    """1 figure that agrees.

    Raises:
        AssertionError: it does not.
    """
    assert found == expected, f"{what}: the statement says {found}, the reference {expected}"
    return 1


def same_keys(what: str, found: Iterable[Any], expected: Iterable[Any]) -> None:
    """Both sides have the same rows.

    Raises:
        AssertionError: they have not; it names those that only one has.
    """
    one, other = set(found), set(expected)
    assert one == other, (
        f"{what}: only in the statement {sorted(one - other, key=str)[:5]}, "
        f"only in the reference {sorted(other - one, key=str)[:5]}"
    )


class Compared:
    """Counts what agreed, by file."""

    def __init__(self) -> None:
        self.figures: dict[str, int] = defaultdict(int)
        self.held: set[tuple[str, bool]] = set()  # services whose bounds were held, and whether at own fault

    def month(
        self,
        folder: Path,
        month: str,
        out: Path,
        rng: random.Random,
        *,
        running: bool = False,
        revised: bool = False,
        fills: int = 1,
    ) -> Result:
        """Settle a folder twice and compare every file that the reference knows.

        Args:
            rng: Draws what missing time turns out to be, to hold the bounds.
            running: Also while it ran, after the first day that has registered units.
            fills: How often missing time is drawn.
            revised: By the example revision, in force from the second day that has registered units.
        """
        book, since = _BOOK, FOREVER
        if revised:
            since = min(max(one.start, month_span(month).start) for one in read_folder(folder).units) + 24 * HOUR_MS
            book = revised_book(out.with_name("rules"), day_of(since))
        expected = settle_reference(folder, month, revised=since)
        files = written(folder, month, out, book)
        assert_consistent(files)
        for name, compare in FILES.items():
            self.figures[name] += compare(expected, files)
        for _ in range(fills):
            self.figures["bounds"] += bounds(expected, files, rng, self.held)
        if running:
            pieces = [piece for case in expected.cases.values() for piece in case.all_slices if piece.state is not None]
            first = min(piece.start for piece in pieces)
            cut = local_midnight(local_day(first)) + 24 * HOUR_MS
            self.figures["running"] += run_on(folder, month, expected, cut, out.with_name("running"), book)
        return expected


# ---- one function per file ---------------------------------------------------------------------------------------


def lines(expected: Result, files: dict[str, Rows]) -> int:
    """lines.csv without its bounds."""
    rows = {(row["area"], row["plant"], row["unit"], row["service"]): row for row in files["lines"]}
    same_keys("the lines", rows, ((x["area"], x["plant"], x["unit"], x["service"]) for x in expected.lines))
    agreed = 0
    for line in expected.lines:
        row = rows[line["area"], line["plant"], line["unit"], line["service"]]
        name = f"{line['unit']} {line['service']} "
        agreed += equal(name + "article", row["article"], line["article"])
        agreed += equal(name + "quantity", number(row["quantity"]), sixth(line["quantity"]))
        agreed += equal(name + "coverage", number(row["coverage"]), sixth(line["coverage"]))
        agreed += equal(name + "amount", number(row["amount_yuan"]), line["amount_yuan"])
        agreed += equal(name + "status", (row["status"], row["reason"]), (line["status"], line["reason"]))
        agreed += equal(name + "provisional", row["provisional"], "1" if line["provisional"] else "0")
    return agreed


def plants(expected: Result, files: dict[str, Rows]) -> int:
    """plants.csv."""
    rows = {(row["area"], row["plant"]): row for row in files["plants"]}
    same_keys("the plants", rows, ((x["area"], x["plant"]) for x in expected.plants))
    agreed = 0
    for plant in expected.plants:
        row = rows[plant["area"], plant["plant"]]
        for column in ("compensation_yuan", "revenue_yuan", "allocation_yuan", "net_yuan"):
            agreed += equal(f"{plant['plant']} {column}", number(row[column]), plant[column])
        agreed += equal(f"{plant['area']} {plant['plant']} status", row["status"], plant["status"])
    return agreed


def avc(expected: Result, files: dict[str, Rows]) -> int:
    """avc_orders.csv; a reason is one of those that hold."""
    agreed = 0
    rows = {(row["unit"], instant(row["time"])): row for row in files["avc_orders"]}
    told = [order for case in expected.cases.values() if _has_avc(case) for order in avc_orders(case)]
    same_keys("the AVC orders", rows, ((x.unit, x.time) for x in told))
    for order in told:
        row = rows[order.unit, order.time]
        name = f"AVC order {order.unit} {row['time']} "
        agreed += equal(name + "target", number(row["target_kv"]), sixth(Fraction(order.target_v, 1000)))
        agreed += equal(name + "previous", number(row["previous_kv"]), sixth(Fraction(order.previous_v, 1000)))
        agreed += equal(name + "verdict", row["verdict"], order.verdict)
        if order.reasons:
            assert row["reason"] in order.reasons, (name, row, order)
        agreed += equal(name + "judged at", instant(row["judged_at"]), order.judged_at)
        volts = None if order.voltage_v is None else Fraction(order.voltage_v, 1000)
        agreed += equal(name + "voltage", number(row["voltage_kv"]), sixth(volts))
        if order.verdict != "not_judged":
            band = None if order.band_v is None else order.band_v / 1000
            agreed += equal(name + "band", number(row["band_kv"]), sixth(band))
    return agreed


def _has_avc(case: Case) -> bool:
    """Whether the unit has an AVC line: else its targets are nobody's orders."""
    return any(piece.state is not None and piece.state.unit.avc for piece in case.all_slices)


def stops(expected: Result, files: dict[str, Rows]) -> int:
    """start_stops.csv."""
    agreed = 0
    rows: dict[tuple[str, str, str], Rows] = defaultdict(list)
    for row in files["start_stops"]:
        rows[row["unit"], row["service"], row["order"]].append(row)
    told = {
        (unit, x.service, x.order.id): (case, x) for unit, case in expected.cases.items() for x in start_stops(case)
    }
    same_keys("the start-stop orders", rows, told)
    for key, (case, order) in told.items():
        agreed += _start_stop(key, rows[key], order, case.span)
    return agreed


def _start_stop(key: tuple[str, str, str], rows: Rows, order: StartStop, span: Any) -> int:
    agreed = 0
    name = f"start-stop {key} "
    timed = [row for row in rows if row["stopped_from"]]
    seen = {(one.a, one.b, one.c, one.d): one for one in order.inside}
    for row in timed:
        a, b, c, d = (instant(row[x]) for x in ("stopped_from", "stopped_to", "started_from", "started_to"))
        assert (a, b, c, d) in seen, f"{name}: {row} is not among the certain ones {list(seen)}"
        one = seen[a, b, c, d]  # type: ignore[index]
        agreed += equal(name + "gap", number(row["gap_h"]), sixth(Fraction(one.d - one.b, HOUR_MS)))
        here = span.start <= one.d < span.end
        if row["verdict"] in ("paid", "pending"):
            agreed += equal(name + "what is paid", one, order.paid)
            agreed += equal(name + "pending", row["verdict"] == "pending", order.pending)
        elif row["verdict"] == "excluded":
            agreed += equal(name + "excluded", one in order.excluded, True)
        elif row["verdict"] == "repeated":
            assert one != order.paid or not here, f"{name}: {row} is paid by the reference"
            agreed += 1
        elif row["verdict"] == "none":
            if row["reason"] == "other_month":
                agreed += equal(name + "used in another month", (one, here), (order.paid, False))
            else:
                agreed += equal(name + "why none", (row["reason"], one in order.usable), ("not_registered", False))
        else:
            raise AssertionError(f"{name}: {row}")
    if order.paid is not None and span.start <= order.paid.d < span.end:
        agreed += equal(name + "paid once", len([r for r in timed if r["verdict"] in ("paid", "pending")]), 1)
    verdicts = {row["verdict"] for row in rows}
    agreed += equal(name + "uncertain", "uncertain" in verdicts, order.possible)
    return agreed


def quarters(expected: Result, files: dict[str, Rows]) -> int:
    """agc_quarter_hours.csv; a reason is one of those that hold."""
    agreed = 0
    rows = {(row["unit"], instant(row["start"])): row for row in files["agc_quarter_hours"]}
    told = [quarter for case in expected.cases.values() for quarter in quarter_hours(case)]
    same_keys("the quarter hours", rows, ((x.unit, x.start) for x in told))
    for quarter in told:
        if quarter.exclusions_differ:
            continue
        row = rows[quarter.unit, quarter.start]
        name = f"quarter hour {quarter.unit} {row['start']} "
        counted = quarter.counted_ms > 0
        sums = {"plan_mwh": quarter.plan, "actual_mwh": quarter.actual, "net_mwh": quarter.net}
        mwh = {column: sixth(Fraction(value, 1000 * HOUR_MS)) if counted else None for column, value in sums.items()}
        for column, value in mwh.items():
            agreed += equal(name + column, number(row[column]), value)
        if counted and quarter.net:
            agreed += equal(name + "class", row["class"], "up" if quarter.net > 0 else "down")
        elif not counted:
            assert row["class"] in quarter.rest, (name, row, quarter)
        if quarter.rest:
            assert row["reason"] in quarter.reasons, (name, row, quarter)
        else:
            agreed += equal(name + "reason", row["reason"], "")
    return agreed


def agc_commands(expected: Result, files: dict[str, Rows]) -> int:
    """agc_commands.csv."""
    agreed = 0
    rows = {(row["unit"], instant(row["start"])): row for row in files["agc_commands"]}
    told = [command for case in expected.cases.values() for command in commands(case)]
    same_keys("the AGC commands", rows, ((x.unit, x.start) for x in told))
    for command in told:
        row = rows[command.unit, command.start]
        name = f"AGC command {command.unit} {row['start']} "
        agreed += equal(name + "from", number(row["from_mw"]), sixth(Fraction(command.from_kw, 1000)))
        agreed += equal(name + "to", number(row["to_mw"]), sixth(Fraction(command.to_kw, 1000)))
        if command.told is not None:
            response, rate, accuracy, reason = command.told
            agreed += equal(name + "reason", row["reason"], reason)
            seconds = None if response is None else Fraction(response, 1000)
            agreed += equal(name + "response", number(row["response_s"]), sixth(seconds))
            agreed += equal(name + "rate", number(row["rate_mw_per_min"]), sixth(rate))
            agreed += equal(name + "accuracy", number(row["accuracy_mw"]), sixth(accuracy))
    return agreed


def meter(expected: Result, files: dict[str, Rows]) -> int:
    """meter_days.csv."""
    agreed = 0
    rows = {(row["unit"], row["day"]): row for row in files["meter_days"]}
    same_keys("the meter days", rows, ((day.unit, day_of(day.start)) for day in expected.meter_days))
    for day in expected.meter_days:
        row = rows[day.unit, day_of(day.start)]
        name = f"meter {day.unit} {row['day']} "
        agreed += equal(name + "verdict", (row["verdict"], row["reason"]), (day.verdict, day.reason))
        agreed += equal(name + "telemetry", number(row["telemetry_mwh"]), sixth(day.telemetry))
        agreed += equal(name + "meter", number(row["meter_mwh"]), sixth(day.meter))
        agreed += equal(name + "ratio", number(row["difference_ratio"]), sixth(day.ratio))
    return agreed


def frequency(expected: Result, files: dict[str, Rows]) -> int:
    """primary_frequency.csv."""
    case = next(iter(expected.cases.values()))
    evidence = find_evidence(case.folder, case.month)
    told = [(unit, x.start, x.end, *map(sixth, (x.actual_mwh, x.theoretical_mwh, x.ratio)))
            for unit, (_, found) in sorted(evidence.items()) for x in found]  # fmt: skip
    columns = ("actual_mwh", "theoretical_mwh", "ratio")
    rows = [
        (row["unit"], instant(row["start"]), instant(row["end"]), *(number(row[column]) for column in columns))
        for row in files["primary_frequency"]
    ]
    same_keys("the excursions", rows, told)
    equal("the excursions", rows, told)
    return 3 * len(rows)


def ledger(expected: Result, files: dict[str, Rows]) -> int:
    """ledger.csv: a plant is credited its compensation, debited its allocation, against a pool that sums to 0."""
    agreed = 0
    posted: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    gross: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for row in files["ledger"]:
        for side, sign in (("credit_yuan", 1), ("debit_yuan", -1)):
            posted[row["area"], row["plant"]] += sign * Decimal(row[side])
            gross[row["area"], row["plant"], side] += Decimal(row[side])
    for plant in expected.plants:
        key = plant["area"], plant["plant"]
        open_pool = plant["net_yuan"] is None
        agreed += equal(f"the account of {key}", posted[key], Decimal(0) if open_pool else plant["net_yuan"])
        agreed += equal(
            f"the credit of {key}", gross[*key, "credit_yuan"], Decimal(0) if open_pool else plant["compensation_yuan"]
        )
    for area in {plant["area"] for plant in expected.plants}:
        agreed += equal(f"the pool of {area}", posted[area, ""], Decimal(0))
    return agreed


def summary(expected: Result, files: dict[str, Rows]) -> int:
    """summary.csv: the lines by area and service."""
    agreed = 0
    paid: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    units: dict[tuple[str, str], set[str]] = defaultdict(set)
    whole: dict[str, Decimal] = defaultdict(Decimal)
    for line in expected.lines:
        if line["amount_yuan"] is not None:
            paid[line["area"], line["service"]] += line["amount_yuan"]
            whole[line["area"]] += line["amount_yuan"]
            if line["status"] == "paid":
                units[line["area"], line["service"]].add(line["unit"])
    rows = {(row["area"], row["service"]): row for row in files["summary"] if row["service"]}
    for line in expected.lines:
        key = line["area"], line["service"]
        row = rows[key]
        agreed += equal(f"summary {key} paid", number(row["compensation_yuan"]), paid.get(key))
        agreed += equal(f"summary {key} units", int(row["units"]), len(units[key]))
        if whole[key[0]] and row["share"]:
            agreed += equal(
                f"summary {key} share", number(row["share"]), sixth(Fraction(paid[key]) / Fraction(whole[key[0]]))
            )
    return agreed


def bounds(expected: Result, files: dict[str, Rows], rng: random.Random, held: set[tuple[str, bool]]) -> int:
    """Whatever the missing time turns out to be, each amount lies between low_yuan and high_yuan.

    Args:
        held: Gets the services of lines with bounds, and whether own fault is among their time.
    """
    agreed = 0
    case = next(iter(expected.cases.values()))
    data = case.folder
    truth = settle_data(fill(data, case.month, rng), case.month)
    rows = {(row["area"], row["plant"], row["unit"], row["service"]): row for row in files["lines"]}
    faulty = {
        (row["area"], row["plant"], row["unit"], row["service"])
        for row in files["determinants"]
        if number(row["own_fault_s"])
    }
    for line in truth.lines:
        key = line["area"], line["plant"], line["unit"], line["service"]
        row, true = rows[key], line["amount_yuan"]
        if true is None or row["status"] == "pending":
            continue
        low, high, amount = (number(row[x]) for x in ("low_yuan", "high_yuan", "amount_yuan"))
        if row["low_yuan"] or row["high_yuan"]:
            held.add((line["service"], key in faulty))
            inside = (low is None or low <= true) and (high is None or true <= high)
            assert inside, (
                f"{key}: filled it comes to {true} ({line['quantity']}), not in [{low}, {high}] about {amount}"
            )
        elif row["status"] != "blocked":
            equal(f"{key} without bounds, filled", amount, true)
        agreed += 1
    return agreed


TOLD = ("agc_off", "avc_off", "order_failed", "above_gate", "own_fault")


def left(expected: Result, files: dict[str, Rows]) -> int:
    """left_on_table.csv: what the reasons cost that the reference knows, and what missing time costs by the bounds."""
    agreed = 0
    rows = {(row["unit"], row["service"], row["reason"]): row for row in files["left_on_table"]}
    written_lines: dict[tuple[str, str], Rows] = defaultdict(list)
    for row in files["lines"]:
        written_lines[row["unit"], row["service"]].append(row)
    for service in SERVICES:
        for unit, case in expected.cases.items():
            mine = written_lines[unit, service.id]
            modes = {(p.state.area.dispatch_mode, p.state.place) for p in case.all_slices if p.state is not None}
            if len(mine) != 1 or mine[0]["status"] not in ("paid", "zero") or len(modes) > 1:
                continue
            line = expected.measured[unit, service.id, mine[0]["area"], mine[0]["plant"]]
            grouped = service.id == "deep_peak" and any(p.state and p.state.unit.peak_group for p in case.all_slices)
            told = {row.reason: row for row in left_on_table(case, line, service)}
            found = {reason for reason in TOLD if (unit, service.id, reason) in rows}
            if not grouped:
                unpaid = {
                    reason
                    for reason in found - set(told)
                    if rows[unit, service.id, reason]["amount_yuan"] in ("", "0.00")
                }
                equal(f"the reasons of {unit} {service.id}", found - unpaid, set(told))
            for reason, cost in told.items():
                seen, name = rows[unit, service.id, reason], f"left {unit} {service.id} {reason} "
                if cost.ms is not None:
                    agreed += equal(name + "minutes", number(seen["minutes"]), sixth(Fraction(cost.ms, 60_000)))
                yuan = None if cost.amount_fen is None else Decimal(cost.amount_fen) / 100
                agreed += equal(name + "amount", number(seen["amount_yuan"]), yuan)
            if (unit, service.id, "missing") in rows and mine[0]["high_yuan"]:
                seen, name = rows[unit, service.id, "missing"], f"left {unit} {service.id} missing "
                more = Decimal(mine[0]["high_yuan"]) - Decimal(mine[0]["amount_yuan"])
                agreed += equal(name + "amount", number(seen["amount_yuan"]), more)
                missing_ms = line.scope_ms - line.known_ms
                agreed += equal(name + "minutes", number(seen["minutes"]), sixth(Fraction(missing_ms, 60_000)))
    return agreed


def determinants(expected: Result, files: dict[str, Rows]) -> int:
    """The times of determinants.csv: scope, known and excluded, of the determinants of gated services."""
    agreed = 0
    for row in files["determinants"]:
        key = row["unit"], row["service"], row["area"], row["plant"]
        if "start_stop" in row["service"] or row["service"] == "black_start":
            continue
        line, name = expected.measured[key], f"determinant {key} "
        agreed += equal(name + "scope", number(row["scope_s"]), Decimal(line.scope_ms) / 1000)
        agreed += equal(name + "known", number(row["known_s"]), Decimal(line.known_ms) / 1000)
        agreed += equal(
            name + "excluded", number(row["excluded_s"]), Decimal(line.applicable_ms - line.scope_ms) / 1000
        )
    return agreed


def findings(expected: Result, files: dict[str, Rows]) -> int:
    """The codes and subjects of findings.csv that follow from the lines, the register and the meters."""
    case = next(iter(expected.cases.values()))
    told: set[tuple[str, str]] = set()
    for line in expected.lines:
        name = f"{line['unit']}/{line['service']}"
        if line["status"] in ("pending", "blocked"):
            told.add((line["status"], name))
    for day in expected.meter_days:
        subject = f"{day.unit}/{day_of(day.start)}"
        told |= {("meter_differs", subject)} if day.differs else set()
        told |= {("meter_ran_back", subject)} if day.verdict == "ran_back" else set()
        told |= {("meter_not_compared", day.unit)} if day.verdict == "not_compared" else set()
    for unit, mine in expected.cases.items():
        states = [piece.state.unit for piece in mine.all_slices if piece.state is not None]
        told |= {("no_evidence", unit)} if any(x.has_limits and x.evidence is None for x in states) else set()
    told |= {("not_delivered", name) for name in case.folder.absent}
    for area in case.folder.areas:
        if area.hours_filing is None and area.start < case.span.end and area.end > case.span.start:
            told.add(("no_hours_filing", area.id))
    codes = {code for code, _ in told} | {"pending", "blocked", "meter_differs", "meter_ran_back", "no_evidence"}
    found = {(row["code"], row["subject"]) for row in files["findings"] if row["code"] in codes}
    same_keys("the findings", found, told)
    return len(told)


def reserves(expected: Result, files: dict[str, Rows]) -> int:
    """reserve_statistics.csv: the plan beside the least, instant by instant, and the calls."""
    agreed = 0
    case = next(iter(expected.cases.values()))
    folder, register, span = case.folder, case.register, case.span
    rows = [row for row in files["reserve_statistics"] if not row["unit"]]
    for area in {row.id for row in folder.areas}:
        for time in reserve_changes(folder, register, span):
            told, planned, least = planned_at(folder, register, area, time)
            here = [r for r in rows if r["area"] == area and instant(r["start"]) <= time < instant(r["end"])]  # type: ignore[operator]
            name = f"reserve of {area} at {time} "
            agreed += equal(name + "rows", len(here), int(told))
            for row in here:
                agreed += equal(name + "planned", number(row["planned_mw"]), sixth(_mw(planned)))
                agreed += equal(name + "least", number(row["minimum_mw"]), sixth(_mw(least)))
                below = "" if planned is None or least is None else str(int(planned < least))
                agreed += equal(name + "below", row["below"], below)
    called = {
        (row["unit"], row["kind"], instant(row["called"])): row for row in files["reserve_statistics"] if row["unit"]
    }
    for call in folder.reserve_calls:
        if span.start <= call.called < span.end and register.at(call.unit, call.called) is not None:
            row = called.pop((call.unit, call.kind, call.called))
            ms = arrived_ms(folder, call, span)
            seconds = None if ms is None else Fraction(ms, 1000)
            agreed += equal(f"the call of {call.unit} at {call.called}", number(row["arrived_s"]), sixth(seconds))
    equal("calls that nobody made", called, {})
    return agreed


def _mw(kw: int | None) -> Fraction | None:
    return None if kw is None else Fraction(kw, 1000)


FILES: dict[str, Callable[[Result, dict[str, Rows]], int]] = {
    "lines": lines,
    "plants": plants,
    "avc_orders": avc,
    "start_stops": stops,
    "agc_quarter_hours": quarters,
    "agc_commands": agc_commands,
    "meter_days": meter,
    "primary_frequency": frequency,
    "ledger": ledger,
    "summary": summary,
    "left_on_table": left,
    "determinants": determinants,
    "findings": findings,
    "reserve_statistics": reserves,
}


def run_on(root: Path, month: str, expected: Result, cut: int, out: Path, book: Rulebook = _BOOK) -> int:
    """The same month while it runs, up to a cut: its lines, what is shared, and what the last day changed."""
    last_day = datetime.fromtimestamp(cut / 1000 - 1, LOCAL).date()
    write_statement(settle(Month.parse(month), load_folder(root), book, last_day=last_day), out, spread=tables_only)
    files = read_tables(out)
    assert_consistent(files)
    data = next(iter(expected.cases.values())).folder
    now, before = settle_running(data, month, cut), settle_running(data, month, cut - 24 * HOUR_MS)
    agreed = 0
    rows = {(row["area"], row["plant"], row["unit"], row["service"]): row for row in files["lines"]}
    same_keys("the running lines", rows, ((x["area"], x["plant"], x["unit"], x["service"]) for x in now.lines))
    for line in now.lines:
        row = rows[line["area"], line["plant"], line["unit"], line["service"]]
        name = f"running to {last_day}: {line['unit']} {line['service']} "
        monthly = line["service"] in ("agc_basic", "black_start")
        by_days = monthly and line["status"] == "paid" and cut < next(iter(now.cases.values())).span.end
        agreed += equal(name + "amount", number(row["amount_yuan"]), line["amount_yuan"])
        agreed += equal(name + "status", row["status"], line["status"])
        agreed += equal(name + "reason", row["reason"], "by_days" if by_days else line["reason"])
        agreed += equal(name + "coverage", number(row["coverage"]), sixth(line["coverage"]))
        if not monthly:
            agreed += equal(name + "quantity", number(row["quantity"]), sixth(line["quantity"]))
    written_plants = {(row["area"], row["plant"]): row for row in files["plants"]}
    for plant in now.plants:
        row = written_plants[plant["area"], plant["plant"]]
        for column in ("compensation_yuan", "revenue_yuan", "allocation_yuan", "net_yuan"):
            agreed += equal(f"running {plant['plant']} {column}", number(row[column]), plant[column])
        agreed += equal("a running area", row["status"], "blocked" if plant["net_yuan"] is None else "provisional")
    was = {(x["area"], x["plant"], x["unit"], x["service"]): x["amount_yuan"] for x in before.lines}
    for row in files["yesterday"]:
        key = row["area"], row["plant"], row["unit"], row["service"]
        agreed += equal(f"yesterday {key} before", number(row["before_yuan"]), was.get(key, Decimal(0)))
    return agreed
