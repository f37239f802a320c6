# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector --version`: version, commit, and versions of the written formats, each from where it is defined."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Final

import typer

from collector import __version__
from collector.base.build import commit

# Batches on the wire, the agent's buffer, the center's store, the measuring kernel.
_SCHEMAS: Final = {
    "wire": ("collector.wire", "SCHEMA_VERSION"),
    "buffer": ("collector.agent.buffer.ledger_schema", "SCHEMA_VERSION"),
    "store": ("collector.center.db.tables_receive", "SCHEMA_VERSION"),
    "kernel": ("collector.settlement.measure_units", "KERNEL_VERSION"),
}


def print_version(wanted: bool) -> None:
    """Print both lines and end the program, where wanted."""
    if wanted:
        schemas = ", ".join(f"{name} {version}" for name, version in schema_versions())
        print(f"collector {__version__} (commit {commit()})\n{schemas}")
        raise typer.Exit


def schema_versions() -> Iterator[tuple[str, str]]:
    """Name and version of each; those of the center are left out where its packages are not installed."""
    for name, (module, constant) in _SCHEMAS.items():
        try:
            yield name, str(getattr(import_module(module), constant))
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("collector"):
                raise
