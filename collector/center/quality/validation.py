# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation of received records: each sealed day is checked, and implausible values are findings. No record changes.

A day is due when one of these differs from the last check: its current file, the list of records that lost their
instant to those of the file, the register in force, the version of the checks. A finding that a later check no longer
shows is closed; it stays listed.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, and_, func, insert, or_, select, update

from collector.base.errors import RuleError
from collector.center.db.storage.lake_place import LakePath, ObjectPath
from collector.center.db.store import CenterStore, insert_new
from collector.center.db.tables_quality import finding, validated_day
from collector.center.db.tables_receive import lake_file
from collector.center.db.verified import Altered
from collector.center.inputs.imports import current_register
from collector.center.lake.day_file import read_units
from collector.center.lake.seal import count_records, others_folder
from collector.center.quality.plausibility import DataPolicy, Implausibility, UnitDayRecords, check_unit_day
from collector.model.interval import Month, day_interval, local_day
from collector.model.quantity import BY_NAME, from_scaled
from collector.model.register import Register, RegisteredUnit
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.tables.register import load_register

logger: Final = logging.getLogger("collector.center.quality.validation")
CHECKS_VERSION: Final = 1
# A new register makes days due that a month may still be settled from; older ones are checked when resealed.
_LOOK_BACK_DAYS: Final = 70
EMPTY_REGISTER: Final = Register({}, (), (), ())

Int64s = npt.NDArray[np.int64]
# The data policy for a register on a day; given by a caller that may read the rulebook.
PolicyOf = Callable[[Register, date], DataPolicy]


def validate_day(store: CenterStore, plant: str, day: str, path: LakePath, sha256: str, *, policy_of: PolicyOf) -> int:
    """Check one sealed day file and store the findings; returns the number of open findings of the day.

    Raises:
        Altered: the file is not the one with this hash, or is not there.
        RuleError: the rulebook has no data policy for the day.
    """
    data = store.read(current_register)
    others = _others_of(store, plant, day)
    beside = others_folder(store, plant) / others if others else None
    found = find_in_file(path, sha256, date.fromisoformat(day), _register(data), policy_of, others=beside)
    looked = {"file": path.name, "others": others, "basis": _basis(data), "at_ms": store.clock.now_utc_ms()}
    store.write(lambda c: _record(c, plant, day, looked, found)).result()
    return len(found)


def validate_due(
    store: CenterStore, *, policy_of: PolicyOf, days: Sequence[date] | None = None, stopped: Callable[[], bool] = bool
) -> int:
    """Check every day that is due (of `days` only, where given), until `stopped`; returns the number of days checked.

    A day that can't be checked (its file is gone, no policy holds) is logged, stays due and does not stop the others.
    """
    count = 0
    basis = _basis(store.read(current_register))
    since = (local_day(store.clock.now_utc_ms()) - timedelta(days=_LOOK_BACK_DAYS)).isoformat()
    for plant, day, name, sha256 in store.read(lambda c: _due(c, basis, since, days)):
        if stopped():
            break
        try:
            validate_day(store, plant, day, store.lake / plant / name, sha256, policy_of=policy_of)
        except (Altered, RuleError) as error:
            logger.warning("%s %s not validated: %s", plant, day, error)
            continue
        count += 1
    return count


def list_findings(
    connection: Connection,
    *,
    month: Month | None = None,
    plant: str = "",
    unit: str = "",
    day: str = "",
    include_closed: bool = False,
) -> list[dict[str, Any]]:
    """Findings by day, plant, unit and time; each a row of the table."""
    query = select(finding).order_by(finding.c.day, finding.c.plant, finding.c.unit, finding.c.start_ms, finding.c.id)
    if month is not None:
        query = query.where(finding.c.day >= month.first_day.isoformat())
        query = query.where(finding.c.day < month.next().first_day.isoformat())
    for column, wanted in ((finding.c.plant, plant), (finding.c.unit, unit), (finding.c.day, day)):
        if wanted:
            query = query.where(column == wanted)
    if not include_closed:
        query = query.where(finding.c.closed_ms.is_(None))
    return [dict(row) for row in connection.execute(query).mappings()]


def find_in_file(
    path: LakePath,
    sha256: str,
    day: date,
    register: Register,
    policy_of: PolicyOf,
    *,
    others: LakePath | None = None,
) -> list[Implausibility]:
    """The implausible values of one day file. `others`: the records that lost an instant to those of the file."""
    policy, interval = policy_of(register, day), day_interval(day)
    found: list[Implausibility] = []
    for each in read_units(path, sha256):
        state = _state_on(register, each.unit, day)
        found += check_unit_day(
            UnitDayRecords(each.unit, state, interval, each.time_utc_ms, each.clock, each.era, each.columns), policy
        )
    return found + (_conflicts(path, sha256, others) if others else [])


def _conflicts(path: LakePath, sha256: str, others: LakePath) -> list[Implausibility]:
    """Records of one unit and instant with different values: one finding per unit and quantity.

    A standby gateway that recorded the same is no conflict; only values that are both usable are compared.
    """
    losing = {each.unit: each for each in read_units(others)}
    found: list[Implausibility] = []
    for kept in read_units(path, sha256, units=losing):
        lost = losing[kept.unit]
        at = np.minimum(np.searchsorted(kept.time_utc_ms, lost.time_utc_ms), len(kept.time_utc_ms) - 1)
        beside = kept.time_utc_ms[at] == lost.time_utc_ms
        for name in lost.columns.keys() & kept.columns.keys():
            mine, other = kept.columns[name], lost.columns[name]
            differ = beside & mine.usable[at] & other.usable & (mine.values[at] != other.values)
            where = np.flatnonzero(differ)
            if len(where):
                times, pair = lost.time_utc_ms[where], (mine.values[at[where]], other.values[where])
                found.append(_conflict(lost.unit, name, times, *pair))
    return sorted(found, key=lambda one: (one.unit, one.quantity))


