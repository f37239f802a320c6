# SPDX-License-Identifier: GPL-3.0-or-later
"""A region comes back at once: 300 plants × 4 units × 1 s, ten minutes each, through a real broker, nothing lost.

Each plant signs with a key of its own and waits for the acknowledgement of its last batch; afterwards the store is
asked what it has. While a second ten minutes come in, the 300 plant-days of the first are sealed beside it: what that
costs the receiver is the ratio of the two rates. Then full days are sealed, one after the other and by two processes.
"""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import aiomqtt
from sqlalchemy import func, select

import collector.wire as wire
from bench.center_process import free_port, running_broker, running_center, wait_for_log
from bench.figure import Figure
from bench.process import cpu_s, peak_mb
from bench.signals import WIDE, layouts, ticks
from collector.base.clock import SystemClock
from collector.center.db import tables_receive
from collector.center.db.store import CenterStore
from collector.center.lake.seal import find_stale_days
from collector.center.lake.sealing_processes import seal_apart
from collector.center.receive.admission import Admission, EnrolledPlant
from collector.center.receive.journal import commit_group
from collector.model.record import UnitLayout, UnitRecord

PLANTS: Final = 300
UNITS: Final = 4
SECONDS: Final = 60
MINUTES: Final = 10
RECORDS: Final = PLANTS * UNITS * SECONDS * MINUTES
CONNECTIONS: Final = 10
DAY_BATCHES: Final = 1440
FULL_DAYS: Final = 3


def measure() -> list[Figure]:
    """Rates of receiving alone and beside sealing, memory of the receiver, and the time to seal a full plant-day."""
    with tempfile.TemporaryDirectory() as name:
        alone, beside, floor, memory_mb = _receive(Path(name))
    with tempfile.TemporaryDirectory() as name:
        one_s, two_s, cpu, lake_bytes = _seal(Path(name))
    region = f"{PLANTS} plants x {UNITS} units x 1 s x {MINUTES} min"
    return [
        Figure(f"{region}, per core", alone, "records/s", "verify and decode alone", floor, 0.6, True, False),
        Figure("the same while 300 plant-days are sealed", beside, "records/s", "alone", alone, 0.7, True, False),
        Figure.absolute("memory of the receiving process", memory_mb, "MB", 500.0),
        Figure.absolute(f"seal a plant-day of {UNITS} units at 1 s", one_s, "s", 6.0),
        Figure.absolute(f"CPU to seal a plant-day of {UNITS} units at 1 s", cpu, "s", 6.0),
        Figure.absolute("bytes a record in a sealed day", lake_bytes, "bytes", 7.0),
        Figure("the same by two processes", two_s, "s", "by one", one_s, 1.2, True),
    ]


def _receive(folder: Path) -> tuple[float, float, float, float]:
    """Records per CPU second of the center, alone, beside sealing, and of the floor; its peak memory, MB."""
    signers = _write_center(folder)
    port = free_port()
    with running_broker(folder, port), running_center(folder, port) as pid:
        rates = []
        for first in (0, MINUTES):
            payloads = [_payloads(number, signer, first) for number, signer in enumerate(signers)]
            floor_s = _verify_and_decode_s(signers, payloads)
            if first:
                # The first ten minutes have been quiet for seal_after_s by now.
                wait_for_log(folder / "center.log", "sealed", timeout_s=120)
            before_s = cpu_s(pid)
            asyncio.run(_flood(port, payloads, first + MINUTES))
            rates.append(RECORDS / (cpu_s(pid) - before_s))
        memory_mb = peak_mb(pid)
    _assert_all_there(folder / "state", 2)
    return rates[0], rates[1], RECORDS / floor_s, memory_mb


def _verify_and_decode_s(signers: list[wire.Signer], payloads: list[list[bytes]]) -> float:
    """CPU seconds of what no receiver can leave out and still know what it has: signature, checksum, columns."""
    begun_s = time.process_time()
    for signer, batches in zip(signers, payloads, strict=True):
        for payload in batches:
            envelope = wire.open_envelope(payload)
            wire.verify_signature(envelope, signer.public_key)
            wire.decode_columns(envelope)
    return time.process_time() - begun_s


def _write_center(folder: Path) -> list[wire.Signer]:
    lines = [
        f'schema = 1\n[center]\nstate_dir = "state"\nlisten = "127.0.0.1:{free_port()}"',
        "[receiver]\nmax_age_days = 36500",
        "[lake]\nseal_after_s = 20.0\ncheck_every_s = 1.0",
    ]
    signers = []
    for number in range(PLANTS):
        wire.generate_key_pair(folder / f"{number}.pem", folder / f"{number}.pub")
        signers.append(wire.load_signing_key(folder / f"{number}.pem"))
        units = ", ".join(f'"{layout.unit}"' for layout in _layouts(number))
        lines.append(f'[[plant]]\nid = "P{number}"\nunits = [{units}]\npublic_key_files = ["{number}.pub"]')
    (folder / "center.toml").write_text("\n".join(lines) + "\n", "utf-8")
    return signers


def _layouts(plant: int) -> tuple[UnitLayout, ...]:
    return tuple(replace(layout, unit=f"P{plant}-{layout.unit}") for layout in layouts(UNITS))


