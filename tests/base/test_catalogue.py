# SPDX-License-Identifier: GPL-3.0-or-later
"""Every text for people is translated, no translation is left over, and the compiled catalogue is the written one."""

from __future__ import annotations

import re
import string

from collector.base.text import Text, catalogue
from tests.base.catalogue import translated, written_out


def names(text: str) -> set[str]:
    """Those of the values in a text; none where its braces mean themselves."""
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError:
        return set()


def test_every_text_has_a_translation_and_no_translation_is_left_over() -> None:
    wanted, known = written_out(), translated()
    assert {key: place for key, place in wanted.items() if not known.get(key)} == {}, "run `make texts`, translate"
    assert known.keys() - wanted.keys() == set(), "run `make texts`"


def test_both_languages_take_the_same_values() -> None:
    assert [text for (_, text), chinese in translated().items() if names(text) != names(chinese)] == []


def test_the_compiled_catalogue_says_what_the_written_one_says() -> None:
    for (context, text), chinese in translated().items():
        said = catalogue().pgettext(context, text) if context else catalogue().gettext(text)
        assert said == chinese, "run `make texts`"
        assert context or Text(text, {}).into("zh") == chinese


def test_no_translation_is_an_english_sentence() -> None:
    said = {text: re.sub("`[^`]*`", "", chinese) for text, chinese in translated().items()}  # but for commands
    left = [text for text, chinese in said.items() if re.search(r"(?:\b[A-Za-z]{2,}\b[ ,;]+){4}", chinese)]
    assert left == []
