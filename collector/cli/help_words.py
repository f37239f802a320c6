# SPDX-License-Identifier: GPL-3.0-or-later
"""The help of the verbs in Chinese: docstrings and option texts are English in the code, the catalogue has the other;
and what Typer itself says of words that a verb can't take.

An English help keeps the few Chinese words at the end of each verb, so that one who can't set a language finds it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import typer
from click import Context
from typer.exceptions import TyperException

from collector.base.text import Text, catalogue, into, recognise, tr, tr_in
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


# Typer's sentences as it writes them; the first that fits is used. A test has Typer say them.
_SENTENCES: Final = (
    tr("Invalid value for {name}: {what}"),
    tr("Invalid value: {what}"),
    tr("No such command {name}. Did you mean {names}?"),
    tr("No such command {name}."),
    tr("No such option: {name} (Possible options: {names})"),
    tr("No such option: {name}"),
    tr("Missing argument {name}."),
    tr("Missing option {name}."),
    tr("Got unexpected extra argument(s) ({words})"),
    tr("Option {name} requires an argument."),
    tr("Option {name} does not take a value."),
    tr("Value error, {value} is not one of {names}."),
    tr("Input should be a valid integer, unable to parse string as an integer"),
    tr("Input should be a valid number, unable to parse string as a number"),
    tr("Input should be greater than or equal to {least}"),
    tr("Input should be less than or equal to {most}"),
)


def in_chinese(said: str) -> str:
    """A sentence of Typer in Chinese; one that it has from a verb stands in the terminal's language already."""
    return str(into(recognise(said, _SENTENCES), "zh"))


def refuse_in_chinese(program: Any) -> None:
    """Let a program tell in Chinese what it can't take of the words it was given."""
    program.make_context, program.invoke = _telling(program.make_context), _telling(program.invoke)


def _telling(do: Callable[..., Any]) -> Callable[..., Any]:
    def done(*words: Any, **more: Any) -> Any:
        try:
            return do(*words, **more)
        except TyperException as error:
            if type(error).__name__ != "NoArgsIsHelpError":  # which shows the help
                vars(error)["show"] = partial(_show, error)
            raise

    return done


def _show(error: TyperException) -> None:
    """Usage, the way to the help, and what is wrong: as Typer shows it."""
    context: Any = getattr(error, "ctx", None)
    if context is not None:
        way = tr("{command} --help tells more", command=context.command_path)
        print(context.get_usage(), into(way, "zh"), "", sep="\n", file=sys.stderr)
    print(f"{into(tr('error'), 'zh')}\uff1a{in_chinese(error.format_message())}", file=sys.stderr)
