# SPDX-License-Identifier: GPL-3.0-or-later
"""How the cost of each main job grows over sizes that differ by tens: the exponent is printed, and held to 1.1.

Recording by points of a device and by devices of 50 points, receiving by plants, importing by units of a plan,
measuring by days, closing by units. CPU seconds of this process, the median of three; measuring by units stands in
`measure`. What costs the same at any size makes the exponent smaller, so that a job which is worse than proportional
shows at its large sizes first.
"""

from __future__ import annotations

import gc
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import collector.wire as wire
from bench.close import make_month, measuring_of
from bench.figure import Figure, curve, median_cpu_s
from bench.imports import register_of, write_plan
from bench.modbus import block_bytes, points_of
from bench.month_folder import MONTH, UNITS_PER_PLANT, write_folder, write_lake
from bench.signals import START_MS, WIDE, layouts, ticks
from collector.agent.app import look_for_cycles_rarely
from collector.agent.device.modbus.block import BlockDecoder
from collector.agent.device.modbus.plan import RequestLimits, plan_reads
from collector.agent.record.recorder import Recorder
from collector.agent.record.sources import QuantitySource
from collector.base.clock import SystemClock
from collector.base.clock_state import ClockState
from collector.base.resources import config_path
from collector.center.db.store import CenterStore
from collector.center.inputs.imports import REGISTER
from collector.center.inputs.service import deliver, delivered_of
from collector.center.people.access import Actor
from collector.center.receive.admission import Admission, EnrolledPlant
from collector.center.receive.journal import commit_group
from collector.center.runs.rulebooks import input_rules
from collector.settlement.measure.records import RecordBook, tail_of
from collector.settlement.measure_units import measure as measure_batch
from collector.settlement.measure_units import plan_batches
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.settle import prepare
from collector.sheets.findings import Findings
from collector.tables.folder import load_folder
from collector.tables.records import read_records

MOST: Final = 1.1
POINTS: Final = (1, 10, 100, 1000)
DEVICES: Final = (1, 10, 100, 1000)
PLANTS: Final = (1, 10, 100, 1000)
PLAN_UNITS: Final = (1, 10, 100, 1000)
DAYS: Final = (1, 10, 31)
CLOSED_PLANTS: Final = (2, 20, 200)
_POINTS: Final = 50
_RULES: Final = config_path("rules/east-china-trial")


def measure() -> list[Figure]:
    """An exponent for each job."""
    found = [
        curve("recording a device by points, a tick", {n: _recording(1, n) for n in POINTS}, "s", MOST),
        curve("recording by devices of 50 points, a tick", {n: _recording(n) for n in DEVICES}, "s", MOST),
        curve("receiving by plants, a batch each", {n: _in_folder(_receiving, n) for n in PLANTS}, "s", MOST),
        curve("importing a month's plan by units", {n: _in_folder(_importing, n) for n in PLAN_UNITS}, "s", MOST),
        curve("measuring five units by days", {n: _in_folder(_measuring, n) for n in DAYS}, "s", MOST),
    ]
    closing = {n * UNITS_PER_PLANT: _in_folder(_closing, n) for n in CLOSED_PLANTS}
    return [*found, curve("closing a measured month by units", closing, "s", MOST)]


