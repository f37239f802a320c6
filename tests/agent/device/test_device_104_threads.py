# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of the threads that c104 calls us on: kept where a connection brings many messages, a bounded number."""

from __future__ import annotations

import asyncio
import ctypes
import threading
import time
from pathlib import Path

from collector.agent.device.iec104.link import KEEPS_AFTER, Link
from collector.agent.device.iec104.thread_state import ThreadStates
from collector.points.agent_config import load_agent
from simulators.plant.scenario import free_ports
from simulators.run.devices import serve
from tests.patience import HANG_S

MESSAGES = KEEPS_AFTER + 500
TABLE = "name,quantity,area,type,address,raw_unit\nP,active_power_mw,36,float32,1,MW\n"


def test_only_a_connection_with_many_messages_keeps_the_state_of_its_thread(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(TABLE, "utf-8")
    (tmp_path / "agent.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n[[unit]]\nid = "U"\nplant = "P"\n'
        '[[device]]\nid = "d"\nprotocol = "iec104"\nunit = "U"\npoints = "points.csv"\nhost = "127.0.0.1"\n'
        f"port = {free_ports(1)[0]}\ncommon_addresses = [1]\nw = 1\n",
        "utf-8",
    )
    config = load_agent(tmp_path / "agent.toml")
    device = config.settings.device[0]
    of_state = threading.local()  # gone with the state of its thread
    calls: list[int] = []  # of the present state, at each message

    def stamp() -> int:
        of_state.calls = getattr(of_state, "calls", 0) + 1
        calls.append(of_state.calls)
        return 0

    async def scenario() -> None:
        async with serve(config, now_utc_ms=lambda: time.time_ns() // 1_000_000) as devices, asyncio.timeout(HANG_S):
            link = Link(device, ("127.0.0.1", device.port or 0), stamp, lambda: None)
            link.start()
            try:
                while not devices.stations["d"].sessions or not link.is_muted:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(link.start_transfer)
                signal = devices.board.signal("U", "active_power_mw")
                while len(calls) < MESSAGES:
                    if all(each.started and each.settled for each in devices.stations["d"].sessions):
                        signal.set((signal.value or 0) % 300_000 + 1000, time.time_ns() // 1_000_000)
                    await asyncio.sleep(0)
            finally:
                await asyncio.to_thread(link.stop)

    asyncio.run(scenario())
    # Until then Python makes a state for each call; afterwards calls of one thread share theirs.
    assert set(calls[:KEEPS_AFTER]) == {1}
    assert calls[-1] > 100


def test_no_more_states_are_kept_than_allowed() -> None:
    states, kept = ThreadStates(most=1), list[int]()

    def keep() -> None:
        before = states._left
        states.keep()
        states.keep()
        kept.append(before - states._left)
        if kept[-1]:
            ctypes.pythonapi.PyGILState_Release(0)  # this thread is Python's own and must end as it began

    for _ in range(2):
        thread = threading.Thread(target=keep)
        thread.start()
        thread.join()
    assert kept == [1, 0]
