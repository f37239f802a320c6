# SPDX-License-Identifier: GPL-3.0-or-later
"""Primary frequency evidence and the meter check, unpaid: kernel and slow reference agree on folders made at random."""

from __future__ import annotations

import csv
import random
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.model.interval import Month
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.settle import settle
from collector.tables.folder import load_folder
from tests.reference.evidence import find_evidence
from tests.reference.folder import read_folder
from tests.reference.meters import meter_days
from tests.reference.plausible import without_implausible
from tests.reference.register import Register
from tests.reference.times import month_span
from tests.settlement.made_folders import DAY_MS, JUNE_1, make_folder
from tests.size import sized

_BOOK = load_rulebook(Path(__file__).resolve().parents[2] / "config" / "rules" / "east-china-trial")


def add_registers(rng: random.Random, folder: Path) -> None:
    """Give each unit an export register near its power, with midnight readings, holes, a day off and a reset."""
    files: dict[Path, list[dict[str, str]]] = {}
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    for path in sorted((folder / "records").glob("*.csv")):
        files[path] = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        for row in files[path]:
            rows[row["unit"]].append(row)
    for unit, own in rows.items():
        if "active_power_mw" not in own[0] or rng.random() < 0.1:
            continue
        times = {int(row["time"]) for row in own}
        path = folder / "records" / f"{unit}a.csv"
        for day in range(5):
            midnight = JUNE_1 + day * DAY_MS
            if midnight not in times and path in files and rng.random() < 0.6:
                files[path].append({**own[0], "time": str(midnight)})
                own.append(files[path][-1])
        own.sort(key=lambda row: int(row["time"]))
        _count(rng, own)
    for path, found in files.items():
        names = list(dict.fromkeys(name for row in found for name in row))
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, names, restval="")
            writer.writeheader()
            writer.writerows(found)


def _count(rng: random.Random, own: list[dict[str, str]]) -> None:
    """The register of a unit's records in order of time: it counts a little more or less than the power says."""
    total, power, since, day, share = Fraction(1000), Fraction(0), int(own[0]["time"]), -99, Fraction(1)
    for row in own:
        time = int(row["time"])
        total += max(power, Fraction(0)) * (time - since) / 3_600_000 * share
        if rng.random() < 0.002:
            total = Fraction(3)  # a new meter
        row["energy_export_mwh"] = f"{float(total):.6f}" if rng.random() < 0.9 else ""
        if row["active_power_mw"]:
            power = Fraction(row["active_power_mw"])
        since = time
        if (time - JUNE_1) // DAY_MS != day:
            day = (time - JUNE_1) // DAY_MS
            share = rng.choice(
                (Fraction(1), Fraction("1.0099"), Fraction("0.991"), Fraction("1.0102"), Fraction("0.9"))
            )


def compare(seed: int) -> tuple[int, int, int]:
    """How many excursions, judged excursions and meter findings both see in the folder of a seed."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "folder"
        rng = random.Random(seed)
        make_folder(rng, folder)
        add_registers(rng, folder)
        data = read_folder(folder)
        data = without_implausible(data, Register(data))
        statement = settle(Month.parse("2026-06"), load_folder(folder), _BOOK)
        evidence = find_evidence(data, "2026-06")
        expected = [
            (unit, row.start, row.end, row.actual_mwh, row.theoretical_mwh, row.ratio)
            for unit, (_, rows) in sorted(evidence.items())
            for row in rows
        ]
        assert [
            (row.unit, row.start_ms, row.end_ms, row.actual_mwh, row.theoretical_mwh, row.ratio)
            for row in statement.primary_frequency
        ] == expected
        service = {
            row.unit: (
                Fraction(row.in_service_ms, 3_600_000),
                Fraction(row.in_service_ms, row.known_on_grid_ms) if row.known_on_grid_ms else None,
            )
            for row in statement.primary_frequency_service
        }
        assert service == {unit: (found.hours, found.ratio) for unit, (found, _) in evidence.items()}
        differing = [day for day in meter_days(data, Register(data), month_span("2026-06")) if day.differs]
        subjects = [f"{d.unit}/{datetime.fromtimestamp(d.start / 1000 + 28_800, UTC).date()}" for d in differing]
        found = [finding for finding in statement.findings if finding.code == "meter_differs"]
        assert [finding.subject for finding in found] == subjects
        assert all(finding.provisional for finding in found)
        return len(expected), sum(row[5] is not None for row in expected), len(found)


@settings(max_examples=sized(8, 15), derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(min_value=0, max_value=2**40))
def test_evidence_of_primary_frequency_and_meters_equals_the_reference(seed: int) -> None:
    compare(seed)


def test_the_folders_of_fixed_seeds_have_excursions_judged_and_not_and_meters_that_differ() -> None:
    excursions, judged, differing = (sum(counts) for counts in zip(*map(compare, range(12)), strict=True))
    assert excursions > judged > 100
    assert differing > 5
