# SPDX-License-Identifier: GPL-3.0-or-later
"""A settlement folder (formats.md) → `Inputs`: every file is checked, or the folder is refused with all findings."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import pyarrow as pa

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.settlement.inputs import Inputs
from collector.settlement.rulebook.rules import Rulebook
from collector.sheets.files import Delivered, read_delivered
from collector.sheets.findings import Findings
from collector.tables.columns import empty_table
from collector.tables.dispatch import (
    read_exclusions,
    read_meter_changes,
    read_orders,
    read_rates,
    read_reserve_calls,
    read_reserve_minimum,
    read_reserves,
    read_revenue,
    read_start_stop_table,
)
from collector.tables.limits import PLAN, RESERVE, InputRules, PowerLimits
from collector.tables.records import RECORD_COLUMNS, Records, read_records, unit_names
from collector.tables.register import RegisterFile, load_register
from collector.tables.schedules import read_plan, read_voltage_band

T = TypeVar("T")

SUFFIXES: Final = (".csv", ".xlsx", ".e")
TABLES: Final = (
    "plan",
    "orders",
    "reserve",
    "voltage_band",
    "exclusions",
    "revenue",
    "rates",
    "start_stop_table",
    "meter_changes",
    "reserve_calls",
    "reserve_minimum",
)


def load_folder(directory: Path, rulebook: Rulebook | None = None) -> Inputs:
    """Read and check the folder. It may cover any months: records and rows of other months are not used.

    `rulebook`: gives the known areas and the limits of plausible values; None: neither is checked.

    Raises:
        ConfigError: every problem of every file, each once.
    """
    return _load(directory, rulebook, _read_records)


def load_dispatch_side(
    directory: Path,
    rulebook: Rulebook | None = None,
    *,
    plan: tuple[str, pa.Table] | None = None,
    verify: Callable[[Delivered], None] = lambda _: None,
) -> Inputs:
    """Read and check all but the records, for a caller that has measured them already; the inputs hold none.

    `plan`: SHA-256 and rows of a plan.csv that passed its checks before; it is read again only to report the row that
    the register makes wrong. `rulebook`: as for `load_folder`. `verify`: called with each file right after reading; its
    exceptions pass through.

    Raises:
        ConfigError: every problem of every file, each once.
    """
    return _load(directory, rulebook, lambda _directory, _known, _findings: NO_RECORDS, plan, verify)


NO_RECORDS: Final = Records(empty_table(RECORD_COLUMNS[:2]), {}, {})
_ReadRecords = Callable[[Path, RegisterFile, Findings], Records | None]


def _read_records(directory: Path, known: RegisterFile, findings: Findings) -> Records | None:
    return read_records(directory / "records", known.units, findings, ignored=known.ignored)


def _load(
    directory: Path,
    rulebook: Rulebook | None,
    read: _ReadRecords,
    known_plan: tuple[str, pa.Table] | None = None,
    verify: Callable[[Delivered], None] = lambda _: None,
) -> Inputs:
    if not directory.is_dir():
        raise ConfigError([Problem(str(directory), 0, "", tr("is no folder; --data names a settlement folder"))])
    findings = Findings()
    sources: dict[str, str] = {}
    rules = None if rulebook is None else InputRules.of(rulebook)
    known = _register(directory, rules, sources, findings, verify)
    _check_names(directory, findings)
    units, plan_limits = known.units, known.power_limits(PLAN)
    records = read(directory, known, findings)

    def table(name: str, read: Callable[[Delivered], T]) -> T | None:
        delivered = _find(directory, name, findings)
        if delivered is None:
            return None
        verify(delivered)
        sources[delivered.name] = delivered.sha256
        return read(replace(delivered, ignored=known.ignored))

    if known_plan is not None and _still_good(known_plan[1], units, plan_limits):
        sources["plan.csv"], plan = known_plan
    else:
        plan = table("plan", lambda d: read_plan(d, units, findings, plan_limits))
    orders = table("orders", lambda d: read_orders(d, units, findings))
    reserves = table("reserve", lambda d: read_reserves(d, units, findings, known.power_limits(RESERVE)))
    bands = table("voltage_band", lambda d: read_voltage_band(d, units, findings))
    exclusions = table("exclusions", lambda d: read_exclusions(d, units, known.services, findings))
    revenue = table("revenue", lambda d: read_revenue(d, known, findings))
    rates = table("rates", lambda d: read_rates(d, units, findings))
    prices = table("start_stop_table", lambda d: read_start_stop_table(d, findings))
    changes = table("meter_changes", lambda d: read_meter_changes(d, units, findings))
    calls = table("reserve_calls", lambda d: read_reserve_calls(d, units, findings, known.power_limits(RESERVE)))
    least = table("reserve_minimum", lambda d: read_reserve_minimum(d, known.areas, findings))
    findings.refuse_if_any()
    assert records is not None
    assert known.register is not None
    sources.update(records.sources)
    return Inputs(
        register=known.register,
        records=records.table,
        unit_columns=records.unit_columns,
        plan=plan,
        orders=orders,
        reserves=reserves,
        voltage_band=bands,
        exclusions=exclusions,
        revenue=revenue,
        rates=rates,
        start_stop_table=prices,
        meter_changes=changes,
        reserve_calls=calls,
        reserve_minimum=least,
        sources=dict(sorted(sources.items())),
        notes=tuple((note.file, note.message) for note in findings.notes),
    )


def _still_good(plan: pa.Table, units: Collection[str] | None, limits: PowerLimits | None) -> bool:
    """True if a plan that passed its checks before passes them with this register too."""
    return set(unit_names(plan)) <= set(units or ()) and not (limits and limits.beyond(plan))


def _register(
    directory: Path,
    rules: InputRules | None,
    sources: dict[str, str],
    findings: Findings,
    verify: Callable[[Delivered], None],
) -> RegisterFile:
    path = directory / "register.toml"
    if not path.exists() and not path.is_symlink():
        findings.add("register.toml", 0, "", tr("is missing; it names areas, plants and units"))
        return RegisterFile(None, None, None, None)
    delivered = read_delivered(path, "register.toml", findings)
    if delivered is None:
        return RegisterFile(None, None, None, None)
    verify(delivered)
    sources[delivered.name] = delivered.sha256
    return load_register(delivered, findings, rules)


def _find(directory: Path, name: str, findings: Findings) -> Delivered | None:
    """The one file of a table, as CSV, XLSX or E text. None where it was not delivered, or was refused."""
    candidates = tuple(directory / f"{name}{suffix}" for suffix in SUFFIXES)
    paths = [path for path in candidates if path.exists() or path.is_symlink()]
    if len(paths) > 1:
        findings.add(paths[1].name, 0, "", tr("is there beside {name}; keep one", name=paths[0].name))
        return None
    delivered = read_delivered(paths[0], paths[0].name, findings) if paths else None
    return None if delivered is None else replace(delivered, table=name)


def _check_names(directory: Path, findings: Findings) -> None:
    """Report unknown file names: a misspelt name would look like a file that was not delivered."""
    known = [f"{name}{suffix}" for name in TABLES for suffix in SUFFIXES] + ["register.toml"]
    for path in sorted(directory.iterdir()):
        name = path.name
        if name in known or name.startswith((".", "~$")) or not path.is_file():
            continue
        near = difflib.get_close_matches(name.lower(), known, 1, cutoff=0.8)
        if near:
            findings.add(name, 0, "", tr("unknown file; did you mean {near!r}?", near=near[0]))
