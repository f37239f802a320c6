# SPDX-License-Identifier: GPL-3.0-or-later
"""One statement never contradicts itself: what its files say of the same thing, from the files alone.

Nothing is computed by any rule of settlement here, only sums and counts are held against each other. A figure with six
decimals may be off by half of the last one for each row that is summed.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

Rows = list[dict[str, str]]
Files = dict[str, Rows]
NIL, LAST = Decimal(0), Decimal("0.000001")


def read_tables(folder: Path) -> Files:
    """The CSV files of a written statement, by name."""
    found = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            found[path.stem] = list(csv.DictReader(file))
    return found


def assert_consistent(files: Files) -> None:
    """Hold the files of a statement (by name, without .csv) against each other.

    Raises:
        AssertionError: two of them say different things.
    """
    for check in (_times, _values, _lines, _money, _orders, _occurrences, _quarter_hours, _deep_peak, _left, _findings):
        check(files)


def _sums(rows: Iterable[dict[str, str]], keys: tuple[str, ...], value: str) -> dict[tuple[str, ...], Decimal]:
    """A column summed by others; empty cells and sums of zero are left out."""
    found: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for row in rows:
        if row[value]:
            found[tuple(row[key] for key in keys)] += Decimal(row[value])
    return {key: total for key, total in found.items() if total}


def _near(
    what: str, one: Mapping[tuple[str, ...], Decimal], other: Mapping[tuple[str, ...], Decimal], rows: int
) -> None:
    for key in {*one, *other}:
        apart = abs(one.get(key, NIL) - other.get(key, NIL))
        assert apart <= LAST * (rows + 2) / 2, (what, key, one.get(key), other.get(key))


def _main(files: Files) -> Rows:
    """The first row of each line's determinants; figures shown beside it have its times."""
    first: dict[tuple[str, ...], dict[str, str]] = {}
    for row in files["determinants"]:
        first.setdefault((row["unit"], row["service"], row["area"], row["plant"]), row)
    return list(first.values())


