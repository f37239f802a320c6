# SPDX-License-Identifier: GPL-3.0-or-later
"""manifest.json: the facts a third party needs to repeat a run and to find what differs between two runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from collector import __version__
from collector.base.text import tr
from collector.report.numbers import format_amount, format_instant
from collector.settlement.statement import RESULT_HASH_VERSION, Statement

SCHEMA_VERSION: Final = 2
STATEMENT_HASH_VERSION: Final = 1


def input_hash(sources: Mapping[str, str]) -> str:
    """One SHA-256 over the names and hashes of all input files."""
    text = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sources.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def statement_hash(files: Mapping[str, str]) -> str:
    """One SHA-256 over all other files of a statement folder; `files`: SHA-256 of each by name."""
    return input_hash(files)


def hashes_wrong(manifest: Mapping[str, Any], subject: str) -> Iterator[str]:
    """Check that a manifest's hash over all files agrees with the files it lists.

    Yields a message if it differs. Manifests of older versions have no such hash and are not checked.
    """
    if manifest.get("statement_hash_version") == STATEMENT_HASH_VERSION:
        found = statement_hash(manifest["files"])
        if manifest["statement_hash"] != found:
            yield tr(
                "{subject}: statement_hash is {statement_hash}, its files give {found}",
                subject=subject,
                statement_hash=manifest["statement_hash"],
                found=found,
            )


def run_id(statement: Statement) -> str:
    """The id of a run, derived from its inputs: the same inputs, rulebook and kernel give the same id."""
    cut = () if statement.running is None else (statement.running.cut_ms,)
    parts = (statement.month, *cut, input_hash(statement.sources), statement.rulebook_hash, statement.kernel_version)
    return f"{statement.month}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def manifest_of(statement: Statement, files: Mapping[str, str]) -> dict[str, Any]:
    """The manifest; `files`: SHA-256 of each other file of the statement folder."""
    return {
        "schema": SCHEMA_VERSION,
        "month": statement.month,
        "run": run_id(statement),
        "status": statement.status.value,
        **_running(statement),
        "result_hash": statement.result_hash(),
        "result_hash_version": RESULT_HASH_VERSION,
        "statement_hash": statement_hash(files),
        "statement_hash_version": STATEMENT_HASH_VERSION,
        "versions": {"collector": __version__, "kernel": statement.kernel_version},
        "rulebook": {"hash": statement.rulebook_hash},
        "readings": [
            {"id": use.id, "clause": use.clause, "adopted": use.adopted, "from": use.from_day}
            for use in statement.readings
        ],
        "policy": {key: str(value) for key, value in sorted(statement.policy.items())},
        "input_hash": input_hash(statement.sources),
        "inputs": dict(sorted(statement.sources.items())),
        "rules": _rules(statement),
        "areas": [
            {
                "area": area.area,
                "status": area.status.value,
                "compensation_yuan": format_amount(area.compensation_yuan),
                "revenue_yuan": format_amount(area.revenue_yuan) or None,
                "reason": area.reason,
                "plants": list(area.plants),
            }
            for area in statement.areas
        ],
        "findings": [
            {
                "code": f.code,
                "subject": f.subject,
                "message": f.message,
                "provisional": f.provisional,
                "areas": list(f.areas),
            }
            for f in statement.findings
        ],
        "files": dict(sorted(files.items())),
    }


def _running(statement: Statement) -> dict[str, Any]:
    """The cut of a running month, and the month whose revenue stands in for its own; nothing of any other month."""
    found = statement.running
    if found is None:
        return {}
    cut = {"cut": format_instant(found.cut_ms), "elapsed_days": found.elapsed_days}
    return {"running": cut | {"revenue_month": found.revenue_month or statement.month}}


def manifest_json(statement: Statement, files: Mapping[str, str]) -> bytes:
    """The manifest as the bytes of its file."""
    return (json.dumps(manifest_of(statement, files), ensure_ascii=False, indent=1) + "\n").encode()


def _rules(statement: Statement) -> list[dict[str, str]]:
    """Every rulebook row that priced a line, once."""
    used = sorted(
        {use for line in statement.lines for use in line.rules}, key=lambda use: (use.id, use.key, use.from_day)
    )
    return [
        {"id": u.id, "key": u.key, "article": u.article, "value": u.value, "unit": u.unit, "from": u.from_day}
        for u in used
    ]
