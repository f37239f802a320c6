# SPDX-License-Identifier: GPL-3.0-or-later
"""A small store in which every table has rows and every kind of file is there: what damages are tried on."""

from __future__ import annotations

import json
from datetime import date
from fractions import Fraction

from sqlalchemy import Connection, Table, func, insert, select

from collector import wire
from collector.center.db.all_tables import metadata
from collector.center.db.seals.sealed_rows import sealed_tables
from collector.center.db.store import CenterStore
from collector.center.lake.seal import enrol
from collector.center.people.access import Actor, Role
from collector.center.quality.plausibility import DataPolicy
from collector.center.quality.validation import validate_due
from collector.center.receive.admission import Admission, EnrolledPlant
from collector.center.receive.journal import commit_group
from collector.center.runs.keeping.kept_packages import keep_package
from collector.center.runs.stored_run import OpenedRun
from collector.model.record import GapRecord
from collector.model.register import Register
from tests.center.center_batches import WIDE, batch_topic, minutes, payload_of
from tests.center.runs.center_months import settled, take
from tests.center.runs.late_changes import PLAN, at, fill, plan_rows


def fill_whole(store: CenterStore) -> None:
    """June of two plants, settled twice, with all that may come between; then a row for each table that has none."""
    store.write(lambda c: enrol(c, {"P1": (["U1", "U2"], ["g1", "g2"]), "P2": (["V1"], [])})).result()
    fill(store)
    take(store, "plan", PLAN + "".join(plan_rows("U1", [2], power="410")), replace=True)
    _receive(store)
    opened = OpenedRun(store, settled(store).row)
    assert opened.lines
    settled(store)
    keep_package(store, 1, actor=Actor("li", Role.OPERATOR))
    validate_due(store, policy_of=_policy_of)
    store.write(_fill_the_rest).result()


def _policy_of(_register: Register, _day: date) -> DataPolicy:
    return DataPolicy(60_000, Fraction(1, 1000))


def _receive(store: CenterStore) -> None:
    """Gaps, a sequence that is lost, records that lose their instant, a refusal, a word of a gateway about itself."""
    units = frozenset({"U1", "U2"})
    admission = Admission(root="collector", plants={"P1": EnrolledPlant(units, {})}, limits=WIDE, clock=store.clock)
    lost = GapRecord(("U1",), at(6), at(7), "evicted", 1, 3, 3)
    silent = GapRecord(("U1", "U2"), at(8), at(8, 1), "agent_down")
    nameless = GapRecord((), at(8), at(8), "evicted", 1, 5, 6)
    times = minutes("U1", at(9, 1), 3)
    payloads = [payload_of(1, times, gateway="g2", epoch=1, gaps=[lost, silent, nameless])]
    payloads += [
        payload_of(2, times, gateway="g2", epoch=1),
        payload_of(4, minutes("V1", at(9), 1), gateway="g2", epoch=1),
    ]
    messages = [(batch_topic("P1", "g2"), payload) for payload in payloads]
    messages.append((wire.topic("collector", "P1", "g2", "state"), json.dumps({"online": True}).encode()))
    arrivals = admission.admit_all(messages)
    now_ms = store.clock.now_utc_ms()
    store.write(lambda c: commit_group(c, arrivals, now_ms=now_ms, quarantine_max_bytes=1_000_000)).result()


def _fill_the_rest(connection: Connection) -> None:
    for table in sealed_tables():
        while _count(connection, table) < 2:
            connection.execute(insert(table).values(_row_for(connection, table)))


def _row_for(connection: Connection, table: Table) -> dict[str, object]:
    """Any row that the database takes; what it says is nobody's business here."""
    number, row = _count(connection, table) + 1, {}
    for column in table.columns:
        if column is table.autoincrement_column or (column.nullable and not column.primary_key):
            continue
        if column.foreign_keys:
            other = next(iter(column.foreign_keys)).column
            found = connection.execute(select(other).order_by(other).offset(number - 1).limit(1)).scalar()
            row[column.name] = found if found is not None else connection.execute(select(func.min(other))).scalar()
        else:
            kinds = {bytes: b"content %d" % number, int: number, bool: True, str: f"{column.name} {number}"}
            length = getattr(column.type, "length", None)
            value = kinds[column.type.python_type]
            row[column.name] = value[-length:] if isinstance(value, str) and length else value
    return row


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def empty_tables(store: CenterStore) -> set[str]:
    """Tables that nothing can be damaged in."""

    def look(connection: Connection) -> set[str]:
        return {name for name, table in metadata.tables.items() if not _count(connection, table)}

    return store.read(look)
