# SPDX-License-Identifier: GPL-3.0-or-later
"""A center with the month of `month_folder` in its store: received, imported, settled, disclosed, reviews asked for.

An account of each role is called as the role is; the plant's is of the first plant. Tables come by imports, run and
steps as people make them. Only the day files do not come through the journal: they are written as sealing writes them
and listed as it lists them, with the minutes of each unit's day.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from sqlalchemy import insert

import collector.wire as wire
from bench.month_folder import MONTH, UNITS_PER_PLANT, unit_name, write_folder, write_lake
from bench.signals import WIDE, layouts, ticks
from collector.base.clock import SystemClock
from collector.base.resources import config_path
from collector.center.db.store import CenterStore
from collector.center.db.tables_receive import lake_day, lake_file, unit_day
from collector.center.inputs.imports import ALL_KINDS, REGISTER
from collector.center.inputs.service import deliver, delivered_of
from collector.center.lake.seal import enrol
from collector.center.month.reviews import ReviewRequest, submit_review
from collector.center.month.transitions import approve_step, prepare_step
from collector.center.people import accounts
from collector.center.people.access import Actor, Role
from collector.center.people.passwords import hash_password
from collector.center.quality.validation import validate_due
from collector.center.receive.admission import Admission, EnrolledPlant
from collector.center.receive.day_index import split_days
from collector.center.receive.journal import commit_group
from collector.center.runs.data_policy import data_policy_of
from collector.center.runs.month_state import MonthStage
from collector.center.runs.rulebooks import duty_days, input_rules, rulebook_of
from collector.center.runs.settle_month import settle_month
from collector.model.interval import DAY_MS, day_interval

PASSWORD: Final = "bench-password-of-everybody"
RULES: Final = config_path("rules/east-china-trial")
REVIEWS: Final = 20


def make_center(folder: Path, plants: int) -> int:
    """Fill folder/state; returns the number of the run that is disclosed."""
    units = fill_store(folder, plants)
    with CenterStore.open(folder / "state", clock=SystemClock()) as store:
        _people(store, plant_ids(1)[0])
        return _work(store, units)


def fill_store(folder: Path, plants: int) -> dict[str, list[str]]:
    """Records and tables in folder/state, nothing measured; units of each plant."""
    data = folder / "data"
    ids = plant_ids(plants)
    units = {
        plant: [unit_name(number * UNITS_PER_PLANT + k) for k in range(UNITS_PER_PLANT)]
        for number, plant in enumerate(ids)
    }
    with CenterStore.open(folder / "state", clock=SystemClock()) as store:
        store.write(lambda c: enrol(c, {plant: (names, ()) for plant, names in units.items()})).result()
        listed = _Listed(store)
        write_folder(data, plants, listed.write)
        listed.enter()
        _send(store, units)
        _import(store, data)
        shutil.rmtree(data)
    return units


class _Listed:
    """Writes day files where sealing does, and lists them."""

    def __init__(self, store: CenterStore) -> None:
        self._store, self._now_ms = store, store.clock.now_utc_ms()
        self._days: list[dict[str, Any]] = []
        self._files: list[dict[str, Any]] = []
        self._unit_days: list[dict[str, Any]] = []

    def write(self, records: Path, plant: int, table: pa.Table) -> None:
        """The month of a plant; as `month_folder` has its records written."""
        name = f"P{plant + 1:03d}"
        write_lake(records, plant, table)
        (self._store.directory / "lake" / name).mkdir(parents=True, exist_ok=True)
        times = table["time"].to_numpy()
        units = table["unit"].cast(pa.string()).to_numpy()
        for unit in np.unique(units).tolist():
            for part in split_days(unit, times[units == unit]):
                self._unit_days.append(
                    {
                        "plant": name, "unit": unit, "day": part.day, "received": part.count,
                        "first_ms": part.first_ms, "last_ms": part.last_ms, "minutes": part.minutes,
                    }
                )  # fmt: skip
        for path in sorted(records.glob(f"{name}-*")):
            day = path.name[len(name) + 1 :][:10]
            target = self._store.directory / "lake" / name / path.name[len(name) + 1 :]
            data = path.read_bytes()
            path.rename(target)
            begin = day_interval(date.fromisoformat(day))
            self._days.append({"plant": name, "day": day, "wanted": 1, "sealed": 1, "changed_ms": self._now_ms})
            self._files.append(
                {
                    "plant": name, "day": day, "name": target.name, "sha256": hashlib.sha256(data).hexdigest(),
                    "row_count": int(((times >= begin.start_ms) & (times < begin.end_ms)).sum()), "other_count": 0,
                    "others": "", "size_bytes": len(data), "sealed_ms": self._now_ms, "superseded_ms": None,
                }
            )  # fmt: skip

    def enter(self) -> None:
        """List what was written."""
        for table, rows in ((lake_day, self._days), (lake_file, self._files), (unit_day, self._unit_days)):
            self._store.write(lambda c, table=table, rows=rows: c.execute(insert(table), rows)).result()  # type: ignore[misc]


def _send(store: CenterStore, units: Mapping[str, Sequence[str]]) -> None:
    """A batch of each plant, after the month, so that each has a link that is known."""
    shift_ms = len(MONTH.days) * DAY_MS
    for plant, names in units.items():
        enrolled = EnrolledPlant(frozenset(names), {})
        admission = Admission(root="collector", plants={plant: enrolled}, limits=WIDE, clock=store.clock)
        own = dict(zip((layout.unit for layout in layouts(len(names))), names, strict=True))
        records = tuple(
            each._replace(unit=own[each.unit], time_utc_ms=each.time_utc_ms + shift_ms)
            for tick in ticks(60, units=len(names))
            for each in tick
        )
        described = tuple(replace(layout, unit=own[layout.unit]) for layout in layouts(len(names)))
        payload = wire.encode_batch(wire.Batch(wire.Stream(plant, "g1", 1), 1, described, records), None)
        arrivals = admission.admit_all([(wire.topic("collector", plant, "g1", "batch"), payload)])
        now_ms = store.clock.now_utc_ms()
        store.write(lambda c, a=arrivals, t=now_ms: commit_group(c, a, now_ms=t, quarantine_max_bytes=1)).result()  # type: ignore[misc]


def _import(store: CenterStore, data: Path) -> None:
    rules, actor = input_rules(RULES), Actor.at_command_line("bench")
    for kind in ALL_KINDS:
        path = data / ("register.toml" if kind == REGISTER else f"{kind}.csv")
        if path.exists():
            deliver(store, kind, delivered_of(path.name, path.read_bytes()), actor=actor, replace=False, rules=rules)


def _people(store: CenterStore, plant: str) -> None:
    actor, hashed, now_ms = Actor.at_command_line("bench"), hash_password(PASSWORD), store.clock.now_utc_ms()
    for role in Role:
        own = plant if role is Role.PLANT else None
        store.write(
            lambda c, role=role, own=own: accounts.create_account(  # type: ignore[misc]
                c, actor=actor, name=str(role), full_name=str(role).title(), role=role, plant=own,
                password_hash=hashed, now_ms=now_ms,
            )
        ).result()  # fmt: skip


def _work(store: CenterStore, units: Mapping[str, Sequence[str]]) -> int:
    """Validate a day, settle twice, disclose, ask for reviews; the run that is disclosed."""
    operator, approver = Actor("operator", Role.OPERATOR), Actor("approver", Role.APPROVER)
    validate_due(store, policy_of=data_policy_of(lambda: rulebook_of(RULES)), days=MONTH.days[:2])
    for note in ("first", "second"):
        run = settle_month(store, MONTH, rulebook=RULES, actor=operator, note=note)
    days, reason = duty_days(RULES), "bench"
    step = prepare_step(store, MONTH, MonthStage.DISCLOSED, actor=operator, days=days, run_id=run.id, reason=reason)
    now_ms = store.clock.now_utc_ms()
    store.write(lambda c: approve_step(c, step, actor=approver, now_ms=now_ms, days=days)).result()
    for plant, names in list(units.items())[:REVIEWS]:
        begin = MONTH.interval.start_ms
        request = ReviewRequest(run.id, names[0], "agc_basic", begin, begin + DAY_MS, "yuan", "1000.00", "bench")
        submit_review(store, request, actor=Actor(f"of-{plant.lower()}", Role.PLANT, plant), days=days)
    return run.id


def write_config(folder: Path, plants: int, port: int) -> None:
    """folder/center.toml of a center over the store; it seals nothing while it is measured."""
    lines = [
        f'schema = 1\n[center]\nstate_dir = "state"\nlisten = "127.0.0.1:{port}"',
        "[lake]\nseal_after_s = 86400.0",
    ]
    for number, plant in enumerate(plant_ids(plants)):
        names = ", ".join(f'"{unit_name(number * UNITS_PER_PLANT + k)}"' for k in range(UNITS_PER_PLANT))
        lines.append(f'[[plant]]\nid = "{plant}"\nunits = [{names}]\nunsigned = true')
    (folder / "center.toml").write_text("\n".join(lines) + "\n", "utf-8")


def plant_ids(plants: int) -> list[str]:
    """The ids of so many plants."""
    return [f"P{plant + 1:03d}" for plant in range(plants)]