def _in_folder(cost: Callable[[Path, int], float], size: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        return cost(Path(name), size)


def _recording(devices: int, count: int = _POINTS) -> float:
    """A tick of so many devices of so many points: each block decoded, and the records of all their units."""
    copies = -(-count // _POINTS)
    registers, one = block_bytes(_POINTS) * copies, points_of(_POINTS)
    whole = [
        replace(p, unit=f"{p.unit}-{copy}", name=f"{p.name}-{copy}", address=p.address + copy * 2 * _POINTS)
        for copy in range(copies)
        for p in one
    ][:count]
    points = [[replace(p, unit=f"{p.unit}-{n}", name=f"{p.name}-{n}") for p in whole] for n in range(devices)]
    blocks = [block for each in points for block in plan_reads(each, RequestLimits(max_gap=12))]
    reads = [
        (BlockDecoder(block, {}), registers[2 * block.address : 2 * (block.address + block.count)]) for block in blocks
    ]
    sources = [QuantitySource(p, p.unit, 3000) for each in points for p in each]
    recorder, seconds = Recorder(sources, period_ms=1000, last={}), itertools.count(START_MS)
    rounds = max(1, 5000 // (devices * count))

    def tick() -> None:
        for _ in range(rounds):
            now_ms = 1000 * next(seconds)
            for decoder, data in reads:
                recorder.feed(decoder.decode(data, now_ms))
            recorder.record(now_ms, ClockState.SYNCHRONISED)

    thresholds = gc.get_threshold()
    look_for_cycles_rarely()  # as the agent does
    try:
        return median_cpu_s(tick) / rounds
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _receiving(folder: Path, plants: int) -> float:
    """A minute of four units from each plant into the journal."""
    units, clock = layouts(4), SystemClock()
    names = [f"P{number}" for number in range(plants)]
    own = {name: tuple(replace(layout, unit=f"{name}-{layout.unit}") for layout in units) for name in names}
    known = {name: EnrolledPlant(frozenset(each.unit for each in own[name]), {}) for name in names}
    admission = Admission(root="collector", plants=known, limits=WIDE, clock=clock)
    minute = [record for tick in ticks(60, units=4) for record in tick]
    numbers = itertools.count(1)
    with CenterStore.open(folder, clock=clock) as store:
        rounds = [
            [
                (
                    wire.topic("collector", name, "g1", "batch"),
                    wire.encode_batch(
                        wire.Batch(wire.Stream(name, "g1", 1), number, own[name],
                                   tuple(r._replace(unit=f"{name}-{r.unit}") for r in minute)), None
                    ),
                )
                for name in names
            ]
            for number in itertools.islice(numbers, 4)
        ]  # fmt: skip
        sent = iter(rounds)

        def receive() -> None:
            messages = next(sent)
            for first in range(0, len(messages), 64):
                arrivals = admission.admit_all(messages[first : first + 64])
                store.write(lambda c, a=arrivals: commit_group(c, a, now_ms=START_MS, quarantine_max_bytes=1)).result()  # type: ignore[misc]

        return median_cpu_s(receive)


def _importing(folder: Path, units: int) -> float:
    """A month's plan into a store that has the register."""
    write_plan(folder / "plan.csv", units)
    plan = delivered_of("plan.csv", (folder / "plan.csv").read_bytes())
    register = delivered_of("register.toml", register_of(units).encode())
    actor, rules, numbers = Actor.at_command_line("bench"), input_rules(_RULES), itertools.count()
    stores = [CenterStore.open(folder / f"{number}", clock=SystemClock()) for number in range(4)]
    for store in stores:
        deliver(store, REGISTER, register, actor=actor, replace=False, rules=rules)
    try:
        return median_cpu_s(
            lambda: deliver(stores[next(numbers)], "plan", plan, actor=actor, replace=False, rules=rules)
        )
    finally:
        for store in stores:
            store.close()


def _measuring(folder: Path, days: int) -> float:
    """So many days of a plant from its day files to determinants and segments."""
    write_folder(folder / "data", 1, write_lake)
    context = prepare(MONTH, load_folder(folder / "data"), load_rulebook(_RULES))
    for path in sorted((folder / "data" / "records").iterdir())[days:]:
        path.unlink()

    def measure_days() -> None:
        records = read_records(folder / "data" / "records", None, Findings())
        assert records is not None
        own = replace(context, columns_of=records.unit_columns)
        rows = RecordBook(records.table, tail_ms=tail_of(own.policy.settle_ms, own.policy.hold_ms))
        units = sorted(records.unit_columns)
        for batch in plan_batches(own, rows, MONTH.first_day, days, units=units, segments=True):
            measure_batch(own, batch)

    return median_cpu_s(measure_days)


def _closing(folder: Path, plants: int) -> float:
    """A month whose days are measured."""
    make_month(folder, plants)
    with CenterStore.open(folder / "state", clock=SystemClock()) as store:
        return median_cpu_s(lambda: measuring_of(store, folder).statement())
