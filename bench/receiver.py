# SPDX-License-Identifier: GPL-3.0-or-later
"""Catch-up of the receiver: MQTT, signature, checksum, decoding, journal and acknowledgement, records per core-second.

A broker and a center as processes; a publisher floods signed batches of 240 records (60 s × 4 units of 14 quantities)
and waits for the acknowledgement of the last. What counts is the CPU time of the center's process: with two cores,
broker and publisher take theirs beside it. The floor is SQLite alone: the same payloads as blobs, synchronous FULL,
64 to a transaction.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

import aiomqtt

import collector.wire as wire
from bench.center_process import free_port, running_broker, running_center
from bench.figure import Figure
from bench.process import cpu_s
from bench.signals import layouts, ticks

BATCHES = 2000
SECONDS = 60
UNITS = 4
RECORDS = BATCHES * SECONDS * UNITS
DISTINCT = 200  # bodies made; the rest repeat them under other sequences, which costs the receiver the same


def measure() -> list[Figure]:
    """Records a second of one core."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        payloads = _payloads(folder)
        floor = RECORDS / _sqlite_alone_s(folder, payloads)
        value = RECORDS / _center_cpu_s(folder, payloads)
    return [
        Figure(
            name="receiver, 240 records a batch, per core",
            value=value,
            unit="records/s",
            floor="SQLite FULL, the same blobs",
            floor_value=floor,
            target=300_000,
            at_most=False,
        )
    ]


def _payloads(folder: Path) -> list[bytes]:
    wire.generate_key_pair(folder / "plant.pem", folder / "plant.pub")
    signer = wire.load_signing_key(folder / "plant.pem")
    stream = wire.Stream("P1", "g1", 1)
    seconds = list(ticks(DISTINCT * SECONDS, units=UNITS))
    payloads = []
    for n in range(BATCHES):
        start = n % DISTINCT * SECONDS
        records = tuple(record for tick in seconds[start : start + SECONDS] for record in tick)
        payloads.append(wire.encode_batch(wire.Batch(stream, n + 1, layouts(UNITS), records), signer))
    return payloads


def _sqlite_alone_s(folder: Path, payloads: list[bytes]) -> float:
    database = sqlite3.connect(folder / "floor.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE b (n INTEGER PRIMARY KEY, payload BLOB)")
    start = time.perf_counter()
    for first in range(0, len(payloads), 64):
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO b (payload) VALUES (?)", [(p,) for p in payloads[first : first + 64]])
        database.execute("COMMIT")
    elapsed = time.perf_counter() - start
    database.close()
    return elapsed


def _center_cpu_s(folder: Path, payloads: list[bytes]) -> float:
    units = ", ".join(f'"{layout.unit}"' for layout in layouts(UNITS))
    plant = f'[[plant]]\nid = "P1"\nunits = [{units}]\npublic_key_files = ["plant.pub"]\n'
    center = f'[center]\nstate_dir = "state"\nlisten = "127.0.0.1:{free_port()}"\n'
    settings = f"schema = 1\n{center}[receiver]\nmax_age_days = 36500\n{plant}"
    (folder / "center.toml").write_text(settings, "utf-8")
    port = free_port()
    with running_broker(folder, port), running_center(folder, port) as pid:
        before_s = cpu_s(pid)
        asyncio.run(_flood(port, payloads))
        return cpu_s(pid) - before_s


async def _flood(port: int, payloads: list[bytes]) -> None:
    """Publish everything; return when the center has acknowledged the last."""
    topic = wire.topic("collector", "P1", "g1", "batch")
    window = asyncio.Semaphore(200)
    async with aiomqtt.Client("127.0.0.1", port, max_inflight_messages=200) as client, asyncio.timeout(120):
        client.pending_calls_threshold = len(payloads)
        await client.subscribe(wire.topic("collector", "P1", "g1", "ack"), qos=1)

        async def publish(payload: bytes) -> None:
            async with window:
                await client.publish(topic, payload, qos=1, timeout=60)

        async with asyncio.TaskGroup() as group:
            for payload in payloads:
                group.create_task(publish(payload))
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                if wire.decode_ack(message.payload, None).through >= len(payloads):
                    break
