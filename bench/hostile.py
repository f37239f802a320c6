# SPDX-License-Identifier: GPL-3.0-or-later
"""How long an honest plant waits beside hostile ones: from sending a batch to the center's acknowledgement, seconds.

A broker and a center as processes. The honest plant sends its minute of records every half second; beside it, in turn:

- one enrolled and signing plant that sends whatever it can as fast as the broker takes it: thousands of gaps, a month
  of days, every unit at once, times to come, garbage, signatures that are none, repeats;
- the same plant with messages as large as the broker takes, garbage and signed batches;
- somebody who opens connections to the broker and to the pages and sends half of a request into each, a byte at a time;
- twenty hostile plants at once, beside two honest ones.

The floor is the same honest plant alone, in the same run.

`python -m bench.hostile KIND PORT WEB FOLDER PLANT…` is the hostile side, a process of its own, until it is killed.
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
PIECE_OF_MANY: Final = 4  # the same of each of many plants, which are made before the flood begins
MANY: Final = 20
FLOOD_WINDOW: Final = 500
LARGEST_BYTES: Final = 4_000_000  # just below max_packet_size of config/mosquitto, over max_batch_bytes of the center
HALF_OPEN: Final = 400  # connections to each, opened again as they are closed
DRIP_S: Final = 1.0
NAMES: Final = ("active_power_mw",)
HALF_CONNECT: Final = bytes.fromhex("10 7f 00 04 4d 51 54 54 05")  # of MQTT, 127 bytes announced
HALF_REQUEST: Final = b"GET /login HTTP/1.1\r\nHost: center\r\nX-Slow: "
HALF_BODY: Final = (
    b"POST /login HTTP/1.1\r\nHost: center\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 1000000\r\n\r\nname="
)


@dataclass(frozen=True)
class Beside:
    """What an honest plant stands beside. `kind`: of the hostile process; empty: none."""

    words: str
    kind: str = ""
    hostile: int = 0
    honest: int = 1


ALONE: Final = Beside("the same plant alone")
ROWS: Final = (
    Beside("a hostile one", "flood", 1),
    Beside("a plant that sends the largest messages", "largest", 1),
    Beside("half-open connections to broker and pages", "loris", 0),
    Beside("twenty hostile ones, of two honest plants", "flood", MANY, 2),
)


def measure() -> list[Figure]:
    """The longest wait and the median one, for each of the rows."""
    with tempfile.TemporaryDirectory() as name:
        alone, shown_alone = _waits(Path(name), ALONE)
    figures = []
    for row in ROWS:
        with tempfile.TemporaryDirectory() as name:
            waits, shown = _waits(Path(name), row)
        what = f"wait of an honest plant beside {row.words}"
        figures += [
            Figure(f"longest {what}", max(waits), "s", ALONE.words, max(alone), TARGET_S),
            Figure(f"median {what}", statistics.median(waits), "s", ALONE.words, statistics.median(alone), TARGET_S),
            Figure(
                f"longest wait of a page beside {row.words}", max(shown), "s", ALONE.words, max(shown_alone), TARGET_S
            ),
        ]
    return figures


def _waits(folder: Path, row: Beside) -> tuple[list[float], list[float]]:
    """Of the honest plants' batches, and of somebody who opens a page meanwhile."""
    honest = {f"P{number}": _key(folder, f"P{number}") for number in range(1, row.honest + 1)}
    hostile = [f"H{number}" for number in range(1, row.hostile + 1)]
    web = free_port()
    text = f'schema = 1\n[center]\nstate_dir = "state"\nlisten = "127.0.0.1:{web}"\n[receiver]\nmax_age_days = 36500\n'
    for plant in honest:
        text += _plant(plant, [f"{plant}-{layout.unit}" for layout in layouts()])
    for plant in hostile:
        _key(folder, plant)
        text += _plant(plant, [f"{plant}-{number}" for number in range(256)])
    (folder / "center.toml").write_text(text, "utf-8")
    port = free_port()
    with running_broker(folder, port), running_center(folder, port):
        if not row.kind:
            return asyncio.run(_all_honest(port, web, honest))
        command = [sys.executable, "-m", "bench.hostile", row.kind, str(port), str(web), str(folder), *hostile]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as flood:
            try:
                assert flood.stdout is not None
                assert flood.stdout.readline() == FLOODING
                time.sleep(AHEAD_S)
                return asyncio.run(_all_honest(port, web, honest))
            finally:
                flood.kill()


