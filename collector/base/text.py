# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for people: English in the code, Chinese from the gettext catalogue `locale/zh.mo`.

`tr("run {number} is missing", number=7)` is the English sentence as a `str` that remembers its template and values,
so that whoever shows it can say it in the reader's language: `into(text, "zh")`. What is not in the catalogue stays
English. Values may be texts themselves; an instant is put in words before it becomes a value. `make texts` brings the
catalogue up to date; tests/base/test_catalogue.py fails where a translation is missing.
"""

from __future__ import annotations

import functools
import gettext
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args

Language = Literal["zh", "en"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
CATALOGUE: Final = Path(__file__).parent / "locale" / "zh.mo"
# The context of a text that only joins other texts: it has no entry of its own in the catalogue.
_JOINED: Final = "\0"
# The context of a text that brings its own Chinese.
_BOTH: Final = "\0both"


class Text(str):
    """An English sentence that can say itself in another language; equal to the same sentence as a plain `str`."""

    __slots__ = ("_context", "_template", "_values")

    _context: str
    _template: str
    _values: Mapping[str, Any]

    def __new__(cls, template: str, values: Mapping[str, Any], context: str = "") -> Text:
        """Make the text: `{name}` in the template takes that value; without values, braces mean themselves."""
        made = super().__new__(cls, template.format_map(values) if values else template)
        made._context, made._template, made._values = context, template, values
        return made

    def into(self, language: str) -> str:
        """The sentence in a language."""
        if language != "zh":
            return str(self)
        template = self._template
        if self._context == _JOINED:
            template = template.replace("; ", "\uff1b").replace(", ", "\u3001")
        elif self._context == _BOTH:
            template = "{zh}"
        elif self._context:
            template = catalogue().pgettext(self._context, template)
        else:
            template = catalogue().gettext(template)
        values = {name: into(value, language) for name, value in self._values.items()}
        return template.format_map(values) if values else template

    def __add__(self, other: str) -> Text:
        return join("", (self, other))

    def __radd__(self, other: str) -> Text:
        return join("", (other, self))

    def __reduce__(self) -> tuple[Any, ...]:
        return Text, (self._template, self._values, self._context)


def tr(text: str, /, **values: Any) -> Text:
    """A text for people. `text` must be a literal at the call: tests/base/catalogue.py collects it from the source."""
    return Text(text, _told(values))


def tr_in(context: str, text: str, /, **values: Any) -> Text:
    """A text as `tr` makes it, where one English text has several Chinese ones: `context` says which is meant."""
    return Text(text, _told(values), context)


def join(mark: str, texts: Iterable[str]) -> Text:
    """Texts one after the other; `; ` and `, ` between them become the marks of the language."""
    values = {f"t{number}": text for number, text in enumerate(texts)}
    return Text(mark.join(f"{{{name}}}" for name in values), values, _JOINED)


_HAN: Final = "[\u4e00-\u9fff]"
_BRACKETS: Final = re.compile(rf"(?<={_HAN})\(([^()]*)\)|\(([^()]*)\)(?={_HAN})|\(([^()]*{_HAN}[^()]*)\)")
_MARKS: Final = re.compile(rf"(?<={_HAN}|[）”])([,:;])(?: (?=\S))?|([,:;])(?: )?(?={_HAN})")
_FULL_WIDTH: Final = {",": "，", ":": "：", ";": "；"}


def full_width(chinese: str) -> str:
    """Chinese with its marks full width, as pages write them; marks between numbers or Latin letters stay."""
    said = _BRACKETS.sub(lambda found: f"（{found[1] or found[2] or found[3] or ''}）", chinese)
    return _MARKS.sub(lambda found: _FULL_WIDTH[found[1] or found[2]], said)


def both(english: str, chinese: str) -> Text:
    """A text that brings its own Chinese, as one out of a table of codes in two languages does."""
    return Text("{en}", {"en": english, "zh": chinese}, _BOTH)


def into(value: Any, language: str) -> Any:
    """A text in a language; anything else as it is."""
    return value.into(language) if isinstance(value, Text) else value


def as_data(text: str) -> Any:
    """The JSON form of a text, so that a stored text can still be shown in either language; see `from_data`.

    A value that is neither text nor a JSON number is kept as its words.
    """
    if not isinstance(text, Text):
        return text
    values = {
        n: as_data(v) if isinstance(v, str) else v if isinstance(v, int) else str(v) for n, v in text._values.items()
    }
    return {"text": text._template, "values": values, "context": text._context}


def from_data(data: Any) -> Any:
    """The text that `as_data` converted; anything else, such as a text stored as plain words, is returned unchanged."""
    if not isinstance(data, Mapping) or data.keys() != {"text", "values", "context"}:
        return data
    return Text(data["text"], {name: from_data(value) for name, value in data["values"].items()}, data["context"])


def recognise(sentence: str, known: Sequence[Text]) -> str:
    """The known text that an English sentence was made from; the sentence itself where none fits.

    For sentences that a file keeps without their values. `known`: made without values, so that the templates show.
    """
    for text in known:
        parts = re.split(r"\{(\w+)\}", text._template)
        pattern = "".join(f"(?P<{part}>.+)" if place % 2 else re.escape(part) for place, part in enumerate(parts))
        if found := re.fullmatch(pattern, sentence):
            values = {name: recognise(value, known) for name, value in found.groupdict().items()}
            return Text(text._template, values, text._context)
    return sentence


@functools.cache
def catalogue() -> gettext.NullTranslations:
    """The Chinese catalogue, read from its file at first use."""
    with CATALOGUE.open("rb") as file:
        return gettext.GNUTranslations(file)


def as_language(text: str) -> Language:
    """The supported language of a code: English for `en`, Chinese for anything else."""
    return "en" if text == "en" else "zh"


def said_by(error: BaseException) -> str:
    """The text an exception was raised with, so that it can still be shown in another language."""
    return error.args[0] if error.args and isinstance(error.args[0], Text) else str(error)


def _told(values: Mapping[str, Any]) -> Mapping[str, Any]:
    # An exception is kept as its text only: it may hold values that can't be pickled.
    return {name: said_by(value) if isinstance(value, BaseException) else value for name, value in values.items()}
