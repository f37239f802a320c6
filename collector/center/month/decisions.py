# SPDX-License-Identifier: GPL-3.0-or-later
"""The register of decisions: every decision of two people, every ruling on an appeal, every reading adopted.

The register has no table: it is read from the proposals, the reviews, and the manifests of the disclosed runs.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, select

from collector.base.text import tr, tr_in
from collector.center.db.tables_inputs import run
from collector.center.db.tables_month import month_step
from collector.center.month.review_log import EventKind, all_reviews
from collector.center.people import four_eyes
from collector.center.people.access import Actor, Permission
from collector.model.interval import format_time
from collector.report.sheets import plain_text

RULING: Final = "appeal_ruling"
READING: Final = "reading"


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision. `outcome`: granted, refused or open; for a reading, the adopted one.

    `office`: for a ruling, the office that rules on disputes of the area (Art. 29), from the register. `text` has
    everything, for programs; people read its parts: the `note` and the `content` of the proposal.
    """

    at_ms: int
    kind: str
    subject: str
    outcome: str
    prepared_by: str
    decided_by: str
    document: str
    text: str
    office: str = ""
    note: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)


COLUMNS: Final = ("at", "kind", "subject", "outcome", "prepared_by", "decided_by", "document", "text", "office")


def list_decisions(connection: Connection, *, actor: Actor) -> list[Decision]:
    """Every decision, oldest first; an open one at the time of its proposal."""
    actor.require(Permission.SEE_ALL)
    found = [*_proposals(connection), *_rulings(connection), *_readings(connection)]
    return sorted(found, key=lambda d: (d.at_ms, d.kind, d.subject))


def decisions_csv(decisions: Sequence[Decision]) -> bytes:
    """The register as CSV, UTF-8 with BOM; texts that a spreadsheet could take for a formula carry an apostrophe."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for d in decisions:
        cells = (d.kind, d.subject, d.outcome, d.prepared_by, d.decided_by, d.document, d.text, d.office)
        writer.writerow([format_time(d.at_ms), *map(plain_text, cells)])
    return text.getvalue().encode("utf-8-sig")


def _proposals(connection: Connection) -> Iterator[Decision]:
    for p in four_eyes.list_proposals(connection):
        said = [f"{key}: {value}" for key, value in sorted(p.content.items()) if value not in ("", None)]
        note = [p.note] if p.note else []
        yield Decision(
            at_ms=p.prepared_ms if p.decided_ms is None else p.decided_ms,
            kind=p.kind,
            subject=p.subject,
            outcome=p.decision or "open",
            prepared_by=p.prepared_by,
            decided_by=p.decided_by or "",
            document=p.document,
            text="; ".join(note + said),
            note=p.note,
            content=p.content,
        )


def _rulings(connection: Connection) -> Iterator[Decision]:
    outcomes = {EventKind.RULED_GRANTED: "granted", EventKind.RULED_REFUSED: "refused"}
    for review in all_reviews(connection):
        appealed = [e.who for e in review.events if e.kind is EventKind.APPEALED]
        for event in review.events:
            if event.kind in outcomes:
                subject, outcome = f"review {review.id}", outcomes[event.kind]
                told = (event.document, event.text, review.office)
                # A regulator who ruled noted the appeal by letter; the plant made it.
                by = appealed[-1] if appealed[-1] != event.who else review.submitted_by
                yield Decision(event.at_ms, RULING, subject, outcome, by, event.who, *told, note=event.text)


def _readings(connection: Connection) -> Iterator[Decision]:
    """The readings a disclosed run was made with, once, at the disclosure that first used them."""
    query = (
        select(month_step.c.at_ms, month_step.c.month, month_step.c.prepared_by, month_step.c.approved_by)
        .add_columns(run.c.manifest)
        .join(run, run.c.id == month_step.c.run_id)
        .where(month_step.c.state == "disclosed")
        .order_by(month_step.c.id)
    )
    adopted: dict[str, str] = {}
    for row in connection.execute(query):
        for reading in json.loads(row.manifest).get("readings", []):
            ident, choice = reading["id"], reading["adopted"]
            if adopted.get(ident) == choice:
                continue
            before = f", before: {adopted[ident]}" if ident in adopted else ""
            adopted[ident] = choice
            text = f"Art. {reading['clause']}, from {reading['from']}, first disclosed with {row.month}{before}"
            told = tr("Art. {clause}, from {day}, first disclosed with {month}",
                      clause=_clause(reading["clause"]), day=reading["from"], month=row.month)  # fmt: skip
            who = (row.prepared_by, row.approved_by)
            yield Decision(int(row.at_ms), READING, ident, choice, *who, "", text, note=told)


def _clause(clause: str) -> str:
    return tr_in("clause", "time") if clause == "time" else clause
