# SPDX-License-Identifier: GPL-3.0-or-later
"""Every code that a page shows in words has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from collector.base.text import Text
from collector.center.inputs.imports import IMPORT_KINDS
from collector.center.month.decisions import READING, RULING
from collector.center.operate import alarms
from collector.center.people import four_eyes
from collector.center.people.access import Role
from collector.center.runs.measuring import measure_days
from collector.center.runs.run_list import RUN_KINDS, RunState
from collector.center.runs.settle_month import LAYING_OUT, SEALING, WRITING
from collector.center.web import code_words

DOINGS = [SEALING, LAYING_OUT, measure_days.READING, measure_days.MEASURING, measure_days.CLOSING, WRITING]
ALARMS = re.findall(r'Alarm\("(\w+)"', Path(alarms.__file__).read_text("utf-8"))


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (code_words.ROLES, Role),
        (code_words.INPUT_KINDS, IMPORT_KINDS),
        (code_words.PROPOSALS, [*four_eyes.KINDS, RULING, READING]),
        (code_words.RUN_KINDS, RUN_KINDS),
        (code_words.RUN_STATES, set(RunState) - {RunState.DONE}),
        (code_words.RUN_DOINGS, DOINGS),
        (code_words.ALARMS, ALARMS),
    ],
)
def test_every_code_shown_has_words(words: Mapping[str, Text], codes: Iterable[str]) -> None:
    assert {str(code) for code in codes} - words.keys() == set()
