# SPDX-License-Identifier: GPL-3.0-or-later
"""How the verbs of `center` find their store: by center.toml, or by the state directory itself."""

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
ConfigArgument = Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="center.toml, as with --config")]
StateOption = Annotated[str, typer.Option("--state", metavar="DIR", help="The state directory itself.")]
DaysOption = Annotated[Path | None, typer.Option("--tables", help="Working-day tables; default: those shipped.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The same as JSON.")]


def open_store(config: Path | None, state: str, *, create: bool = False) -> CenterStore:
    """The store; `state` goes before what center.toml names.

    Raises:
        ConfigError: center.toml is wrong.
        StoreError: there is no store and `create` is False.
    """
    from collector.base.clock import SystemClock
    from collector.center.db.store import READ_ONLY, CenterStore

    directory, url = place_of_store(config, state)
    store = CenterStore.open(directory, clock=SystemClock(), database_url=url, create=create)
    if store.is_read_only:
        print(say(tr("{directory} {is_read_only}", directory=directory, is_read_only=READ_ONLY)), file=sys.stderr)
    return store


def place_of_store(config: Path | None, state: str) -> tuple[Path, str]:
    """The state directory and the address of the database (empty: SQLite in it); `state` goes before center.toml's.

    Raises:
        ConfigError: center.toml is wrong.
    """
    from collector.center.settings import load_center

    found = find_config(config, state)
    settings = load_center(found) if found else None
    directory = state or (settings.center.state_dir if settings else "")
    return Path(directory), settings.center.database_url if settings else ""


def named_config(argument: Path | None, option: Path | None) -> Path | None:
    """The center.toml of a verb that takes it as an argument or as --config, whichever was given."""
    if argument is not None and option is not None and argument != option:
        raise typer.BadParameter(
            say(tr("{argument} and {option} are named; name one", argument=argument, option=option)),
            param_hint="--config",
        )
    return argument if option is None else option


def needed_config(argument: Path | None, option: Path | None) -> Path:
    """The same for a verb that can't do without: named, or where it usually is."""
    found = find_config(named_config(argument, option), "")
    assert found is not None  # no state directory takes its place
    return found


def find_config(config: Path | None, state: str) -> Path | None:
    """The center.toml named, or where it usually is; None where the state directory is named instead."""
    if config is not None or state:
        return config
    # Under runuser the caller's own folder may be closed to the service's user: nothing of it is meant then.
    may_look = [path for path in USUAL_PLACES if path.is_absolute() or os.access(".", os.X_OK)]
    found = next((path for path in may_look if path.exists()), None)
    if found is None:
        places = " and ".join(map(str, USUAL_PLACES))
        raise typer.BadParameter(
            say(tr("name center.toml, or the state directory with --state; there is no {places}", places=places))
        )
    return found


def anchor_files(config: Path | None, state: str) -> list[Path]:
    """Where center.toml has the heads of the store's chains appended, as far as anything was."""
    from collector.center.settings import load_center

    found = find_config(config, state)
    name = load_center(found).center.anchor_file if found else ""
    return [Path(name)] if name and Path(name).exists() else []


def rulebook_of_center(config: Path | None, state: str) -> Path:
    """The rulebook directory months are settled by: what center.toml names, else the one shipped."""
    from collector.base.resources import config_path
    from collector.center.runs.rulebooks import SHIPPED, rulebook_path
    from collector.center.settings import load_center

    found = find_config(config, state)
    return rulebook_path(load_center(found)) if found else config_path(SHIPPED)


def days_of_center(config: Path | None, state: str, tables: Path | None) -> DutyDays:
    """What the duties go by: the working days, and the rulebook months are settled by."""
    from collector.center.runs.rulebooks import duty_days

    return duty_days(rulebook_of_center(config, state), tables)
