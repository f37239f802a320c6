# SPDX-License-Identifier: GPL-3.0-or-later
"""Across a device that lets nothing back: what was handed over is given up in time, and never counts against records.

And 補召 where files do come back: an ask crosses, and its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path

from sqlalchemy import select

from collector.agent.buffer.buffer import Buffer
from collector.agent.operate.doctor_buffer import one_way_troubles
from collector.agent.uplink.uplink import Uplink
from collector.base.clock import SystemClock
from collector.center.db.store import CenterStore
from collector.center.db.tables_receive import batch
from collector.center.people.access import Actor, Role
from collector.center.quality.gap_map import Gap, find_gaps, list_gaps
from collector.center.receive.asks import ask_again, list_asks
from collector.center.settings import load_center
from collector.model.interval import DAY_MS, HOUR_MS, Interval
from collector.points.agent_config import AgentConfig
from collector.wire import open_envelope
from collector.wire.spool import put, read, waiting
from tests.agent.buffer.agent_buffers import T0, contents, open_buffer, pending, record
from tests.agent.uplink.uplink_world import agent_config
from tests.center.center_process import configured, free_port, start_center, stored
from tests.patience import until, wait_until

LOST, LATE = 5, 6  # sequences that the device loses, and brings after their gap record
MARCH_2 = date(2026, 3, 2)  # batches 5 to 8, of 00:00, 06:00, 12:00 and 18:00; T0 is midnight of the 1st in Shanghai


def six_hours(buffer: Buffer, number: int) -> None:
    """The batch of a quarter of a day: a record of U1 every minute."""
    buffer.append([record((number - 1) * 6 * 3600 + 60 * minute) for minute in range(360)])
    buffer.seal_all()


@contextlib.asynccontextmanager
async def sending(buffer: Buffer, config: AgentConfig) -> AsyncIterator[Uplink]:
    uplink = Uplink(buffer, config)
    task = asyncio.create_task(uplink.run())
    try:
        yield uplink
    finally:
        task.cancel()
        await asyncio.wait([task])


def sequence_of(path: Path) -> int:
    message = read(path)
    assert message is not None
    return open_envelope(bytes(message.payload)).sequence if message.topic.value.endswith("/batch") else 0


def batches_in(folder: Path) -> int:
    return sum(sequence_of(path) > 0 for path in waiting(folder))


def gaps_of(folder: Path, day: date) -> list[Gap]:
    with CenterStore.open(folder / "state", clock=SystemClock(), create=False) as store:
        now_ms = T0 + 5 * DAY_MS
        return store.read(lambda c: find_gaps(c, store.lake, "U1", "P1", day, now_ms=now_ms, hold_limit_s=60))


def test_what_a_one_way_device_took_is_given_up_in_time_and_never_counts_against_records(tmp_path: Path) -> None:
    signer = configured(tmp_path, lines='folder = "crossing"')
    out, inward = tmp_path / "gateway" / "out", tmp_path / "crossing" / "in"
    inward.mkdir(parents=True)
    buffer = open_buffer(tmp_path / "g1.buffer", signer=signer)
    config = agent_config(1, tmp_path, kind="file", folder="gateway", ack="none", keep_days=1, window=2)
    gateway = config.settings.gateway.model_copy(update={"state_dir": "."})
    config = replace(config, settings=config.settings.model_copy(update={"gateway": gateway}))

    async def go() -> None:
        for number in range(1, 13):  # three days
            six_hours(buffer, number)
        async with sending(buffer, config):
            await until(lambda: buffer.counts().handed + buffer.counts().unconfirmed == 12)
            # What is older than the day before the newest record's day of UTC: the first, of 28 February there.
            assert buffer.counts().unconfirmed > 0
            for number in range(13, 21):
                six_hours(buffer, number)
            await until(lambda: buffer.counts().handed + buffer.counts().unconfirmed == buffer.counts().sealed)
        files = batches_in(out)
        async with sending(buffer, config) as uplink:  # a new process does not begin again
            await until(lambda: uplink.is_connected)
            six_hours(buffer, 21)
            await until(lambda: uplink.published > 0)
            assert uplink.published == 1
            assert batches_in(out) == files + 1  # a state may have taken the place of another

    asyncio.run(go())
    counts = buffer.counts()
    assert counts.sealed == counts.freed + counts.pending + counts.evicted + counts.unconfirmed
    assert (counts.freed, counts.evicted, counts.oldest_pending_ms) == (0, 0, None)
    assert counts.unconfirmed >= 12  # three days of five
    assert counts.pending >= 4  # the last day is kept whole
    (told,) = (t for t in one_way_troubles(config) if t.subject == "uplink.ack")
    assert f"({counts.unconfirmed} so far)" in told.message

    late = []
    for path in waiting(out):
        if sequence_of(path) == LATE:
            late.append(path.read_bytes())
        elif sequence_of(path) != LOST:
            shutil.copy(path, inward)
    process = start_center(tmp_path, free_port())
    try:
        wait_until(lambda: not waiting(inward), "the files to be taken")
        wait_until(lambda: stored(tmp_path)[2] == 21, "every hole to be closed", progress=lambda: stored(tmp_path))
        assert stored(tmp_path)[:2] == (19, 19 * 360)
        with CenterStore.open(tmp_path / "state", clock=SystemClock(), create=False) as store:
            told_gaps = store.read(lambda c: list_gaps(c, Interval(T0, T0 + 3 * DAY_MS), unit="U1"))
        assert {row["reason"] for row in told_gaps} == {"unconfirmed"}
        assert min(row["from_seq"] for row in told_gaps) == 1  # also of what the center holds
        # Of the day's second half there are records, and they stand whatever the gap records say.
        gaps = gaps_of(tmp_path, MARCH_2)
        assert max(gap.end_ms for gap in gaps) == T0 + DAY_MS + 12 * HOUR_MS
        unconfirmed_ms = sum(gap.end_ms - gap.start_ms for gap in gaps if gap.reason == "unconfirmed")
        assert unconfirmed_ms >= 2 * (6 * HOUR_MS - 60_000)  # a range ends with its last record
        put(inward, "collector/v1/P1/g1/batch", late[0])
        wait_until(lambda: stored(tmp_path)[0] == 20, "the late batch to be stored all the same")
        with CenterStore.open(tmp_path / "state", clock=SystemClock(), create=False) as store:
            held = set(store.read(lambda c: c.execute(select(batch.c.sequence)).scalars().all()))
        assert held == set(range(1, 22)) - {LOST}
    finally:
        process.terminate()
        process.wait()
    buffer.close()


def test_where_files_come_back_an_ask_crosses_and_is_answered(tmp_path: Path) -> None:
    signer = configured(tmp_path, lines='folder = "crossing"')
    gateway, center = tmp_path / "gateway", tmp_path / "crossing"
    center.mkdir()
    buffer = open_buffer(tmp_path / "buffer.db", signer=signer)
    for number in range(1, 4):
        six_hours(buffer, number)
    config = agent_config(1, tmp_path, kind="file", folder="gateway", center_key_file="center.pub")
    li = Actor("li", Role.OPERATOR)

    def carry() -> None:
        for source, target in ((gateway / "out", center / "in"), (center / "out", gateway / "in")):
            target.mkdir(parents=True, exist_ok=True)
            for path in waiting(source):
                shutil.copy(path, target / "part")
                (target / "part").rename(target / path.name)
                path.unlink()

    def answers() -> list[str]:
        with CenterStore.open(tmp_path / "state", clock=SystemClock(), create=False) as store:
            return [row["state"] for row in store.read(list_asks)]

    async def go() -> None:
        async with sending(buffer, config):

            def all_acknowledged() -> bool:
                carry()
                return buffer.counts().pending == 0

            await until(all_acknowledged)
            settings = load_center(tmp_path / "center.toml")
            with CenterStore.open(tmp_path / "state", clock=SystemClock(), create=False) as store:
                span = Interval(T0, T0 + HOUR_MS)
                await asyncio.to_thread(ask_again, store, settings, "U1", span, actor=li)
            assert answers() == ["open"]

            def answered() -> bool:
                carry()
                return answers() == ["answered"]

            await until(answered)

    process = start_center(tmp_path, free_port())
    try:
        wait_until((tmp_path / "state" / "center.sqlite").exists, "the center's store")
        asyncio.run(go())
    finally:
        process.terminate()
        process.wait()
    assert stored(tmp_path)[0] == 3
    assert not [contents(each) for each in pending(buffer)]
    buffer.close()
