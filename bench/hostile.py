# SPDX-License-Identifier: GPL-3.0-or-later
"""How long an honest plant waits beside a hostile one: from sending a batch to the center's acknowledgement, seconds.

A broker and a center as processes. The honest plant sends its minute of records every half second; the hostile one,
enrolled and signing, sends whatever it can as fast as the broker takes it: thousands of gaps, a month of days, every
unit at once, times to come, garbage, signatures that are none, batches of the largest size, repeats. The floor is the
same honest plant alone, in the same run.

`python -m bench.hostile PORT KEY` is the hostile one, a process of its own, until it is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import aiomqtt

import collector.wire as wire
from bench.center_process import free_port, running_broker, running_center
from bench.figure import Figure
from bench.signals import layouts, ticks
from collector.base.clock import SystemClock
from collector.model.interval import DAY_MS
from collector.model.record import GapRecord, Quality, UnitLayout, UnitRecord

SENT: Final = 60
EVERY_S: Final = 0.5
AHEAD_S: Final = 5.0  # the flood runs alone for so long first
TARGET_S: Final = 5.0
FLOODING: Final = b"flooding\n"
PIECE: Final = 20  # batches of one shape in a row
FLOOD_WINDOW: Final = 500
NAMES: Final = ("active_power_mw",)


def measure() -> list[Figure]:
    """The longest wait and the median one."""
    with tempfile.TemporaryDirectory() as name:
        alone = _waits(Path(name), flooded=False)
    with tempfile.TemporaryDirectory() as name:
        beside = _waits(Path(name), flooded=True)
    what, floor = "wait of an honest plant beside a hostile one", "the same plant alone"
    return [
        Figure(f"longest {what}", max(beside), "s", floor, max(alone), TARGET_S),
        Figure(f"median {what}", statistics.median(beside), "s", floor, statistics.median(alone), TARGET_S),
    ]


def _waits(folder: Path, *, flooded: bool) -> list[float]:
    honest, _ = (_key(folder, name) for name in ("honest", "hostile"))
    units = ", ".join(f'"{layout.unit}"' for layout in layouts())
    theirs = ", ".join(f'"H{number}"' for number in range(256))
    (folder / "center.toml").write_text(
        f'schema = 1\n[center]\nstate_dir = "state"\nlisten = "127.0.0.1:{free_port()}"\n'
        f"[receiver]\nmax_age_days = 36500\n"
        f'[[plant]]\nid = "P1"\nunits = [{units}]\npublic_key_files = ["honest.pub"]\n'
        f'[[plant]]\nid = "P2"\nunits = [{theirs}]\npublic_key_files = ["hostile.pub"]\n',
        "utf-8",
    )
    port = free_port()
    with running_broker(folder, port), running_center(folder, port):
        if not flooded:
            return asyncio.run(_honest(port, honest))
        command = [sys.executable, "-m", "bench.hostile", str(port), str(folder / "hostile.pem")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as flood:
            try:
                assert flood.stdout is not None
                assert flood.stdout.readline() == FLOODING
                time.sleep(AHEAD_S)
                return asyncio.run(_honest(port, honest))
            finally:
                flood.kill()


def _key(folder: Path, name: str) -> wire.Signer:
    wire.generate_key_pair(folder / f"{name}.pem", folder / f"{name}.pub")
    return wire.load_signing_key(folder / f"{name}.pem")


async def _honest(port: int, signer: wire.Signer) -> list[float]:
    """Seconds from sending each batch to the acknowledgement that covers it."""
    stream, seconds = wire.Stream("P1", "g1", 1), list(ticks(60))
    records = tuple(record for tick in seconds for record in tick)
    sent: dict[int, float] = {}
    waits: list[float] = []
    async with aiomqtt.Client("127.0.0.1", port) as client, asyncio.TaskGroup() as group:
        await client.subscribe(wire.topic("collector", "P1", "g1", "ack"), qos=1)

        async def publish() -> None:
            for sequence in range(1, SENT + 1):
                moved = tuple(r._replace(time_utc_ms=r.time_utc_ms + sequence * 60_000) for r in records)
                payload = wire.encode_batch(wire.Batch(stream, sequence, layouts(), moved), signer)
                sent[sequence] = time.perf_counter()
                await client.publish(wire.topic("collector", "P1", "g1", "batch"), payload, qos=1, timeout=60)
                await asyncio.sleep(EVERY_S)

        group.create_task(publish())
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            through = wire.decode_ack(message.payload, None).through
            now_s = time.perf_counter()
            waits += [now_s - sent.pop(sequence) for sequence in [s for s in sent if s <= through]]
            if len(waits) == SENT:
                break
    return waits


async def _flood(port: int, signer: wire.Signer) -> None:
    """As much as the broker takes, until cancelled."""
    topic = wire.topic("collector", "P2", "g1", "batch")
    payloads = _shapes(signer)
    window = asyncio.Semaphore(FLOOD_WINDOW)
    async with (
        aiomqtt.Client("127.0.0.1", port, max_inflight_messages=FLOOD_WINDOW) as client,
        asyncio.TaskGroup() as group,
    ):
        client.pending_calls_threshold = 1_000_000

        async def publish(payload: bytes) -> None:
            with contextlib.suppress(aiomqtt.MqttError):
                await client.publish(topic, payload, qos=1, timeout=60)
            window.release()

        for number, payload in enumerate(itertools.cycle(payloads)):
            await window.acquire()
            if number == FLOOD_WINDOW:  # the broker has taken the first
                print(FLOODING.decode(), end="", flush=True)
            group.create_task(publish(payload))


def _shapes(signer: wire.Signer) -> list[bytes]:
    """Batches of every shape, each sequence once; cycled through they are repeats."""
    chance, made = random.Random(3), []
    now_ms = SystemClock().now_utc_ms()
    units = [f"H{number}" for number in range(256)]
    numbers = itertools.count(1)

    def seal(records: tuple[UnitRecord, ...], gaps: tuple[GapRecord, ...] = (), *, epoch: int = 1) -> bytes:
        names = sorted({record.unit for record in records})
        layout = tuple(UnitLayout(name, NAMES) for name in names)
        batch = wire.Batch(wire.Stream("P2", "g1", epoch), next(numbers), layout, records, gaps)
        return wire.encode_batch(batch, signer)

    def record(unit: str, time_ms: int) -> UnitRecord:
        return UnitRecord(unit, time_ms, (1,), (Quality.GOOD,))

    for n in range(PIECE):
        begin = now_ms - n * DAY_MS
        many = tuple(
            GapRecord((unit,), begin - k * 1000, begin - k * 1000 + 1, "agent_down")
            for k in range(16)
            for unit in units
        )
        made.append(seal((), many))
        made.append(seal(tuple(record(units[n], now_ms - (n * 31 + k) * DAY_MS) for k in range(31))))
        made.append(seal(tuple(record(unit, begin) for unit in units)))
        made.append(seal(tuple(record(units[0], begin - k * 7) for k in range(5_000, 0, -1))))
        made.append(seal((record(units[0], now_ms + 10 * DAY_MS + n),)))
        made.append(seal((record(units[1], begin),), epoch=chance.getrandbits(63)))
        made.append(os.urandom(chance.randrange(1, 2000)))
        made.append(seal((record(units[2], begin),))[:-70] + os.urandom(70))
    made.append(os.urandom(3_900_000))
    return made


if __name__ == "__main__":
    asyncio.run(_flood(int(sys.argv[1]), wire.load_signing_key(Path(sys.argv[2]))))
