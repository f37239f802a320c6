# SPDX-License-Identifier: GPL-3.0-or-later
"""The store of the verbs of `center`: by center.toml, or by the state directory itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from collector.base.text import tr
from collector.cli.language import say

if TYPE_CHECKING:
    from collector.center.db.store import CenterStore
    from collector.settlement.rulebook.calendar import DutyDays

USUAL_PLACES: Final = (Path("center.toml"), Path("/etc/collector/center.toml"))

ConfigOption = Annotated[Path | None, typer.Option("--config", metavar="CONFIG", help="center.toml")]
ConfigArgument = Annotated[Path | None, typer.Argument(metavar="CONFIG", help="center.toml, as with --config")]
StateOption = Annotated[str, typer.Option("--state", metavar="DIR", help="The state directory itself.")]
DaysOption = Annotated[Path | None, typer.Option("--tables", help="Working-day tables; default: those shipped.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The same as JSON.")]


def open_store(config: Path | None, state: str, *, create: bool = False) -> CenterStore:
    """Open the store; `state` takes precedence over center.toml.

    Raises:
        ConfigError: center.toml is wrong.
        StoreError: there is no store and `create` is False.
    """
    from collector.base.clock import SystemClock
    from collector.center.db.store import READ_ONLY, CenterStore

    directory, url, lake_url = place_of_store(config, state)
    store = CenterStore.open(directory, clock=SystemClock(), database_url=url, lake_url=lake_url, create=create)
    if store.is_read_only:
        print(say(tr("{directory} {is_read_only}", directory=directory, is_read_only=READ_ONLY)), file=sys.stderr)
    return store


def place_of_store(config: Path | None, state: str) -> tuple[Path, str, str]:
    """The state directory and the database URL (empty: SQLite in it); `state` takes precedence over center.toml.

    Raises:
        ConfigError: center.toml is wrong.
    """
    from collector.center.settings import load_center

    found = find_config(config, state)
    settings = load_center(found) if found else None
    directory = state or (settings.center.state_dir if settings else "")
    if settings is None:
        return Path(directory), "", ""
    return Path(directory), settings.center.database_url, settings.lake.url


def named_config(argument: Path | None, option: Path | None) -> Path | None:
    """The center.toml of a verb that accepts it as an argument or as --config, whichever was given."""
    if argument is not None and option is not None and argument != option:
        raise typer.BadParameter(
            say(tr("{argument} and {option} are named; name one", argument=argument, option=option)),
            param_hint="--config",
        )
    return argument if option is None else option


def needed_config(argument: Path | None, option: Path | None) -> Path:
    """The center.toml of a verb that requires one: the named file, or one at a usual place."""
    found = find_config(named_config(argument, option), "")
    assert found is not None  # without a state directory a file is required
    return found


def find_config(config: Path | None, state: str) -> Path | None:
    """The named center.toml, or one at a usual place; None where the state directory is named instead."""
    if config is not None or state:
        return config
    # Under runuser the caller's folder may be closed to the service's user: then it is not searched.
    may_look = [path for path in USUAL_PLACES if path.is_absolute() or os.access(".", os.X_OK)]
    found = next((path for path in may_look if path.exists()), None)
    if found is None:
        here, usual = USUAL_PLACES
        words = tr("name center.toml, or the state directory with --state; there is neither {here} here nor {usual}",
                   here=here, usual=usual)  # fmt: skip
        raise typer.BadParameter(say(words))
    return found


def anchor_files(config: Path | None, state: str) -> list[Path]:
    """The file to which center.toml has the chain heads appended, if it exists."""
    from collector.center.settings import load_center

    found = find_config(config, state)
    name = load_center(found).center.anchor_file if found else ""
    return [Path(name)] if name and Path(name).exists() else []


def rulebook_of_center(config: Path | None, state: str) -> Path:
    """The rulebook directory of settlements: named by center.toml, else the shipped one."""
    from collector.base.resources import config_path
    from collector.center.runs.rulebooks import SHIPPED, rulebook_path
    from collector.center.settings import load_center

    found = find_config(config, state)
    return rulebook_path(load_center(found)) if found else config_path(SHIPPED)


def days_of_center(config: Path | None, state: str, tables: Path | None) -> DutyDays:
    """The days of the duties: by the working days, and the rulebook of settlements."""
    from collector.center.runs.rulebooks import duty_days

    return duty_days(rulebook_of_center(config, state), tables)
