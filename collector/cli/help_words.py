# SPDX-License-Identifier: GPL-3.0-or-later
"""The help of the verbs in Chinese: docstrings and option texts are English in the code, the catalogue has the other.

An English help keeps the few Chinese words at the end of each verb, so that one who can't set a language finds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import typer
from click import Context

from collector.base.text import Text, catalogue, into, tr, tr_in
from collector.cli.verbs import Verbs

# What Typer writes itself around our texts.
_HEADINGS: Final[Mapping[str, Text]] = {
    str(heading): heading for heading in (
        tr_in("help", "Usage"), tr_in("help", "Arguments"), tr_in("help", "Options"), tr_in("help", "Commands"),
    )
}  # fmt: skip
_MARKS: Final = (tr("[default: "), tr("[required]"))


def _heading(english: str) -> str:
    """A heading in Chinese; that of a panel brings its own, after a dot."""
    own = english.rpartition(" · ")[2]
    return str(into(_HEADINGS.get(english, own), "zh")) + "\uff1a"


class _ChineseFormatter(typer.Context.formatter_class):  # type: ignore[misc, valid-type]
    """Usage, headings and marks of a help in Chinese."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, prefix or _heading("Usage"))

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':{self.current_indent}}{_heading(heading)}\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], *arguments: Any, **named: Any) -> None:
        said = []
        for name, text in rows:
            for mark in _MARKS:
                text = text.replace(mark, into(mark, "zh"))
            said.append((name, text))
        super().write_dl(said, *arguments, **named)


class _ChineseContext(typer.Context):
    formatter_class = _ChineseFormatter


def every_text(command: Any) -> Iterator[str]:
    """Each text of a command's help and of all verbs below it, as it stands in the code."""
    yield from filter(None, (command.help, command.epilog, *(getattr(each, "help", None) for each in command.params)))
    for verb in getattr(command, "commands", {}).values():
        yield from every_text(verb)


def put_into_chinese(command: Any) -> None:
    """Give a command, its options and each verb below it, once made, their Chinese; what has none stays English."""
    words = catalogue().gettext
    command.context_class = _ChineseContext
    if command.help:
        command.help = words(command.help)
    if command.epilog:
        command.epilog = words(command.epilog)
    for parameter in (*command.params, command.get_help_option(Context(command))):
        if getattr(parameter, "help", None):
            parameter.help = words(parameter.help)
    list_whole(command)
    _below(command, put_into_chinese)


def list_whole(command: Any) -> None:
    """Let each list of verbs show the first sentence of a verb's help; click cuts it where the line is full.

    Click also takes an abbreviation for the end of a sentence ("Art. 24"), and knows no Chinese full stop.
    """
    if command.help:
        first = re.split(r"(?<!Art\.)(?<=\.)\s|\u3002", command.help.partition("\n")[0], maxsplit=1)[0]
        command.short_help = first.strip()
    _below(command, list_whole)


def _below(command: Any, change: Callable[[Any], None]) -> None:
    verbs = getattr(command, "commands", {})
    if isinstance(verbs, Verbs):
        verbs.change = change
        return
    for verb in verbs.values():
        change(verb)


# Click's own text of --help.
SHOW_HELP: Text = tr("Show this message and exit.")
