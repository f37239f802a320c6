# SPDX-License-Identifier: GPL-3.0-or-later
"""The writer of a statement folder, atomic: written next to its place, flushed to disk, then renamed.

An earlier statement in its place is replaced; any other folder that is not empty is refused and left unchanged.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from collector.base.durable import flush
from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.report.evidence import TITLES, EvidenceTable, made_tables, measured_tables, table_csv
from collector.report.manifest import manifest_json, run_id
from collector.report.segments import TRACES, UnpaidTime, WrittenSegments, with_outside_time, write_segments
from collector.report.summary import lines_of_statement, sum_up, summary_csv
from collector.report.tables import determinants_csv, ledger_csv, lines_csv, not_paid_csv, plants_csv
from collector.report.words import Paper
from collector.settlement.settle import Spread
from collector.settlement.statement import Statement, check_identities

MANIFEST: Final = "manifest.json"


def check_out(out: Path) -> None:
    """Check that a statement may be written to `out`, before a month is computed in vain.

    Raises:
        ConfigError: `out` is a file, or a folder that is not empty and holds no statement.
    """
    if not out.exists() and not out.is_symlink():
        return
    if out.is_symlink() or not out.is_dir():
        raise ConfigError([Problem(str(out), 0, "", tr("is no folder; name a new folder for the statement"))])
    if any(out.iterdir()) and not _is_statement(out):
        message = tr("has something in it that is no statement; name a new folder, nothing was touched")
        raise ConfigError([Problem(str(out), 0, "", message)])


def write_statement(
    statement: Statement,
    out: Path,
    *,
    spread: Spread = map,
    written: WrittenSegments | None = None,
    paper: Paper | None = None,
) -> dict[str, Any]:
    """Write the statement to `out` and return its manifest; the same bytes however the work is spread.

    `written`: segments already written that are not in `statement.segments`; they come first, their files are moved.
    `paper`: the run of a center it is of, which page and workbook name.

    Raises:
        ConfigError: as `check_out`.
        InvariantBroken: the statement contradicts itself; nothing is written.
        OSError: writing failed; nothing is left behind.
    """
    check_identities(statement)
    check_out(out)
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        manifest = _fill(statement, work, spread, written, paper)
        _swap(work, out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return manifest


def _fill(
    statement: Statement, work: Path, spread: Spread, written: WrittenSegments | None, paper: Paper | None
) -> dict[str, Any]:
    measured = write_segments(statement.segments, work, spread=spread, before=written)
    pa.default_memory_pool().release_unused()  # no tables from here on; the workbook needs the memory
    unpaid = with_outside_time(statement, measured.unpaid)
    made = made_tables(statement, unpaid)
    evidence = {**made, **measured_tables(work, measured.rows)}
    tables = [evidence[name] for name in TITLES if name in evidence]
    contents: dict[str, Callable[[], bytes] | None] = {
        "statement.xlsx": lambda: _workbook(statement, unpaid, tables, paper),  # first, because it takes longest
        **{f"{name}.csv": None for name in TRACES},  # written already
        "statement.html": lambda: _page(statement, unpaid, tables, paper),
        "lines.csv": lambda: lines_csv(statement),
        "plants.csv": lambda: plants_csv(statement),
        "determinants.csv": lambda: determinants_csv(statement),
        "not_paid.csv": lambda: not_paid_csv(unpaid),
        "ledger.csv": lambda: ledger_csv(statement, run_id(statement)),
        **{f"{name}.csv": partial(table_csv, table) for name, table in made.items()},
        "summary.csv": lambda: summary_csv(sum_up(lines_of_statement(statement), months_only=True)),
    }

    def write(name: str) -> str:
        """Write one file to the disk; returns its SHA-256."""
        path, make = work / name, contents[name]
        if make is not None:
            path.write_bytes(make())
        flush(path)
        return _sha256(path)

    hashes = dict(zip(contents, spread(write, contents), strict=True))
    data = manifest_json(statement, hashes)
    (work / MANIFEST).write_bytes(data)
    flush(work / MANIFEST)
    flush(work)
    manifest: dict[str, Any] = json.loads(data)
    return manifest


def _workbook(
    statement: Statement, unpaid: Sequence[UnpaidTime], evidence: Sequence[EvidenceTable], paper: Paper | None
) -> bytes:
    from collector.report.workbook import workbook_xlsx  # slow to import, and only one of two processes needs it

    return workbook_xlsx(statement, unpaid, evidence, paper)


def _page(
    statement: Statement, unpaid: Sequence[UnpaidTime], evidence: Sequence[EvidenceTable], paper: Paper | None
) -> bytes:
    from collector.report.page import page_html  # as above

    return page_html(statement, unpaid, evidence, paper)


def _swap(work: Path, out: Path) -> None:
    """Rename `work` to `out`; an earlier statement is renamed first and deleted last."""
    if not out.exists():
        work.rename(out)
    else:
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
        out.rename(aside / "statement")
        work.rename(out)
        shutil.rmtree(aside)
    flush(out.parent)


def _is_statement(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and "result_hash" in manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