def _times(files: Files) -> None:
    """Counted, unpaid, missing, excluded and own-fault time: determinants, segments, not_paid, coverage."""
    of_determinants: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for row in _main(files):
        scope, known, counted, excluded, own = (
            Decimal(row[f"{name}_s"]) for name in ("scope", "known", "counted", "excluded", "own_fault")
        )
        times = {"counted": counted, "missing": scope - known, "excluded": excluded, "own_fault": own}
        times["unpaid"] = known - counted - own
        for cause, seconds in times.items():
            assert seconds >= 0, (row, cause)
            of_determinants[row["unit"], row["service"], cause] += seconds
    of_segments: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    ends: dict[tuple[str, str], datetime] = {}
    for row in files["segments"]:
        start, end = (datetime.fromisoformat(row[name]) for name in ("start", "end"))
        line = (row["unit"], row["service"])
        assert ends.get(line, start) <= start < end, ("segments overlap", row)
        ends[line] = end
        of_segments[*line, row["class"]] += Decimal((end - start) // timedelta(milliseconds=1)) / 1000
    told = {key: seconds for key, seconds in of_determinants.items() if seconds}
    assert told == dict(of_segments)
    unpaid = _sums(
        (r for r in files["not_paid"] if r["class"] != "outside"), ("unit", "service", "class"), "duration_s"
    )
    assert unpaid == {key: seconds for key, seconds in told.items() if key[2] != "counted"}
    scopes, knowns = (_sums(_main(files), ("unit", "service"), column) for column in ("scope_s", "known_s"))
    for shown in files["lines"]:
        name = shown["unit"], shown["service"]
        if shown["coverage"]:  # the unit's, over all its parts
            apart = abs(Decimal(shown["coverage"]) - knowns.get(name, NIL) / scopes[name])
            assert apart <= LAST, (shown, knowns.get(name), scopes[name])


def _values(files: Files) -> None:
    """What segments add up to is what was measured."""
    of_segments = _sums(files["segments"], ("unit", "service"), "value")
    rows = Counter((row["unit"], row["service"]) for row in files["segments"])
    of_determinants = _sums(_main(files), ("unit", "service"), "value")
    for key in rows:
        if key[1] != "black_start":
            _near(
                "segments and determinants",
                {key: of_segments.get(key, NIL)},
                {key: of_determinants.get(key, NIL)},
                rows[key],
            )


def _lines(files: Files) -> None:
    """A line's status, amount and bounds; its area is not final where it is provisional."""
    areas = {row["area"]: row["status"] for row in files["plants"]}
    for line in files["lines"]:
        amount, low, high = (
            Decimal(line[name]) if line[name] else None for name in ("amount_yuan", "low_yuan", "high_yuan")
        )
        if line["status"] in ("pending", "blocked"):
            assert (amount, line["provisional"]) == (None, "1"), line
            assert line["reason"], line
        elif line["status"] == "zero":
            assert amount == 0, line
            assert line["reason"], line
        else:
            assert line["status"] == "paid", line
            assert amount, line
        assert low is None or high is None or low <= high, line
        assert amount is None or ((low is None or low <= amount) and (high is None or amount <= high)), line
        assert line["provisional"] == "0" or areas[line["area"]] != "final", line


def _money(files: Files) -> None:
    """Lines, plants, summary and ledger; what a pool pays it takes back."""
    lines = _sums(files["lines"], ("area", "plant"), "amount_yuan")
    assert lines == _sums(files["plants"], ("area", "plant"), "compensation_yuan")
    services = _sums(files["lines"], ("area", "service"), "amount_yuan")
    summed = _sums((row for row in files["summary"] if row["service"]), ("area", "service"), "compensation_yuan")
    assert services == summed
    posted: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in files["ledger"]:
        posted[row["area"], row["plant"]] += Decimal(row["credit_yuan"]) - Decimal(row["debit_yuan"])
    for row in files["plants"]:
        here = row["area"], row["plant"]
        if row["net_yuan"]:
            assert Decimal(row["compensation_yuan"]) - Decimal(row["allocation_yuan"]) == Decimal(row["net_yuan"]), row
            if "yesterday" not in files:  # a running month posts nothing
                assert posted.get(here, NIL) == Decimal(row["net_yuan"]), row
        else:
            assert row["status"] == "blocked", row
            assert not posted.get(here), row
    assert not ("yesterday" in files and files["ledger"])
    assert not _sums(files["plants"], ("area",), "net_yuan"), "a pool does not pay out what it takes in"
    assert {key: total for key, total in posted.items() if not key[1] and total} == {}


def _orders(files: Files) -> None:
    """Every AVC order with its verdict, how many were judged and passed, and why the others were not."""
    told = Counter((row["unit"], row["verdict"]) for row in files["avc_orders"])
    why = Counter((row["unit"], row["reason"]) for row in files["avc_orders"] if row["verdict"] == "not_judged")
    for unit in {row["unit"] for row in files["determinants"] if row["service"] == "avc"}:
        shown = _sums(
            (row for row in files["determinants"] if row["unit"] == unit), ("service", "determinant"), "value"
        )
        orders = sum(1 for row in files["avc_orders"] if row["unit"] == unit and row["reason"] != "outside_scope")
        assert orders == shown.get(("avc", "avc_orders"), NIL), unit
        passed, judged = (shown.get(("avc", name), NIL) for name in ("avc_passed", "avc_judged"))
        assert passed == told[unit, "passed"], unit
        assert judged == told[unit, "passed"] + told[unit, "failed"], unit
        for (service, name), count in shown.items():
            if service == "avc" and name.startswith("avc_not_judged_"):
                assert why[unit, name.removeprefix("avc_not_judged_")] == count, (unit, name)


def _occurrences(files: Files) -> None:
    """Start-stops that are paid (or would be, with a table) are what the line counts; an uncertain one shows on it."""
    told: Counter[tuple[str, str]] = Counter()
    for row in files["start_stops"]:
        if row["verdict"] in ("paid", "pending"):
            told[row["unit"], row["service"]] += 1
    by_line = _sums(files["lines"], ("unit", "service"), "quantity")
    for line in files["lines"]:
        if line["service"].endswith("_start_stop") and line["reason"] not in ("no_order", "excluded"):
            key = line["unit"], line["service"]
            assert told[key] == by_line.get(key, NIL), (line, told[key])


def _quarter_hours(files: Files) -> None:
    """The net of the quarter hours that count up, or down, is the energy measured, where one rule excludes both."""
    for service, side, sign in (("agc_up", "up", 1), ("agc_down", "down", -1)):
        main = {row["unit"] for row in _main(files) if row["service"] == service}
        rows = [row for row in files["agc_quarter_hours"] if row["class"] == side]
        net = _sums(rows, ("unit",), "net_mwh")
        measured = _sums((row for row in _main(files) if row["service"] == service), ("unit",), "value")
        for unit in main:
            same = all(
                _spans(files, unit, "agc_up", cause) == _spans(files, unit, "agc_down", cause)
                for cause in ("excluded", "own_fault")
            )
            if same:
                _near(
                    service, {(unit,): sign * net.get((unit,), NIL)}, {(unit,): measured.get((unit,), NIL)}, len(rows)
                )


def _spans(files: Files, unit: str, service: str, cause: str) -> Decimal:
    return _sums(
        (r for r in _main(files) if (r["unit"], r["service"]) == (unit, service)), ("unit",), f"{cause}_s"
    ).get((unit,), NIL)


def _deep_peak(files: Files) -> None:
    """Every interval of deep peak shaving adds up to the lines of the unit."""
    energy = _sums(files["deep_peak"], ("unit",), "energy_mwh")
    lines = _sums((row for row in files["lines"] if row["service"] == "deep_peak"), ("unit",), "quantity")
    rows = Counter(row["unit"] for row in files["deep_peak"])
    for unit in {row["unit"] for row in files["lines"] if row["service"] == "deep_peak"}:
        _near("deep peak", {(unit,): energy.get((unit,), NIL)}, {(unit,): lines.get((unit,), NIL)}, rows[unit])


def _left(files: Files) -> None:
    """What missing data cost a line is the way to its upper bound; totals by plant are sums of the rows."""
    lines: dict[tuple[str, str], Rows] = defaultdict(list)
    for line in files["lines"]:
        lines[line["unit"], line["service"]].append(line)
    for row in files["left_on_table"]:
        mine = lines[row["unit"], row["service"]]
        assert mine, row
        assert not row["amount_yuan"] or Decimal(row["amount_yuan"]) >= 0, row
        if row["reason"] == "missing" and len(mine) == 1 and row["amount_yuan"]:
            gain = Decimal(mine[0]["high_yuan"]) - Decimal(mine[0]["amount_yuan"] or 0)
            assert Decimal(row["amount_yuan"]) == gain, (row, mine)
    # What a row without an amount is among has no total.
    open_ones = {(row["service"], row["reason"]) for row in files["left_on_table"] if not row["amount_yuan"]}
    whole = _sums(files["left_on_table"], ("service", "reason"), "amount_yuan")
    whole = {key: total for key, total in whole.items() if key not in open_ones}
    for of_plants in (True, False):  # and those of areas, whose plant is empty
        rows = (row for row in files["left_totals"] if bool(row["plant"]) is of_plants)
        totals = _sums(rows, ("service", "reason"), "amount_yuan")
        assert whole == {key: total for key, total in totals.items() if key not in open_ones}


def _findings(files: Files) -> None:
    """Lines without an amount are found, and no other; nobody needs a code to read a finding."""
    for status in ("pending", "blocked"):
        lines = {f"{row['unit']}/{row['service']}" for row in files["lines"] if row["status"] == status}
        assert {row["subject"] for row in files["findings"] if row["code"] == status} == lines, status
    for row in files["findings"]:
        assert row["text_zh"], row
        assert row["text_en"], row
