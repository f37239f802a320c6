# SPDX-License-Identifier: GPL-3.0-or-later
"""A group of verbs that are looked for when they are asked for: one verb's help loads the module of that verb alone.

Typer makes all verbs of a program before it looks at the first word, which takes longer than most verbs. Here a group
knows its verbs by a table (`panels`): name and module of each, in panels. The module's `register` adds what it has to
an empty Typer; the verb asked for is made of that. A list of verbs needs no more of them than their first lines.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import (
    get_command_from_info,
    get_command_name,
    get_group_from_info,
    solve_typer_info_defaults,
)

from collector.cli.panels import Panels

_ROOM: Final = "collector.cli."
_HOW: Final[Mapping[str, Any]] = {"pretty_exceptions_short": True, "rich_markup_mode": None}


class _PlainValue:
    """A text or a path as it was typed, which Typer would load pydantic to look at."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value of a parameter; of a path what the library checks."""
        if value is None or param.type_descriptor.annotation is str:
            return value
        from typer._param_types import coerce_cli_path

        info = param.type_descriptor.parameter_info
        return coerce_cli_path(Path(value), info, path_type=Path, param=param, ctx=ctx)


def _without_pydantic(params: Iterable[Any]) -> None:
    """Let flags that are not given, texts and paths cost nothing: pydantic takes longer to load than a verb to run."""
    for param in params:
        if param.default is None and getattr(param, "is_flag", False):
            param.default = False  # for None Typer would ask pydantic whether it is a bool
        described = getattr(param, "type_descriptor", None)
        if described is None or param.multiple or param.nargs != 1 or described.annotation not in (str, Path):
            continue
        info = described.parameter_info
        if info.parser is None and info.path_type is None:
            param._runtime_param = _PlainValue()


class VerbCommand(TyperCommand):
    """A verb whose flags, texts and paths cost nothing."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words as click does."""
        _without_pydantic(self.get_params(ctx))
        return super().parse_args(ctx, args)


def _leave(command: Any) -> None:
    """Leave a command as it is."""


class Verbs(MutableMapping[str, Any]):
    """Click commands by name, each made at its first use. `modules`: the module of each, below `collector.cli`.

    `change`: what is done to each when it is made, and to the line of it in a list; nothing by default.
    """

    def __init__(self, modules: Mapping[str, str]) -> None:
        self.change: Callable[[Any], None] = _leave
        self._modules = modules
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            found = self._registered(name)
            if isinstance(found, typer.models.CommandInfo) and found.cls in (None, TyperCommand):
                found.cls = VerbCommand
            self._made[name] = (
                get_command_from_info(found, **_HOW)
                if isinstance(found, typer.models.CommandInfo)
                else get_group_from_info(found, suggest_commands=True, **_HOW)
            )
            self.change(self._made[name])
        return self._made[name]

    def __setitem__(self, name: str, verb: Any) -> None:
        self._made[name] = verb

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    def short_help(self, name: str) -> str:
        """The short help of one verb, as a list of verbs shows it."""
        found = self._registered(name)
        if isinstance(found, typer.models.CommandInfo):
            text = found.help or (found.callback.__doc__ if found.callback else None)
        else:
            text = solve_typer_info_defaults(found).help
        listed = TyperCommand(name, help=inspect.cleandoc(text or ""))
        self.change(listed)
        return listed.get_short_help_str()

    def _registered(self, name: str) -> Any:
        """The verb or group that a module registered under this name."""
        if name not in self._modules:
            raise KeyError(name)
        added = typer.Typer()
        importlib.import_module(_ROOM + self._modules[name]).register(added)
        for command in added.registered_commands:
            if (command.name or get_command_name(command.callback.__name__)) == name:  # type: ignore[union-attr]
                return command
        for group in added.registered_groups:
            if group.name == name:
                return group
        raise AssertionError(f"{self._modules[name]} registers no verb {name}")


class VerbGroup(TyperGroup):
    """A group of verbs whose own flags cost nothing until they are given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words as click does."""
        _without_pydantic(self.get_params(ctx))
        return super().parse_args(ctx, args)


def group_of(panels: Panels) -> type[VerbGroup]:
    """The kind of group that has the verbs of `panels`, and lists them by panel in its help."""
    modules = {name: module for verbs in panels.values() for name, module in verbs.items()}
    width = max(map(len, modules))

    class Grouped(VerbGroup):
        """Verbs by panel."""

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.commands: Verbs = Verbs(modules)

        def format_commands(self, ctx: Any, formatter: Any) -> None:
            del ctx
            for panel, names in panels.items():
                with formatter.section(panel):
                    formatter.write_dl([(name.ljust(width), self.commands.short_help(name)) for name in names])

    return Grouped
