# SPDX-License-Identifier: GPL-3.0-or-later
"""Four eyes: one person prepares, another decides, once. The table of proposals is the register of decisions.

The owner of a proposal's kind carries out a granted one in the transaction that decides it. At the command line a name
is only claimed: there the operating system's user must differ too, unless people are declared to share it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from collector.base.errors import Denied, Missing, StoreError
from collector.base.text import tr
from collector.center.db.seals.sealed_rows import row_holds
from collector.center.db.tables_people import proposal
from collector.center.people import audit
from collector.center.people.access import Actor, Permission


@dataclass(frozen=True, slots=True)
class ProposalKind:
    """A kind of proposal: who may prepare it, who may decide it, whether granting it needs a document number."""

    prepare: Permission
    decide: Permission
    needs_document: bool = False


GRANTED: Final = "granted"
KINDS: Final[Mapping[str, ProposalKind]] = {
    "month_step": ProposalKind(Permission.PREPARE, Permission.APPROVE),
    "month_filing": ProposalKind(Permission.PREPARE, Permission.REGULATE, needs_document=True),
    "month_publication": ProposalKind(Permission.PREPARE, Permission.REGULATE),
    "review_decision": ProposalKind(Permission.REVIEW_ANSWER, Permission.APPROVE),
    "substitution": ProposalKind(Permission.PREPARE, Permission.APPROVE),
    "substitution_withdrawal": ProposalKind(Permission.PREPARE, Permission.APPROVE),
    "repair": ProposalKind(Permission.PREPARE, Permission.APPROVE),
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A row of the register. `decision`: None while open, else granted, refused or withdrawn."""

    id: int
    kind: str
    subject: str
    content: Mapping[str, Any]
    prepared_by: str
    prepared_ms: int
    decision: str | None
    decided_by: str | None
    decided_ms: int | None
    note: str
    document: str


def propose(
    connection: Connection, *, actor: Actor, kind: str, subject: str, content: Mapping[str, Any], now_ms: int
) -> int:
    """Prepare something for another person to decide; returns the proposal's number.

    Raises:
        Denied: the role may not prepare it.
        StoreError: a proposal of this kind about this subject is open already.
    """
    actor.require(KINDS[kind].prepare)
    if waiting := list_proposals(connection, kind=kind, subject=subject, open_only=True):
        raise StoreError(
            tr(
                "proposal {id} by {prepared_by} waits to be decided",
                id=waiting[0].id,
                prepared_by=waiting[0].prepared_by,
            ),
            subject=subject,
        )
    number = _put_down(connection, actor=actor, who=actor.name, kind=kind, subject=subject, content=content, at=now_ms)
    detail = {"proposal": number, "content": dict(content)}
    audit.append(connection, actor=actor, action=f"{kind}.propose", subject=subject, detail=detail, now_ms=now_ms)
    return number


def put_down_first(
    connection: Connection,
    *,
    actor: Actor,
    prepared_by: str,
    kind: str,
    subject: str,
    content: Mapping[str, Any],
    now_ms: int,
) -> int:
    """Record the proposal that an earlier act implies, so that it can be decided; returns its number.

    For example, a filing implies a request for approval: its approver need not wait for a separate proposal.
    `prepared_by`: the person who prepared that act.

    Raises:
        Denied: the role may not decide it.
    """
    actor.require(KINDS[kind].decide)
    number = _put_down(
        connection, actor=actor, who=prepared_by, kind=kind, subject=subject, content=content, at=now_ms
    )  # fmt: skip
    detail = {"proposal": number, "content": dict(content), "prepared_by": prepared_by}
    audit.append(connection, actor=actor, action=f"{kind}.first", subject=subject, detail=detail, now_ms=now_ms)
    return number


