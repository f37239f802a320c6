# SPDX-License-Identifier: GPL-3.0-or-later
"""Every code that a page shows in words has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

import collector
from collector.base.text import Text
from collector.center.inputs.imports import IMPORT_KINDS
from collector.center.inputs.under_way import TIME_OF_STEPS
from collector.center.month.decisions import READING, RULING
from collector.center.month.questions.question_log import QuestionState
from collector.center.month.review_log import EventKind
from collector.center.month.transitions import FILING, PUBLICATION
from collector.center.operate import alarms
from collector.center.people import four_eyes
from collector.center.people.access import PERMISSION_WORDS, SCOPES, Permission, Role
from collector.center.quality import plausibility
from collector.center.quality.gap_map import NO_RECORD
from collector.center.runs.measuring import measure_days
from collector.center.runs.month_state import MonthStage
from collector.center.runs.run_list import RUN_KINDS, RunState
from collector.center.runs.settle_month import LAYING_OUT, SEALING, WRITING
from collector.center.web import code_words
from collector.center.web.audit.audit_words import ACTIONS
from collector.center.web.runs.day_drawing import EXCLUSION_WORDS, ORDER_WORDS
from collector.model.dispatch import ExclusionReason, OrderKind
from collector.model.quantity import BY_NAME
from collector.model.record import Quality
from tests.base.catalogue import translated, written_out

HOUSE = Path(collector.__file__).parent


def lost_ranges_told() -> list[str]:
    """Why a gateway says that time is gone."""
    text = (HOUSE / "agent/buffer/lost_ranges.py").read_text("utf-8")
    return [code for code in re.findall(r'^[A-Z_]+: Final = "(\w+)"', text, re.MULTILINE) if code != "resealed"]


def audit_actions() -> set[str]:
    """Every action that the center enters in its audit log: those written out, and those made of a kind."""
    texts = "".join(path.read_text("utf-8") for path in (HOUSE / "center").rglob("*.py"))
    told = {
        *re.findall(r'(?:action=|action = |(?<!_FILE): Final = |action, \w+ = |actor, )"([a-z_]+\.[a-z_]+)"', texts),
        *(f"{kind}.{verb}" for kind in four_eyes.KINDS for verb in ("propose", "decide", "withdraw")),
        *(f"{kind}.first" for kind in (FILING, PUBLICATION)),
        *(f"review.{kind}" for kind in EventKind),
        *(f"question.{state}" for state in set(QuestionState) - {QuestionState.ASKED}),
        *(f"month.{stage}" for stage in set(MonthStage) - {MonthStage.TRIAL}),
    }
    files = {
        name for name in told if name.rpartition(".")[2] in ("json", "msgpack", "parquet", "sqlite", "toml", "csv", "e")
    }
    assert len(told - files) > 60
    return told - files


DOINGS = [SEALING, LAYING_OUT, measure_days.READING, measure_days.MEASURING, measure_days.CLOSING, WRITING]
ALARMS = re.findall(r'Alarm\("(\w+)"', Path(alarms.__file__).read_text("utf-8"))


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (code_words.ROLES, Role),
        (code_words.SCOPES, SCOPES),
        (code_words.INPUT_KINDS, IMPORT_KINDS),
        (code_words.PROPOSALS, [*four_eyes.KINDS, RULING, READING]),
        (code_words.RUN_KINDS, RUN_KINDS),
        (code_words.RUN_STATES, set(RunState) - {RunState.DONE}),
        (code_words.RUN_DOINGS, DOINGS),
        (code_words.TAKING_STEPS, TIME_OF_STEPS),
        (code_words.ALARMS, ALARMS),
        (code_words.QUANTITIES, BY_NAME),
        (code_words.FINDING_CODES, plausibility.CODES),
        (code_words.GAP_REASONS, [NO_RECORD, *lost_ranges_told(), *(q.name.lower() for q in Quality if not q.usable)]),
        (PERMISSION_WORDS, Permission),
        (EXCLUSION_WORDS, ExclusionReason),
        (ORDER_WORDS, OrderKind),
        (ACTIONS, audit_actions()),
    ],
)
def test_every_code_shown_has_words(words: Mapping[str, Text], codes: Iterable[str]) -> None:
    assert {str(code) for code in codes} - words.keys() == set()


# What the statement, its letter and the center say of records, money and alarms: none of it is for a terminal.
SAID_TO_PEOPLE = ("settlement/services", "settlement/findings", "settlement/meter_days", "settlement/running",
                  "report/", "center/operate/alarms", "center/quality", "center/month", "center/web/code_words",
                  "center/web/audit", "center/operate/inbox", "center/people/access")  # fmt: skip
NAMES = re.compile(r"[\w/-]+\.(csv|toml|md|xlsx|json)|\[policy\]|Mvar|\w+_\w+|P_N|MWh|kW|MW|[A-Z]+")


def test_no_chinese_sentence_about_records_money_or_alarms_has_an_english_word_in_it() -> None:
    """But the name of a file or of a column that one has to look at; placeholders have tests of their own."""
    chinese, wrong = translated(), {}
    for key, place in written_out().items():
        if place.startswith(SAID_TO_PEOPLE):
            said = NAMES.sub("", re.sub(r"\{\w+[^}]*\}", "", chinese[key]))
            if found := re.findall(r"[A-Za-z]{3,}", said):
                wrong[key[1]] = found
    assert {text: found for text, found in wrong.items() if text not in FOR_PROGRAMS} == {}


# Forms of REST and of the command line say which word they expect.
FOR_PROGRAMS = {"expected yuan or quantity, got {claim_kind!r}"}
