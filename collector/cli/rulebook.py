# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector rulebook check | show | diff`: check a rulebook, list its content, compare two."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.base.resources import config_path
from collector.base.text import said_by
from collector.cli.language import print_text, say
from collector.cli.verbs import VerbGroup

if TYPE_CHECKING:
    from collector.settlement.rulebook.text import RuleLine

RULEBOOK = "rules/east-china-trial"

app = typer.Typer(
    cls=VerbGroup, no_args_is_help=True, help="The dated values, services and readings of a rule. 规则库。"
)


def register(root: typer.Typer) -> None:
    """Add the group to `collector`."""
    root.add_typer(app, name="rulebook")


@app.command("check")
def check(directory: Annotated[Path, typer.Argument(help="A rulebook directory.")]) -> None:
    """Load a rulebook and say what is in it; every problem with file and place, exit 1."""
    from collector.settlement.rulebook.load import load_rulebook

    book = load_rulebook(directory)
    print_text(
        "{id}: sound, {values} values, {services} services, {readings} readings, {hash}",
        id=book.id,
        values=len(book.values),
        services=len(book.services),
        readings=len(book.readings),
        hash=book.hash,
    )


@app.command("show")
def show(
    directory: Annotated[Path | None, typer.Argument(help="A rulebook directory; default: the one shipped.")] = None,
    on: Annotated[str | None, typer.Option(help="Only what holds on this local date, YYYY-MM-DD.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List a rulebook's rows."""
    from collector.model.interval import parse_day
    from collector.settlement.rulebook.load import load_rulebook
    from collector.settlement.rulebook.text import rule_lines, rule_lines_on

    book = load_rulebook(directory or config_path(RULEBOOK))
    try:
        lines = list(rule_lines_on(book, parse_day(on)) if on else rule_lines(book))
    except ValueError as error:
        raise typer.BadParameter(say(said_by(error)), param_hint="--on") from error
    if as_json:
        print(json.dumps([asdict(line) for line in lines], ensure_ascii=False, indent=1))
        return
    for line in lines:
        print(_text(line))


@app.command("diff")
def diff(
    left: Annotated[Path, typer.Argument(help="A rulebook directory.")],
    right: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the rows only one of two rulebooks has; exit 1 if there are any."""
    from collector.settlement.rulebook.load import load_rulebook
    from collector.settlement.rulebook.text import rulebook_difference

    found = rulebook_difference(load_rulebook(left), load_rulebook(right))
    if as_json:
        print(json.dumps([{"sign": sign} | asdict(line) for sign, line in found], ensure_ascii=False, indent=1))
    else:
        for sign, line in found:
            print(f"{sign} {_text(line)}")
    if found:
        raise typer.Exit(1)


def _text(line: RuleLine) -> str:
    of = " ".join(part for part in (line.key, line.area and f"({line.area})") if part)
    name = f"{line.id} [{of}]" if of else line.id
    value = f"{line.value or '-'} {line.unit}".strip()
    return f"{name:52} {value:28} {line.state:9} from {line.from_day}  Art. {line.article}  {line.cite}"
