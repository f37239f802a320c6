# SPDX-License-Identifier: GPL-3.0-or-later
"""A statement folder appears whole or not at all: written beside its place, flushed, then renamed.

An earlier statement in its place is replaced; any other folder with something in it is left alone and refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from collector.errors import ConfigError, Problem
from collector.report.manifest import manifest_json, run_id
from collector.report.page import page_html
from collector.report.segments import write_segments
from collector.report.tables import determinants_csv, ledger_csv, lines_csv, plants_csv, primary_frequency_csv
from collector.report.unpaid import not_paid_csv, with_outside_time
from collector.report.workbook import workbook_xlsx
from collector.settlement.settle import Spread
from collector.settlement.statement import Statement, check_identities

MANIFEST: Final = "manifest.json"


def check_out(out: Path) -> None:
    """Whether a statement may be written to `out`; asked before a month is computed for nothing.

    Raises:
        ConfigError: it is a file, or a folder with something in it that is no statement.
    """
    if not out.exists() and not out.is_symlink():
        return
    if out.is_symlink() or not out.is_dir():
        raise ConfigError([Problem(str(out), 0, "", "is no folder; name a new folder for the statement")])
    if any(out.iterdir()) and not _is_statement(out):
        message = "has something in it that is no statement; name a new folder, nothing was touched"
        raise ConfigError([Problem(str(out), 0, "", message)])


def write_statement(statement: Statement, out: Path, *, spread: Spread = map) -> dict[str, Any]:
    """Write the statement to `out` and return its manifest; the same bytes however the work is spread.

    Raises:
        ConfigError: as `check_out`.
        InvariantBroken: the statement contradicts itself; nothing is written.
        OSError: the disk refuses; nothing of it stays.
    """
    check_identities(statement)
    check_out(out)
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        manifest = _fill(statement, work, spread)
        work.chmod(0o755)
        _swap(work, out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return manifest


def _fill(statement: Statement, work: Path, spread: Spread) -> dict[str, Any]:
    measured = write_segments(statement.segments, work / "segments.csv", spread=spread)
    unpaid = with_outside_time(statement, measured)
    contents: dict[str, Callable[[], bytes]] = {
        "statement.xlsx": lambda: workbook_xlsx(statement, unpaid),  # first, for it takes longest
        "statement.html": lambda: page_html(statement, unpaid),
        "primary_frequency.csv": lambda: primary_frequency_csv(statement),
        "lines.csv": lambda: lines_csv(statement),
        "plants.csv": lambda: plants_csv(statement),
        "determinants.csv": lambda: determinants_csv(statement),
        "not_paid.csv": lambda: not_paid_csv(unpaid),
        "ledger.csv": lambda: ledger_csv(statement, run_id(statement)),
    }
    for name, data in zip(contents, spread(lambda make: make(), contents.values()), strict=True):
        (work / name).write_bytes(data)
    hashes = {path.name: _sha256(path) for path in sorted(work.iterdir())}
    data = manifest_json(statement, hashes)
    (work / MANIFEST).write_bytes(data)
    for path in work.iterdir():
        _flush(path)
    _flush(work)
    manifest: dict[str, Any] = json.loads(data)
    return manifest


def _swap(work: Path, out: Path) -> None:
    """Put `work` in the place of `out`; an earlier statement steps aside first and goes last."""
    if not out.exists():
        work.rename(out)
    else:
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
        out.rename(aside / "statement")
        work.rename(out)
        shutil.rmtree(aside)
    _flush(out.parent)


def _is_statement(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and "result_hash" in manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