def _conflict(unit: str, name: str, times: Int64s, kept: Int64s, lost: Int64s) -> Implausibility:
    described = BY_NAME[name]
    first = (from_scaled(int(lost[0]), described.scale), from_scaled(int(kept[0]), described.scale))
    words = f"{len(times)} instants; the first: {first[0].normalize():f} beside {first[1].normalize():f}"
    return Implausibility(
        "conflicting_records", unit, name, int(times[0]), int(times[-1]) + 1, words, "one value an instant"
    )


def _others_of(store: CenterStore, plant: str, day: str) -> str:
    """The list of records of the day that lost their instant to another; empty where there is none."""
    current = (lake_file.c.plant == plant) & (lake_file.c.day == day) & lake_file.c.superseded_ms.is_(None)
    query = select(lake_file.c.others, lake_file.c.other_count).where(current)
    found = store.read(lambda c: c.execute(query).one_or_none())
    if found is None or found.others is not None or not found.other_count:
        return "" if found is None else found.others or ""
    # Sealed by a program that did not write it down: the latest with so many, as a restore may have given all one time.
    folder = others_folder(store, plant)
    if isinstance(folder, ObjectPath):
        return ""  # nothing is listed in an object store
    files = list(folder.glob(f"{day}-*.parquet"))
    files.sort(key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    return next((path.name for path in files if count_records([path]) == found.other_count), "")


def _due(
    connection: Connection, basis: str, since: str, days: Sequence[date] | None
) -> list[tuple[str, str, str, str]]:
    """Plant and day of each file that is due, its name and SHA-256."""
    same = (validated_day.c.plant == lake_file.c.plant) & (validated_day.c.day == lake_file.c.day)
    # A list that an older program did not record does not make a day due.
    beside = func.coalesce(lake_file.c.others, validated_day.c.others) != validated_day.c.others
    moved = or_(validated_day.c.file.is_(None), validated_day.c.file != lake_file.c.name, beside)
    outdated = and_(validated_day.c.basis != basis, lake_file.c.day >= since)
    query = (
        select(lake_file.c.plant, lake_file.c.day, lake_file.c.name, lake_file.c.sha256)
        .select_from(lake_file.outerjoin(validated_day, same))
        .where(lake_file.c.superseded_ms.is_(None) & or_(moved, outdated))
        .order_by(lake_file.c.day, lake_file.c.plant)
    )
    if days is not None:
        query = query.where(lake_file.c.day.in_([d.isoformat() for d in days]))
    return [(row.plant, row.day, row.name, row.sha256) for row in connection.execute(query)]


def _record(
    connection: Connection, plant: str, day: str, looked: Mapping[str, Any], found: Iterable[Implausibility]
) -> None:
    """Store the present findings of a day: insert new ones, renew known ones, close the rest."""
    file, now_ms = looked["file"], looked["at_ms"]
    look = (validated_day.c.plant == plant) & (validated_day.c.day == day)
    empty = {"plant": plant, "day": day, "file": "", "others": "", "basis": "", "at_ms": now_ms}
    connection.execute(insert_new(connection, validated_day).values(empty))
    # This row is the lock of the day: of two processes that check it at once, one writes after the other.
    connection.execute(select(validated_day.c.at_ms).where(look).with_for_update()).one()
    where = (finding.c.plant == plant) & (finding.c.day == day)
    rows = connection.execute(select(finding).where(where))
    stored = {(r.unit, r.code, r.quantity, int(r.start_ms)): int(r.id) for r in rows}
    seen: set[int] = set()
    new: list[dict[str, Any]] = []
    for one in found:
        values = {"end_ms": one.end_ms, "found": one.found[:400], "expected": one.expected[:400]}
        values |= {"file": file, "last_seen_ms": now_ms, "closed_ms": None}
        number = stored.get((one.unit, one.code, one.quantity, one.start_ms))
        if number is None:
            names = {"code": one.code, "unit": one.unit, "quantity": one.quantity, "start_ms": one.start_ms}
            new.append({"plant": plant, "day": day, "first_seen_ms": now_ms} | names | values)
        else:
            seen.add(number)
            connection.execute(update(finding).where(finding.c.id == number).values(values))
    if new:
        connection.execute(insert(finding), new)
    gone = sorted(set(stored.values()) - seen)
    if gone:
        still_open = finding.c.id.in_(gone) & finding.c.closed_ms.is_(None)
        connection.execute(update(finding).where(still_open).values(closed_ms=now_ms))
    connection.execute(update(validated_day).where(look).values(looked))


def register_in_force(connection: Connection) -> Register:
    """The imported register in force; an empty one where there is none."""
    return _register(current_register(connection))


def _basis(register: bytes | None) -> str:
    return f"{CHECKS_VERSION}:{hashlib.sha256(register or b'').hexdigest()[:32]}"


@lru_cache(maxsize=2)
def _register(data: bytes | None) -> Register:
    """The register in force, parsed; an empty one where there is none."""
    if data is None:
        return EMPTY_REGISTER
    return load_register(Delivered("register.toml", data, ""), Findings()).register or EMPTY_REGISTER


def _state_on(register: Register, unit: str, day: date) -> RegisteredUnit | None:
    for state in register.units:
        begun = state.from_day is None or state.from_day <= day
        if state.id == unit and begun and (state.until_day is None or day < state.until_day):
            return state
    return None
