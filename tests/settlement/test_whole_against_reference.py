# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file of a statement beside the slow reference, on months full of events; `MONTHS=3000 FILLS=5` for a long run.

Some months run by an example revision of the rule, in force from their second day.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from tests.reference.build import Build, at
from tests.reference.regulation import SERVICES
from tests.settlement.made_events import make_events
from tests.settlement.whole_statement import FILES, Compared
from tests.size import sized

MONTHS = int(os.environ.get("MONTHS", sized(4, 12)))
FIRST = int(os.environ.get("SEED", "0"))
FILLS = int(os.environ.get("FILLS", sized(1, 2)))
BOUNDED = {service.id for service in SERVICES} - {"black_start"}
PARTS = 2  # so that two workers share them


@pytest.mark.parametrize("part", range(PARTS))
def test_every_file_of_a_statement_says_what_the_reference_says(part: int, tmp_path: Path) -> None:
    compared = Compared()
    paid: Counter[str] = Counter()
    for seed in range(FIRST + part, FIRST + MONTHS, PARTS):
        root = tmp_path / str(seed)
        month = make_events(random.Random(seed), root / "in")
        try:
            also = {"running": seed % 4 == 0, "revised": seed % 6 == 5}
            result = compared.month(root / "in", month, root / "out", random.Random(seed), fills=FILLS, **also)
        except AssertionError as wrong:
            raise AssertionError(f"the month of seed {seed} ({month}): {wrong}") from wrong
        paid.update(line["service"] for line in result.lines if line["status"] == "paid")
    assert set(compared.figures) == {*FILES, "bounds", *(["running"] if part == 0 else [])}
    assert all(compared.figures[name] > 0 for name in FILES), compared.figures
    assert len(paid) > 9, paid
    if MONTHS >= 600:  # every service whose missing time may be filled, with own fault and without
        assert compared.held >= {(name, fault) for name in BOUNDED for fault in (False, True)}, compared.held


def test_orders_before_avc_is_registered_are_rows_of_the_evidence_and_no_orders_of_the_line(tmp_path: Path) -> None:
    # AVC registered from the 10th: the order of the 9th moves the standing target, so that 508 kV of the 10th is none.
    case = Build(tmp_path / "in")
    (tmp_path / "in").mkdir()
    case.unit(kind="gas", nominal_kv="500", until="2026-06-10")
    case.unit(kind="gas", nominal_kv="500", avc=True, **{"from": "2026-06-10"})
    for day, target in ((1, 505), (9, 508), (10, 508), (11, 510)):
        for clock in ("00:00", "00:01"):
            case.record(at(day, clock), on_grid=1, avc_in_service=1, bus_voltage_kv=508, avc_target_kv=target)
    case.settle()
    compared = Compared()
    result = compared.month(tmp_path / "in", "2026-06", tmp_path / "out", random.Random(0))
    (line,) = result.lines
    assert (line["quantity"], line["reason"]) == (Fraction(0), "rounded")  # 2 kV off the order of the 11th: failed
    assert compared.figures["avc_orders"] > 0