def _payloads(plant: int, signer: wire.Signer | None, first: int) -> list[bytes]:
    """Ten minutes of a plant, from batch `first` on; all plants have the same signals under names of their own."""
    stream = wire.Stream(f"P{plant}", "g1", 1)
    return [
        wire.encode_batch(wire.Batch(stream, first + n + 1, _layouts(plant), _renamed(plant, minute)), signer)
        for n, minute in enumerate(_minutes(first))
    ]


_made: dict[int, list[tuple[UnitRecord, ...]]] = {}


def _minutes(first: int) -> list[tuple[UnitRecord, ...]]:
    if first not in _made:
        seconds = list(ticks((first + MINUTES) * SECONDS, units=UNITS))[first * SECONDS :]
        _made[first] = [
            tuple(r for tick in seconds[n * SECONDS : (n + 1) * SECONDS] for r in tick) for n in range(MINUTES)
        ]
    return _made[first]


def _renamed(plant: int, records: tuple[UnitRecord, ...]) -> tuple[UnitRecord, ...]:
    return tuple(record._replace(unit=f"P{plant}-{record.unit}") for record in records)


async def _flood(port: int, payloads: list[list[bytes]], through: int) -> None:
    """All plants at once over a few connections; returns when each has its last acknowledgement."""
    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        for number in range(CONNECTIONS):
            group.create_task(_send(port, dict(list(enumerate(payloads))[number::CONNECTIONS]), through))


async def _send(port: int, payloads: dict[int, list[bytes]], through: int) -> None:
    window = asyncio.Semaphore(20)
    waiting = {f"P{number}" for number in payloads}
    async with aiomqtt.Client("127.0.0.1", port, max_inflight_messages=20) as client:
        client.pending_calls_threshold = 100_000
        for plant in waiting:
            await client.subscribe(wire.topic("collector", plant, "g1", "ack"), qos=1)

        async def publish(plant: int, payload: bytes) -> None:
            async with window:
                await client.publish(wire.topic("collector", f"P{plant}", "g1", "batch"), payload, qos=1, timeout=60)

        async with asyncio.TaskGroup() as group:
            for minute in range(MINUTES):
                for number, batches in payloads.items():
                    group.create_task(publish(number, batches[minute]))
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                if wire.decode_ack(message.payload, None).through >= through:
                    waiting.discard(message.topic.value.split("/")[2])
                if not waiting:
                    return


def _assert_all_there(state: Path, times: int) -> None:
    with CenterStore.open(state, clock=SystemClock(), create=False) as store:
        query = select(func.count(), func.sum(tables_receive.batch.c.record_count))
        batches, records = store.read(lambda c: c.execute(query).one())
        through = store.read(lambda c: c.execute(select(tables_receive.stream.c.through).distinct()).scalars().all())
    found = (int(batches), int(records), list(through))
    expected = (times * PLANTS * MINUTES, times * RECORDS, [times * MINUTES])
    if found != expected:
        raise AssertionError(f"batches, records, through: {found}, expected {expected}")


def _seal(folder: Path) -> tuple[float, float, float, float]:
    """Wall seconds of a full plant-day by one process and by two, CPU seconds by one; bytes of a record in its file."""
    with CenterStore.open(folder, clock=SystemClock()) as store:
        for plant in range(2 * FULL_DAYS):
            _fill_day(store, plant)
        stale = store.read(find_stale_days)
        seconds, before = [], resource.getrusage(resource.RUSAGE_CHILDREN)
        for days, processes in ((stale[:FULL_DAYS], 1), (stale[FULL_DAYS:], 2)):
            start = time.perf_counter()
            assert asyncio.run(seal_apart(folder, "", days, processes=processes)) == FULL_DAYS
            seconds.append((time.perf_counter() - start) / FULL_DAYS)
            if processes == 1:
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
        size = sum(path.stat().st_size for path in (store.directory / "lake").rglob("*.parquet"))
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds[0], seconds[1], used_s / FULL_DAYS, size / (2 * FULL_DAYS * DAY_BATCHES * SECONDS * UNITS)


def _fill_day(store: CenterStore, plant: int) -> None:
    """A whole day in the journal, past the broker."""
    units = frozenset(layout.unit for layout in layouts(UNITS))
    name = f"P{plant}"
    admission = Admission(root="collector", plants={name: EnrolledPlant(units, {})}, limits=WIDE, clock=SystemClock())
    topic = wire.topic("collector", name, "g1", "batch")
    for portion in _portions(_day_bodies(), 120):
        stream = wire.Stream(name, "g1", 1)
        messages = [
            (topic, wire.encode_batch(wire.Batch(stream, n, layouts(UNITS), records), None)) for n, records in portion
        ]
        arrivals = admission.admit_all(messages)
        store.write(lambda c, a=arrivals: commit_group(c, a, now_ms=0, quarantine_max_bytes=1)).result()  # type: ignore[misc]


_day: list[tuple[UnitRecord, ...]] = []


def _day_bodies() -> list[tuple[UnitRecord, ...]]:
    if not _day:
        seconds = iter(ticks(DAY_BATCHES * SECONDS, units=UNITS))
        _day.extend(tuple(r for _ in range(SECONDS) for r in next(seconds)) for _ in range(DAY_BATCHES))
    return _day


def _portions(bodies: list[tuple[UnitRecord, ...]], size: int) -> Iterator[list[tuple[int, tuple[UnitRecord, ...]]]]:
    numbered = list(enumerate(bodies, 1))
    for first in range(0, len(numbered), size):
        yield numbered[first : first + size]