def _plant(plant: str, units: Sequence[str]) -> str:
    names = ", ".join(f'"{unit}"' for unit in units)
    return f'[[plant]]\nid = "{plant}"\nunits = [{names}]\npublic_key_files = ["{plant}.pub"]\n'


def _key(folder: Path, name: str) -> wire.Signer:
    wire.generate_key_pair(folder / f"{name}.pem", folder / f"{name}.pub")
    return wire.load_signing_key(folder / f"{name}.pem")


async def _all_honest(port: int, web: int, signers: Mapping[str, wire.Signer]) -> tuple[list[float], list[float]]:
    """Of all honest plants together, each sending by itself; and of the pages until they have done."""
    shown: list[float] = []
    looking = asyncio.create_task(_look(web, shown))
    try:
        waits = await asyncio.gather(*(_honest(port, plant, signer) for plant, signer in signers.items()))
    finally:
        looking.cancel()
    return [each for of_plant in waits for each in of_plant], shown


async def _look(web: int, shown: list[float]) -> None:
    """Open the page of the log-in again and again; how long each took, from connecting to its last byte."""
    while True:
        begun_s = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", web)
        writer.write(b"GET /login HTTP/1.1\r\nHost: center\r\nConnection: close\r\n\r\n")
        head = await reader.readline()
        await reader.read()
        writer.close()
        if b" 200 " not in head:
            raise RuntimeError(head.decode("latin-1"))
        shown.append(time.perf_counter() - begun_s)
        await asyncio.sleep(EVERY_S)


async def _honest(port: int, plant: str, signer: wire.Signer) -> list[float]:
    """Seconds from sending each batch to the acknowledgement that covers it."""
    stream, seconds = wire.Stream(plant, "g1", 1), list(ticks(60))
    mine = tuple(replace(layout, unit=f"{plant}-{layout.unit}") for layout in layouts())
    records = tuple(record._replace(unit=f"{plant}-{record.unit}") for tick in seconds for record in tick)
    sent: dict[int, float] = {}
    waits: list[float] = []
    async with aiomqtt.Client("127.0.0.1", port) as client, asyncio.TaskGroup() as group:
        await client.subscribe(wire.topic("collector", plant, "g1", "ack"), qos=1)

        async def publish() -> None:
            for sequence in range(1, SENT + 1):
                moved = tuple(r._replace(time_utc_ms=r.time_utc_ms + sequence * 60_000) for r in records)
                payload = wire.encode_batch(wire.Batch(stream, sequence, mine, moved), signer)
                sent[sequence] = time.perf_counter()
                await client.publish(wire.topic("collector", plant, "g1", "batch"), payload, qos=1, timeout=60)
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


async def _flood_as(port: int, plant: str, payloads: Sequence[bytes], begun: Callable[[], None]) -> None:
    """As much as the broker takes, until cancelled; `begun` is called once it has taken the first."""
    topic = wire.topic("collector", plant, "g1", "batch")
    window = asyncio.Semaphore(FLOOD_WINDOW if len(payloads[0]) < LARGEST_BYTES else 8)
    first = len(payloads)
    async with aiomqtt.Client("127.0.0.1", port, max_inflight_messages=FLOOD_WINDOW) as client:
        client.pending_calls_threshold = 1_000_000
        async with asyncio.TaskGroup() as group:

            async def publish(payload: bytes) -> None:
                with contextlib.suppress(aiomqtt.MqttError):
                    await client.publish(topic, payload, qos=1, timeout=60)
                window.release()

            for number, payload in enumerate(itertools.cycle(payloads)):
                await window.acquire()
                if number == first:
                    begun()
                group.create_task(publish(payload))


