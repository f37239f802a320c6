# SPDX-License-Identifier: GPL-3.0-or-later
"""Several receivers on one shared subscription and one PostgreSQL store, killed and restarted in any order."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
from pathlib import Path

import aiomqtt
import psycopg
import pytest
from sqlalchemy import func, select

from collector import wire
from collector.base.clock import SystemClock
from collector.center.db import tables_receive
from collector.center.db.store import CenterStore
from collector.center.lake.seal import count_records, seal_month_of
from collector.center.operate.integrity import check_store
from collector.model.interval import Month
from tests.center.center_batches import NOON, batch_topic, minutes, new_signer, payload_of
from tests.center.center_process import (
    Plant,
    free_port,
    running_mosquitto,
    start_center,
    wait_for_log,
    wait_for_through,
)
from tests.center.db.postgresql_server import plain_url
from tests.patience import HANG_S
from tests.size import sized

NAMES = ("receiver-1", "receiver-2", "receiver-3")
BATCHES = sized(300, 900)
KILLS = sized(4, 12)


def configured(folder: Path, database_url: str) -> wire.Signer:
    """A file per receiver: its own id, all else alike; returns the plant's key."""
    signer = new_signer(folder, "plant")
    wire.generate_key_pair(folder / "center.pem", folder / "center.pub")
    for name in NAMES:
        text = f"""
schema = 1
[center]
id = "{name}"
state_dir = "state"
database_url = "{database_url}"
signing_key_file = "center.pem"
[receiver]
backoff_max_s = 0.5
max_age_days = 36500
max_future_s = 3e9
shared_group = "center"
[lake]
seal_after_s = 0.0
check_every_s = 0.5
[[plant]]
id = "P1"
units = ["U1", "U2"]
public_key_files = ["plant.pub"]
"""
        (folder / f"{name}.toml").write_text(text, "utf-8")
    return signer


@pytest.mark.crash
def test_receivers_killed_in_any_order_store_each_batch_once(postgresql_url: str, tmp_path: Path) -> None:
    signer = configured(tmp_path, postgresql_url)
    port = free_port()
    payloads = {n: payload_of(n, minutes("U1", NOON + n * 600_000, 3), signer=signer) for n in range(1, BATCHES + 1)}
    plant = Plant(tmp_path, port, payloads)
    rng = random.Random(11)
    running: dict[str, subprocess.Popen[bytes]] = {}

    async def kill_and_restart() -> None:
        sending = asyncio.create_task(plant.send_all())
        for _ in range(KILLS):
            # Until something is acknowledged that was not, so that between two kills work was done …
            plant.heard.clear()
            await asyncio.wait([asyncio.create_task(plant.heard.wait()), sending], return_when="FIRST_COMPLETED")
            plant.heard.set()
            if sending.done():
                plant.pending = dict(rng.sample(sorted(payloads.items()), 200))  # a repeat may also be killed
                sending = asyncio.create_task(plant.send_all())
            # … and then any of them, at any step; each second time the one killed before comes back first.
            await asyncio.sleep(rng.uniform(0, 0.1))
            for name in [name for name in NAMES if name not in running][rng.randint(0, 1) :]:
                running[name] = start_center(tmp_path, port, name)
            name = rng.choice(sorted(running))
            victim = running.pop(name)
            os.kill(victim.pid, signal.SIGKILL)
            victim.wait()
            if not running:
                running[name] = start_center(tmp_path, port, name)
        await sending

    with running_mosquitto(tmp_path, port):
        try:
            for name in NAMES:
                running[name] = start_center(tmp_path, port, name)
            asyncio.run(kill_and_restart())
        finally:
            for process in running.values():
                process.terminate()
            codes = [process.wait(HANG_S) for process in running.values()]
    # One that was started a moment ago may be told to end before it listens for that.
    assert set(codes) <= {0, -signal.SIGTERM}
    assert not plant.pending
    assert not plant.refused
    with CenterStore.open(tmp_path / "state", clock=SystemClock(), database_url=postgresql_url) as store:
        query = select(func.count(), func.sum(tables_receive.batch.c.record_count))
        assert tuple(store.read(lambda c: c.execute(query).one())) == (BATCHES, 3 * BATCHES)
        assert store.read(lambda c: c.execute(select(tables_receive.stream.c.through)).scalars().all()) == [BATCHES]
        assert count_records(seal_month_of(store, Month(2026, 3))) == 3 * BATCHES
        assert check_store(store) == []


def test_a_receiver_that_is_gone_leaves_its_share_to_the_others(postgresql_url: str, tmp_path: Path) -> None:
    """The broker must not go on handing every second batch to one that is dead."""
    signer = configured(tmp_path, postgresql_url)
    port = free_port()

    async def publish_each_once() -> None:
        async with aiomqtt.Client("127.0.0.1", port, timeout=HANG_S) as client:
            for n in range(1, 101):
                payload = payload_of(n, minutes("U1", NOON + n * 600_000, 2), signer=signer)
                await client.publish(batch_topic(), payload, qos=1)

    with running_mosquitto(tmp_path, port):
        stays, goes = (start_center(tmp_path, port, name) for name in NAMES[:2])
        try:
            for name in NAMES[:2]:
                wait_for_log(tmp_path, "connected", 1, name)
            os.kill(goes.pid, signal.SIGKILL)
            goes.wait()
            asyncio.run(publish_each_once())
            wait_for_through(tmp_path, 100, postgresql_url)
        finally:
            stays.terminate()
            goes.kill()
            assert stays.wait(HANG_S) == 0


@pytest.mark.crash
def test_a_database_that_drops_its_connections_loses_and_doubles_nothing(postgresql_url: str, tmp_path: Path) -> None:
    """As when the server is restarted, or a firewall forgets: again and again, in the middle of whatever goes on."""
    signer = configured(tmp_path, postgresql_url)
    port = free_port()
    payloads = {n: payload_of(n, minutes("U1", NOON + n * 600_000, 3), signer=signer) for n in range(1, 601)}
    plant = Plant(tmp_path, port, payloads)
    ours = "datname = current_database() AND pid <> pg_backend_pid()"
    drop = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}".encode()

    async def drop_while_sending() -> None:
        sending = asyncio.create_task(plant.send_all())
        for _ in range(8):
            plant.heard.clear()
            await asyncio.wait([asyncio.create_task(plant.heard.wait()), sending], return_when="FIRST_COMPLETED")
            plant.heard.set()
            async with await psycopg.AsyncConnection.connect(plain_url(postgresql_url)) as connection:
                await connection.execute(drop)
        await sending

    with running_mosquitto(tmp_path, port):
        center = start_center(tmp_path, port, NAMES[0])
        try:
            asyncio.run(drop_while_sending())
            assert center.poll() is None, (tmp_path / f"{NAMES[0]}.log").read_text("utf-8")
        finally:
            center.terminate()
            assert center.wait(HANG_S) == 0, (tmp_path / f"{NAMES[0]}.log").read_text("utf-8")
    with CenterStore.open(tmp_path / "state", clock=SystemClock(), database_url=postgresql_url) as store:
        query = select(func.count(), func.sum(tables_receive.batch.c.record_count))
        assert tuple(store.read(lambda c: c.execute(query).one())) == (600, 1800)
        assert check_store(store) == []
