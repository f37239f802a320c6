# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/wire.md in both languages says the codes, scales and limits that the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from collector import wire
from collector.base.clock_state import ClockState
from collector.center.receive.admission import MAX_STATE_BYTES
from collector.model.quantity import QUANTITIES
from collector.model.record import Quality
from collector.wire import batch, codes, messages, spool
from collector.wire.body import QUANTITY_CODES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {name: (DOCS / name).read_text("utf-8") for name in ("wire.md", "wire.zh-CN.md")}
each_page = pytest.mark.parametrize("name", PAGES)


@each_page
def test_every_quantity_stands_with_its_code_and_scale(name: str) -> None:
    found = re.findall(r"^\| (\d+) \| `(\w+)` \| ([\d ]+) \|$", PAGES[name], re.MULTILINE)
    told = {(int(code), quantity, int(scale.replace(" ", ""))) for code, quantity, scale in found}
    assert told == {(QUANTITY_CODES[q.name], q.name, q.scale) for q in QUANTITIES}


@each_page
def test_every_quality_stands_with_whether_it_counts(name: str) -> None:
    found = re.findall(r"^\| (\d+) \| [^`|]+ \| (yes|no|是|否) \|$", PAGES[name], re.MULTILINE)
    assert {int(code): counts in ("yes", "是") for code, counts in found} == {q.value: q.usable for q in Quality}


@each_page
def test_every_code_of_a_refusal_stands_with_its_kind(name: str) -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, |、)?)+) \| .+ \| (\S.*) \|$", PAGES[name], re.MULTILINE)
    kinds = {code: kind for cells, kind in rows for code in re.findall(r"`(\w+)`", cells)}
    assert {code for code, kind in kinds.items() if kind in ("final", "终局")} == codes.FINAL
    assert {code for code, kind in kinds.items() if kind in ("curable", "可补救")} == codes.CURABLE


@each_page
def test_the_limits_are_those_of_the_code(name: str) -> None:
    digits = PAGES[name].replace("\u00a0", " ")
    for number in (batch.MAX_RECORDS, batch.MAX_UNITS, batch.MAX_GAPS, batch.MAX_GAP_UNITS, messages.MAX_RANGES):
        assert f"{number:,}".replace(",", " ") in digits
    assert wire.MAX_PAYLOAD_BYTES == 4 << 20
    assert (batch.MAX_BODY_BYTES, messages.MAX_MESSAGE_BYTES, MAX_STATE_BYTES) == (32 << 20, 256 << 10, 64 << 10)
    assert (batch.MAX_VALUE, batch.MAX_TIME_MS, batch.MAX_SEQUENCE) == (1 << 61, 1 << 47, (1 << 63) - 1)
    for text in ("4 MiB", "32 MiB", "256 KiB", "64 KiB", "2^61", "2^47", "2^63"):
        assert text in digits


@each_page
def test_a_message_as_a_file_has_the_name_that_the_page_shows(name: str, tmp_path: Path) -> None:
    """The digits are those of FIPS 180-4's own example, the three letters abc."""
    (shown,) = re.findall(r"`(\S+~ba7816bf8f01cfea414140de5dae2223\.msg)`", PAGES[name])
    (tmp_path / shown).write_bytes(b"abc")
    message = spool.read(tmp_path / shown)
    assert message is not None
    assert (message.topic.value, message.payload) == ("collector/v1/P1/G1/batch", b"abc")
    assert spool.put(tmp_path, "collector/v1/P1/G1/batch", b"abc").name == shown


def test_the_states_of_the_clock_are_in_the_order_of_the_page() -> None:
    assert (ClockState.SYNCHRONISED, ClockState.UNSYNCHRONISED, ClockState.UNKNOWN) == (0, 1, 2)
    assert "0 synchronised, 1 not synchronised, 2 unknown" in PAGES["wire.md"]
