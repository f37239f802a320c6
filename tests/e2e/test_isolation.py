# SPDX-License-Identifier: GPL-3.0-or-later
"""Across an isolation device: files carried between an agent's folder and a center's, by a carrier that misbehaves."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
from pathlib import Path

from collector.agent.buffer.buffer import Buffer
from collector.agent.uplink.uplink import Uplink
from collector.wire.spool import put, waiting
from tests.agent.buffer.agent_buffers import open_buffer, record
from tests.agent.uplink.uplink_world import agent_config
from tests.center.center_batches import batch_topic, minutes, payload_of
from tests.center.center_process import configured, free_port, start_center, stored
from tests.patience import until, wait_until

BATCHES = 40


def carry(source: Path, target: Path, chance: random.Random) -> None:
    """What lies there, in any order; now and then only a part, twice, or not yet."""
    target.mkdir(parents=True, exist_ok=True)
    files = waiting(source)
    chance.shuffle(files)
    for path in files:
        fate = chance.random()
        data = path.read_bytes()
        if fate < 0.2:
            continue
        if fate < 0.4:
            (target / path.name).write_bytes(data[: chance.randrange(len(data))])
            continue
        (target / path.name).write_bytes(data)
        if fate > 0.6:
            path.unlink()


def test_what_an_agent_writes_is_stored_once_and_freed_by_what_comes_back(tmp_path: Path) -> None:
    signer = configured(tmp_path, lines='folder = "crossing"')
    gateway, center = tmp_path / "gateway", tmp_path / "crossing"
    buffer = open_buffer(tmp_path / "buffer.db", signer=signer)
    for place in range(BATCHES):
        buffer.append([record(60 * place + n, unit=unit) for n in range(5) for unit in ("U1", "U2")])
        buffer.seal_all()
    chance = random.Random(11)

    async def pass_over(processes: list[subprocess.Popen[bytes]]) -> None:
        config = agent_config(1, tmp_path, kind="file", folder="gateway", center_key_file="center.pub", window=8)
        uplink = asyncio.create_task(Uplink(buffer, config).run())
        killed = 0

        def goes_on() -> bool:
            nonlocal killed
            carry(gateway / "out", center / "in", chance)
            carry(center / "out", gateway / "in", chance)
            left = buffer.counts().pending
            if killed < 2 and left < BATCHES * (2 - killed) / 3:
                processes[-1].kill()
                processes[-1].wait()
                processes.append(start_center(tmp_path, 1))
                killed += 1
            return left == 0

        await until(goes_on, progress=lambda: buffer.counts().pending)
        uplink.cancel()
        await asyncio.wait([uplink])

    processes = [start_center(tmp_path, free_port())]
    try:
        asyncio.run(pass_over(processes))
    finally:
        processes[-1].terminate()
        processes[-1].wait()
    batches, records, through = stored(tmp_path)
    assert (batches, records, through) == (BATCHES, BATCHES * 10, BATCHES)
    close(buffer)


def close(buffer: Buffer) -> None:
    buffer.close()


def test_a_repeat_is_acknowledged_again_and_a_refused_batch_leaves_with_its_code(tmp_path: Path) -> None:
    signer = configured(tmp_path, lines='folder = "crossing"')
    inward, outward = tmp_path / "crossing" / "in", tmp_path / "crossing" / "out"
    inward.mkdir(parents=True)
    good = payload_of(1, minutes("U1", 1_772_294_400_000, 3), signer=signer)
    foreign = payload_of(2, minutes("V9", 1_772_294_400_000, 1), signer=signer)
    process = start_center(tmp_path, free_port())
    try:
        for _ in range(2):
            put(inward, batch_topic(), good)
            wait_until(lambda: not waiting(inward), "the batch to be taken")
            assert waiting(outward)
            shutil.rmtree(outward)
            outward.mkdir()
        put(inward, batch_topic(), foreign)
        put(inward, batch_topic(), b"\\xc1 no batch")
        wait_until(lambda: not waiting(inward), "the others to be taken")
        assert b'[2,"foreign_unit"]' in b"".join(path.read_bytes() for path in waiting(outward))
    finally:
        process.terminate()
        process.wait()
    assert stored(tmp_path)[:2] == (1, 3)