async def _flood(port: int, folder: Path, plants: Sequence[str], kind: str) -> None:
    """All of these plants at once."""
    waiting = set(plants)

    def begun(plant: str) -> None:
        waiting.discard(plant)
        if not waiting:
            print(FLOODING.decode(), end="", flush=True)

    async with asyncio.TaskGroup() as group:
        for plant in plants:
            signer = wire.load_signing_key(folder / f"{plant}.pem")
            made = _largest(signer, plant) if kind == "largest" else _shapes(signer, plant, of_many=len(plants) > 1)
            group.create_task(_flood_as(port, plant, made, partial(begun, plant)))


async def _loris(port: int, web: int) -> None:
    """Connections that say half of what they announce and then a byte a second; opened again when they are closed."""
    open_now, enough = 0, asyncio.Event()  # half of them: a center may refuse some

    async def hold(to: int, half: bytes) -> None:
        nonlocal open_now
        while True:
            with contextlib.suppress(OSError, EOFError):
                reader, writer = await asyncio.open_connection("127.0.0.1", to)
                open_now += 1
                if open_now == HALF_OPEN:
                    enough.set()
                try:
                    writer.write(half)
                    while not reader.at_eof():
                        await asyncio.sleep(DRIP_S)
                        writer.write(b"a")
                        await writer.drain()
                finally:
                    writer.close()
            await asyncio.sleep(DRIP_S)

    async with asyncio.TaskGroup() as group:
        for number in range(HALF_OPEN):
            group.create_task(hold(port, HALF_CONNECT if number % 2 else b""))
            group.create_task(hold(web, HALF_REQUEST if number % 2 else HALF_BODY))
        await enough.wait()
        print(FLOODING.decode(), end="", flush=True)


def _largest(signer: wire.Signer, plant: str) -> list[bytes]:
    """Messages as large as the broker takes: garbage, a true head with garbage behind it, one repeated byte."""
    now_ms = SystemClock().now_utc_ms()
    layout = (UnitLayout(f"{plant}-0", NAMES),)
    records = tuple(UnitRecord(f"{plant}-0", now_ms - k, (k,), (Quality.GOOD,)) for k in range(50_000, 0, -1))
    signed = wire.encode_batch(wire.Batch(wire.Stream(plant, "g1", 1), 1, layout, records, ()), signer)
    return [
        os.urandom(LARGEST_BYTES),
        signed + os.urandom(LARGEST_BYTES - len(signed)),
        bytes(LARGEST_BYTES),
        signed[: len(signed) // 2] * (LARGEST_BYTES // (len(signed) // 2)),
    ]


def _shapes(signer: wire.Signer, plant: str, *, of_many: bool) -> list[bytes]:
    """Batches of every shape, each sequence once; cycled through they are repeats."""
    chance, made = random.Random(3), []
    now_ms = SystemClock().now_utc_ms()
    units = [f"{plant}-{number}" for number in range(256)]
    numbers = itertools.count(1)

    def seal(records: tuple[UnitRecord, ...], gaps: tuple[GapRecord, ...] = (), *, epoch: int = 1) -> bytes:
        names = sorted({record.unit for record in records})
        layout = tuple(UnitLayout(name, NAMES) for name in names)
        batch = wire.Batch(wire.Stream(plant, "g1", epoch), next(numbers), layout, records, gaps)
        return wire.encode_batch(batch, signer)

    def record(unit: str, time_ms: int) -> UnitRecord:
        return UnitRecord(unit, time_ms, (1,), (Quality.GOOD,))

    for n in range(PIECE_OF_MANY if of_many else PIECE):
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
    return made


if __name__ == "__main__":
    _kind, _port, _web, _folder, *_plants = sys.argv[1:]
    if _kind == "loris":
        asyncio.run(_loris(int(_port), int(_web)))
    else:
        asyncio.run(_flood(int(_port), Path(_folder), _plants, _kind))
