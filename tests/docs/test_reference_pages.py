# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference of verbs and of configuration is the one that the program of today generates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.make_reference import CHINESE, SAMPLES, meanings_of, pages

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """Every page, made once."""
    return pages()


def test_the_reference_pages_are_what_the_program_generates(made: dict[str, str]) -> None:
    assert len(made) == 4
    different = [name for name, text in made.items() if (DOCS / name).read_text("utf-8") != text]
    assert not different, "run `make reference`"


def test_every_key_has_a_meaning_in_its_sample(made: dict[str, str]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| .* \| (.*) \|$", made["configuration.md"], re.MULTILINE)
    assert len(rows) > 100
    # Keys whose name says it all where their table is shown once more.
    assert {key for key, meaning in rows if not meaning.strip()} <= {"id", "plant", "port"}
    assert all(len(meanings_of(name)) > 20 for name in SAMPLES)


def test_every_meaning_has_its_chinese_and_no_chinese_is_left_over(made: dict[str, str]) -> None:
    rows = re.findall(r"^\| `\w+` \| .* \| .* \| (.+) \|$", made["configuration.md"], re.MULTILINE)
    in_samples = {meaning for name in SAMPLES for meaning in meanings_of(name).values()}
    assert {meaning.replace("&lt;", "<") for meaning in rows if meaning.strip()} <= set(CHINESE.meanings)
    assert set(CHINESE.meanings) <= in_samples
    # Some are names of protocols, numbers or options alone; every other says something in Chinese.
    assert [text for text in CHINESE.meanings.values() if not re.search("[\u3001\u4e00-\u9fff]", text)] == []
