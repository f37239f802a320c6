# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of words: every key used exists in both languages, and none is left over."""

from __future__ import annotations

import re
from pathlib import Path

import collector.center.web
from collector.center.inputs.imports import IMPORT_KINDS
from collector.center.month.decisions import READING, RULING
from collector.center.operate import alarms
from collector.center.people import four_eyes
from collector.center.people.access import Role
from collector.center.runs.measuring import measure_days
from collector.center.runs.run_list import RunState
from collector.center.runs.settle_month import LAYING_OUT, SEALING, WRITING
from collector.center.web.words.catalogue import WORDS, word

WEB = Path(collector.center.web.__file__).parent
KEY = r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+"


def used() -> tuple[set[str], set[str]]:
    """Keys written out in templates and modules, and the beginnings of keys that are put together."""
    modules = [p for p in WEB.rglob("*.py") if p.parent.name != "words"]
    text = "\n".join(p.read_text("utf-8") for p in [*modules, *(WEB / "templates").glob("*.html")])
    quoted = set(re.findall(rf"[\"']({KEY})[\"']", text))
    begun = set(re.findall(r"\bt\(\s*[\"']([a-z_.]+\.)[\"']\s*~", text)) | set(re.findall(r"f\"([a-z_]+\.)\{", text))
    return quoted, begun


def test_every_word_a_template_asks_for_exists() -> None:
    templates = "\n".join(p.read_text("utf-8") for p in (WEB / "templates").glob("*.html"))
    asked = set(re.findall(rf"\bt\(\s*[\"']({KEY})[\"']", templates))
    assert len(asked) > 20
    assert asked - WORDS.keys() == set()


def test_no_word_is_left_over() -> None:
    quoted, begun = used()
    assert {key for key in WORDS if key not in quoted and not any(key.startswith(b) for b in begun)} == set()


def test_both_languages_say_something_and_take_the_same_values() -> None:
    for key, (chinese, english) in WORDS.items():
        assert chinese.strip(), key
        assert english.strip(), key
        assert re.findall(r"\{(\w+)\}", chinese) == re.findall(r"\{(\w+)\}", english), key


def test_chinese_is_what_an_unknown_language_gets() -> None:
    assert word("login.heading", "xx") == "登录"
    assert word("frame.rows", "en", count=3) == "3 rows"


def test_every_code_shown_in_words_has_them() -> None:
    shown = {
        "role.": list(Role),
        "kind.": IMPORT_KINDS,
        "proposal.": [*four_eyes.KINDS, RULING, READING],
        "board.run_state.": set(RunState) - {RunState.DONE},
        "board.doing.": [
            SEALING,
            LAYING_OUT,
            measure_days.READING,
            measure_days.MEASURING,
            measure_days.CLOSING,
            WRITING,
        ],
        "alarm.": re.findall(r'Alarm\("(\w+)"', Path(alarms.__file__).read_text("utf-8")),
    }
    missing = {start + str(code) for start, codes in shown.items() for code in codes} - WORDS.keys()
    assert missing == set()
