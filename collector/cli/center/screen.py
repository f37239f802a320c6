# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers of the center's verbs: months and people from the command line, tables and JSON for the screen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.base.text import said_by
from collector.cli.center.store import find_config
from collector.cli.language import print_text, say
from collector.cli.table import print_table

if TYPE_CHECKING:
    from collector.center.people.access import Actor

MonthArgument = Annotated[str, typer.Argument(metavar="MONTH", help="YYYY-MM")]


def parse_month(text: str) -> Any:
    """A month from the command line.

    Raises:
        typer.BadParameter: not a month.
    """
    from collector.model.interval import Month

    try:
        return Month.parse(text)
    except ValueError as error:
        raise typer.BadParameter(say(said_by(error)), param_hint="MONTH") from error


def actor_of(who: str) -> Actor:
    """The actor at the command line: the claimed name, else the system's user, which is recorded in any case."""
    from collector.center.people.access import Actor
    from collector.cli.login import system_login, system_user

    return Actor.at_command_line(who or system_user(), system_login())


def decider_of(who: str, config: Path | None, state: str) -> Actor:
    """The actor who decides a proposal of somebody else: center.toml may say that people share a system user."""
    from collector.center.settings import load_center

    found = find_config(config, state)
    shared = load_center(found).center.shared_login if found else False
    return replace(actor_of(who), shared_login=shared)


def show_rows(title: str, names: Sequence[str], rows: Sequence[Sequence[Any]], *, as_json: bool = False) -> None:
    """A table on the screen, or the same as JSON; texts of people never control the terminal."""
    if as_json:
        print(to_json([dict(zip(names, row, strict=True)) for row in rows]))
        return
    if not rows:
        print_text("{title}: nothing to list", title=title)
        return
    print_table(title, names, [["" if cell is None else _printable(say(cell)) for cell in row] for row in rows])


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def to_json(value: Any) -> str:
    """JSON of rows and dataclasses; decimals, days and months as text."""
    return json.dumps(_plain(value), ensure_ascii=False, indent=1)


def _plain(value: Any) -> Any:
    from collector.model.interval import Month

    if isinstance(value, Month):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    return value if value is None or isinstance(value, (bool, int)) else str(value)


def time_text(time_utc_ms: int | None) -> str:
    """A time for the screen; empty for None."""
    from collector.model.interval import format_time

    return "" if time_utc_ms is None else format_time(time_utc_ms)