def _put_down(
    connection: Connection, *, actor: Actor, who: str, kind: str, subject: str, content: Mapping[str, Any], at: int
) -> int:
    login = {audit.LOGIN: actor.login} if actor.login and who == actor.name else {}
    values = {
        "kind": kind,
        "subject": subject,
        "content": json.dumps({**content, **login}, ensure_ascii=False, sort_keys=True),
        "prepared_by": who,
        "prepared_ms": at,
        "note": "",
        "document": "",
    }
    key = connection.execute(insert(proposal).values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def decide(
    connection: Connection,
    number: int,
    *,
    actor: Actor,
    granted: bool,
    note: str = "",
    document: str = "",
    now_ms: int,
) -> Proposal:
    """Decide a proposal, once; returns the row after the decision.

    Raises:
        Denied: the role may not decide it, or it is the person (at the command line, the login) who prepared it.
        StoreError: there is none with this number, it is decided or not as it was written, or the document it needs
            is not named.
    """
    found = get_proposal(connection, number)
    subject = tr("proposal {number}", number=number)
    kind = KINDS[found.kind]
    actor.require(kind.decide)
    if not row_holds(connection, proposal, [number]):  # four eyes depend on the name of the preparer
        message = tr("is not as this program wrote it and can't be decided: `collector center check` says more")
        raise StoreError(message, subject=subject)
    if actor.name == found.prepared_by:
        raise Denied(tr("who prepares can't decide: another person must"), subject=actor.name)
    if actor.login and actor.login == found.content.get(audit.LOGIN) and not actor.shared_login:
        raise Denied(
            tr(
                "{prepared_by} prepared it as the same user of the system, {login}: another person must "
                "log in and decide, or the pages be used; where people share that user, say "
                "center.shared_login in center.toml",
                prepared_by=found.prepared_by,
                login=actor.login,
            ),
            subject=actor.name,
        )
    if granted and kind.needs_document and not document.strip():
        raise StoreError(tr("name the document (number and date) that approves it"), subject=subject)
    values = {
        "decision": GRANTED if granted else "refused",
        "decided_by": actor.name,
        "decided_ms": now_ms,
        "note": note,
        "document": document.strip(),
    }
    # Of two decisions at once, this condition lets exactly one change the row.
    undecided = (proposal.c.id == number) & proposal.c.decision.is_(None)
    if connection.execute(update(proposal).where(undecided).values(values)).rowcount != 1:
        raise StoreError(tr("was decided already"), subject=subject)
    detail = {"proposal": number, "decision": values["decision"], "note": note, "document": values["document"]}
    action = f"{found.kind}.decide"
    audit.append(connection, actor=actor, action=action, subject=found.subject, detail=detail, now_ms=now_ms)
    return get_proposal(connection, number)


def withdraw(connection: Connection, number: int, *, actor: Actor, note: str = "", now_ms: int) -> None:
    """Withdraw one's own proposal while it is undecided.

    Raises:
        Denied: somebody else prepared it.
        StoreError: there is none with this number, or it is decided.
    """
    found = get_proposal(connection, number)
    if actor.name != found.prepared_by:
        raise Denied(tr("{prepared_by} prepared it", prepared_by=found.prepared_by), subject=actor.name)
    values = {"decision": "withdrawn", "decided_by": actor.name, "decided_ms": now_ms, "note": note}
    undecided = (proposal.c.id == number) & proposal.c.decision.is_(None)
    if connection.execute(update(proposal).where(undecided).values(values)).rowcount != 1:
        raise StoreError(tr("was decided already"), subject=tr("proposal {number}", number=number))
    detail = {"proposal": number, "note": note}
    action = f"{found.kind}.withdraw"
    audit.append(connection, actor=actor, action=action, subject=found.subject, detail=detail, now_ms=now_ms)


def get_proposal(connection: Connection, number: int) -> Proposal:
    """One proposal.

    Raises:
        StoreError: there is none with this number.
    """
    row = connection.execute(select(proposal).where(proposal.c.id == number)).one_or_none()
    if row is None:
        raise Missing(tr("there is none with this number"), subject=tr("proposal {number}", number=number))
    return _proposal(row)


def list_proposals(
    connection: Connection, *, kind: str = "", subject: str = "", open_only: bool = False
) -> list[Proposal]:
    """Proposals, oldest first: the register of decisions, or with `open_only` the undecided ones."""
    query = select(proposal).order_by(proposal.c.id)
    if kind:
        query = query.where(proposal.c.kind == kind)
    if subject:
        query = query.where(proposal.c.subject == subject)
    if open_only:
        query = query.where(proposal.c.decision.is_(None))
    return [_proposal(row) for row in connection.execute(query)]


def _proposal(row: Any) -> Proposal:
    return Proposal(
        id=int(row.id),
        kind=row.kind,
        subject=row.subject,
        content=json.loads(row.content),
        prepared_by=row.prepared_by,
        prepared_ms=int(row.prepared_ms),
        decision=row.decision,
        decided_by=row.decided_by,
        decided_ms=None if row.decided_ms is None else int(row.decided_ms),
        note=row.note,
        document=row.document,
    )
