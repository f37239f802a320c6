# SPDX-License-Identifier: GPL-3.0-or-later
"""Substitution: a new value for a unit, quantity and interval: one proposes, another approves, the original stays.

In force, it is applied whenever a day is sealed, also when a late record makes it stale; approval seals the day files
it touches again, and earlier runs keep the files they pinned. After a withdrawal the delivered values are back at the
next sealing. Source: Art. 19 (telemetry is what is measured; a replacement must be shown as one).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from sqlalchemy import Connection, insert, or_, select, update

from collector.base.errors import Missing, StoreError
from collector.base.text import both, said_by, tr
from collector.center.db.tables_people import proposal
from collector.center.db.tables_quality import substitution
from collector.center.db.tables_receive import enrolled, unit_day
from collector.center.people import four_eyes
from collector.center.people.access import Actor, Permission
from collector.center.receive.day_index import mark_interval_stale
from collector.model.interval import DAY_MS, Interval, Month, format_time, parse_time_ms, time_to_read
from collector.model.quantity import BY_NAME, Quantity, parse_decimal, parse_scaled

KIND: Final = "substitution"
WITHDRAWAL: Final = "substitution_withdrawal"
LONGEST_MS: Final = 62 * DAY_MS
LEAST_FILL_S, MOST_FILL_S = 10, 3600
# As `propose_substitution` writes it.
_SUBJECT: Final = re.compile(r"(?P<unit>\S+) (?P<name>\w+) (?P<first>[\d:.T+-]+)/(?P<last>[\d:.T+-]+)")


def propose_substitution(
    connection: Connection,
    *,
    actor: Actor,
    unit: str,
    quantity: str,
    interval: Interval,
    value: str,
    method: str,
    reason: str,
    fill_s: int | None = None,
    now_ms: int,
) -> int:
    """Prepare a substitution and return its number. `value`: decimal text in the quantity's unit; 0 or 1 for a status.

    `method`: the source of the value (neighbouring meter, plant's report …). `fill_s`: where records are missing, make
    one every so many seconds; should be the hold limit. Without it only existing records change.

    Raises:
        Denied: the role may not propose.
        StoreError: the unit is unknown, the value is invalid, or the interval overlaps another one of the quantity.
    """
    actor.require(Permission.PREPARE)
    described = _checked(quantity, interval, value, fill_s, unit)
    if not method.strip() or not reason.strip():
        raise StoreError(tr("a substitution names its method and its reason"), subject=unit)
    plant = plant_of(connection, unit)
    _refuse_overlap(connection, unit, quantity, interval)
    content = {
        "plant": plant,
        "unit": unit,
        "quantity": quantity,
        "start_ms": interval.start_ms,
        "end_ms": interval.end_ms,
        "value": value,
        "fill_s": fill_s,
        "method": method,
        "reason": reason,
    }
    subject = f"{unit} {described.name} {format_time(interval.start_ms)}/{format_time(interval.end_ms)}"
    number = four_eyes.propose(connection, actor=actor, kind=KIND, subject=subject, content=content, now_ms=now_ms)
    key = connection.execute(insert(substitution).values(content | {"proposal_id": number})).inserted_primary_key
    assert key is not None
    return int(key[0])


def said_subject(subject: str) -> str:
    """The subject of a proposed substitution in words; another text unchanged."""
    found = _SUBJECT.fullmatch(subject)
    if found is None or found["name"] not in BY_NAME:
        return subject
    described = BY_NAME[found["name"]]
    first, last = (time_to_read(parse_time_ms(found[place])) for place in ("first", "last"))
    quantity = both(described.name, described.zh)
    return tr("{unit}, {quantity}, {first} to {last}", unit=found["unit"], quantity=quantity, first=first, last=last)


def decide_substitution(
    connection: Connection, number: int, *, actor: Actor, granted: bool, note: str = "", now_ms: int
) -> None:
    """Approve or refuse; after an approval the days it touches are sealed again.

    Raises:
        Denied: the role may not approve, or it is the person who proposed.
        StoreError: there is none with this number, or it was decided.
    """
    row = _row(connection, number)
    four_eyes.decide(connection, int(row.proposal_id), actor=actor, granted=granted, note=note, now_ms=now_ms)
    if not granted:
        return
    _refuse_overlap(connection, row.unit, row.quantity, _interval(row), but=number)
    connection.execute(update(substitution).where(substitution.c.id == number).values(approved_ms=now_ms))
    fills = row.fill_s is not None
    mark_interval_stale(connection, row.plant, row.unit, _interval(row), now_ms, make_days=fills)


def propose_withdrawal(connection: Connection, number: int, *, actor: Actor, reason: str, now_ms: int) -> int:
    """Propose the withdrawal of a substitution; returns the proposal's number. Until the decision it stays in force.

    Raises:
        Denied: the role may not propose.
        StoreError: there is none with this number, it is not in force, its withdrawal waits already, or no reason.
    """
    actor.require(four_eyes.KINDS[WITHDRAWAL].prepare)
    row = _row(connection, number)
    subject = tr("substitution {number}", number=number)
    if not reason.strip():
        raise StoreError(tr("say why it is withdrawn"), subject=subject)
    if row.approved_ms is None or row.withdrawn_ms is not None:
        raise StoreError(tr("is not in force: not approved, or withdrawn already"), subject=subject)
    content = {"substitution": number, "reason": reason}
    return four_eyes.propose(connection, actor=actor, kind=WITHDRAWAL, subject=subject, content=content, now_ms=now_ms)


def decide_withdrawal(
    connection: Connection, number: int, *, actor: Actor, granted: bool, note: str = "", now_ms: int
) -> None:
    """Approve or refuse the withdrawal of a substitution; after an approval the delivered values count again.

    Raises:
        Denied: the role may not approve, or it is the person who proposed the withdrawal.
        StoreError: no withdrawal of this substitution waits.
    """
    row = _row(connection, number)
    subject = tr("substitution {number}", number=number)
    waiting = four_eyes.list_proposals(connection, kind=WITHDRAWAL, subject=subject, open_only=True)
    if not waiting:
        raise StoreError(tr("nobody proposed to take it back"), subject=subject)
    decided = four_eyes.decide(connection, waiting[0].id, actor=actor, granted=granted, note=note, now_ms=now_ms)
    if not granted:
        return
    values = {"withdrawn_ms": now_ms, "withdrawn_by": actor.name, "withdrawn_reason": decided.content["reason"]}
    in_force = (substitution.c.id == number) & substitution.c.withdrawn_ms.is_(None)
    if connection.execute(update(substitution).where(in_force).values(values)).rowcount != 1:
        raise StoreError(tr("was withdrawn already"), subject=subject)
    mark_interval_stale(connection, row.plant, row.unit, _interval(row), now_ms, make_days=False)


def list_substitutions(
    connection: Connection, *, month: Month | None = None, unit: str = "", plant: str = ""
) -> list[dict[str, Any]]:
    """Every substitution with its proposal, oldest first. `state`: open, refused, in_force or withdrawn.

    `withdrawal_by`, `withdrawal_reason`: who proposed an undecided withdrawal, and why; else None.
    """
    names = ("prepared_by", "prepared_ms", "decision", "decided_by", "decided_ms", "note")
    query = select(substitution, *(proposal.c[name] for name in names)).join(
        proposal, proposal.c.id == substitution.c.proposal_id
    )
    if month is not None:
        span = month.interval
        query = query.where((substitution.c.start_ms < span.end_ms) & (substitution.c.end_ms > span.start_ms))
    for column, wanted in ((substitution.c.unit, unit), (substitution.c.plant, plant)):
        if wanted:
            query = query.where(column == wanted)
    rows = connection.execute(query.order_by(substitution.c.id)).mappings()
    waiting = {p.subject: p for p in four_eyes.list_proposals(connection, kind=WITHDRAWAL, open_only=True)}
    return [dict(row) | {"state": _state(row)} | _withdrawal(waiting.get(f"substitution {row['id']}")) for row in rows]


def _withdrawal(waiting: four_eyes.Proposal | None) -> dict[str, str | None]:
    by, reason = (None, None) if waiting is None else (waiting.prepared_by, waiting.content["reason"])
    return {"withdrawal_by": by, "withdrawal_reason": reason}


def _state(row: Any) -> str:
    if row["withdrawn_ms"] is not None:
        return "withdrawn"
    return {None: "open", "granted": "in_force"}.get(row["decision"], "refused")


def _checked(quantity: str, interval: Interval, value: str, fill_s: int | None, unit: str) -> Quantity:
    described = BY_NAME.get(quantity)
    if described is None:
        raise StoreError(
            tr("unknown quantity {quantity!r}; there are {names}", quantity=quantity, names=", ".join(BY_NAME)),
            subject=unit,
        )
    if not 0 < interval.end_ms - interval.start_ms <= LONGEST_MS:
        raise StoreError(tr("the interval is empty, backwards or longer than 62 days"), subject=unit)
    if fill_s is not None and not LEAST_FILL_S <= fill_s <= MOST_FILL_S:
        raise StoreError(
            tr(
                "records are made every {least_fill_s} to {most_fill_s} s, not {fill_s}",
                least_fill_s=LEAST_FILL_S,
                most_fill_s=MOST_FILL_S,
                fill_s=fill_s,
            ),
            subject=unit,
        )
    try:
        given = parse_decimal(value)
        whole = parse_scaled(value, described.scale)
    except ValueError as error:
        raise StoreError(said_by(error), subject=unit) from error
    if not described.low <= given <= described.high or whole != given * described.scale:
        limits = tr(
            "{low} to {high} {unit} in steps of 1/{scale}",
            low=described.low,
            high=described.high,
            unit=described.unit,
            scale=described.scale,
        )
        raise StoreError(
            tr("{value} is no {quantity}: expected {limits}", value=value, quantity=quantity, limits=limits),
            subject=unit,
        )
    return described


def plant_of(connection: Connection, unit: str) -> str:
    """The plant of a unit: by center.toml, else by its records.

    Raises:
        StoreError: no plant has it.
    """
    for row in connection.execute(select(enrolled.c.plant, enrolled.c.units)):
        if unit in json.loads(row.units):
            return str(row.plant)
    found = connection.execute(select(unit_day.c.plant).where(unit_day.c.unit == unit).limit(1)).scalar()
    if found is None:
        raise StoreError(tr("no plant has this unit"), subject=unit)
    return str(found)


def _refuse_overlap(connection: Connection, unit: str, quantity: str, interval: Interval, but: int = 0) -> None:
    """Refuse a second value for one cell, also a proposed one beside one in force."""
    same = (substitution.c.unit == unit) & (substitution.c.quantity == quantity) & (substitution.c.id != but)
    meets = (substitution.c.start_ms < interval.end_ms) & (substitution.c.end_ms > interval.start_ms)
    kept = substitution.c.withdrawn_ms.is_(None)
    # At an approval, only substitutions in force can conflict.
    alive = [proposal.c.decision == "granted", *([] if but else [proposal.c.decision.is_(None)])]
    query = select(substitution.c.id).join(proposal, proposal.c.id == substitution.c.proposal_id)
    query = query.where(same & meets & kept & or_(*alive))
    other = connection.execute(query.limit(1)).scalar()
    if other is not None:
        raise StoreError(
            tr("substitution {other} has a value there: withdraw or refuse that first", other=other), subject=unit
        )


def _row(connection: Connection, number: int) -> Any:
    row = connection.execute(select(substitution).where(substitution.c.id == number)).one_or_none()
    if row is None:
        raise Missing(tr("there is none with this number"), subject=tr("substitution {number}", number=number))
    return row


def _interval(row: Any) -> Interval:
    return Interval(int(row.start_ms), int(row.end_ms))
