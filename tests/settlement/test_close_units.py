# SPDX-License-Identifier: GPL-3.0-or-later
"""Units closed apart, each with its own results, give the statement of a month that is closed as a whole."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from collector.base.resources import config_path
from collector.model.interval import Month
from collector.settlement.close_units import ClosedUnits, case_of, close_units
from collector.settlement.measure_units import clusters
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.settle import Measuring, close_month, no_segments, prepare, registered, settle
from collector.tables.folder import load_folder
from tests.settlement.made_folders import make_folder

JUNE = Month.parse("2026-06")
BOOK = load_rulebook(config_path("rules/east-china-trial"))


@pytest.mark.parametrize("last_day", [None, JUNE.days[11]])
def test_units_closed_apart_are_as_those_closed_together(tmp_path: Path, last_day: date | None) -> None:
    closings = 0
    for seed in range(4):
        make_folder(random.Random(seed), tmp_path / str(seed))
        inputs = load_folder(tmp_path / str(seed), BOOK)
        context = prepare(JUNE, inputs, BOOK, last_day=last_day)
        case = case_of(JUNE, inputs, context)
        apart: list[ClosedUnits] = []
        for units in sorted(clusters(context, registered(context))):
            own = replace(case, stretches={unit: case.stretches[unit] for unit in units})
            measured = [results for results, _ in Measuring(JUNE, context, inputs.records, units).batches()]
            apart.append(pickle.loads(pickle.dumps(close_units(own, context, measured))))
        closings += len(apart)
        whole = settle(JUNE, inputs, BOOK, last_day=last_day)
        parts = close_month(JUNE, inputs, context, apart, no_segments)
        assert replace(parts, segments=whole.segments) == whole, seed
    assert closings > 4
