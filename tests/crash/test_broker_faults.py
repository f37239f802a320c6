# SPDX-License-Identifier: GPL-3.0-or-later
"""A broker and a network that fail in every way, between an agent and a center that are real processes.

Simulated time is held after each fault, so what happened during it is the same on any machine; the agent never dies
here, so at the end every record of the truth is at the center exactly once, and no gap excuses any.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.crash.arrivals import compare
from tests.crash.chain import MOSQUITTO, Chain, running_chain
from tests.crash.plant_truth import truth
from tests.crash.tcp_proxy import DOWN, UP, Proxy, proxy_to

STEP_MS = 90_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Chain, Proxy, Proxy]]:
    """A running chain whose agent and center each reach the broker through a proxy of their own."""
    with ExitStack() as stack:
        proxies: list[Proxy] = []

        def between(chain: Chain) -> None:
            proxies.extend(stack.enter_context(proxy_to(chain.broker.port, seed=seed)) for seed in (1, 2))
            chain.agent_port, chain.center_port = proxies[0].port, proxies[1].port

        chain = stack.enter_context(running_chain(tmp_path, seconds=900, seed=11, ports=between))
        chain.start_agent()
        yield chain, proxies[0], proxies[1]


def check(chain: Chain) -> None:
    """The whole truth is at the center, each record exactly once, and nothing lies in a gap."""
    chain.run_to(chain.now_ms + 5000)
    end_ms = chain.last_tick_ms()
    chain.drain()
    verdict = compare(chain.journal(), truth(chain.scenario_file, end_ms))
    assert verdict.in_gaps == 0
    assert verdict.recorded > 2 * STEP_MS / 1000


def during(chain: Chain, begin: Callable[[], None], end: Callable[[], None], found_out: Callable[[], bool]) -> None:
    """A fault from before some time passes until that is recorded and the fault found out; then all arrives."""
    chain.run_to(chain.now_ms + STEP_MS // 3)
    begin()
    try:
        chain.run_to(chain.now_ms + STEP_MS)
        chain.until(found_out, "the fault is found out")
    finally:
        end()
    chain.settle()


def cut_off(chain: Chain) -> bool:
    """Whether the agent knows that it has no broker."""
    return chain.status().get("uplink", {}).get("connected") is False


@pytest.mark.crash
def test_a_broker_killed_or_paused_or_with_a_queue_of_one_loses_and_doubles_nothing(
    world: tuple[Chain, Proxy, Proxy],
) -> None:
    chain, _, _ = world
    broker = chain.broker
    during(chain, broker.kill, broker.start, lambda: cut_off(chain))
    during(chain, lambda: broker.signal(signal.SIGSTOP), lambda: broker.signal(signal.SIGCONT), lambda: cut_off(chain))
    if MOSQUITTO is not None:  # what the embedded one holds for a client cannot be limited
        chain.broker.kill()
        chain.broker.settings = "max_inflight_messages 1\nmax_queued_messages 1\n"
        chain.broker.start()
        chain.run_to(chain.now_ms + STEP_MS)
        chain.settle()
    check(chain)


@pytest.mark.crash
def test_bytes_swallowed_either_way_on_either_side_of_the_broker_lose_and_double_nothing(
    world: tuple[Chain, Proxy, Proxy],
) -> None:
    chain, agent_side, center_side = world
    # The center's lost acknowledgements are the agent's, seen from the other side; waiting for them takes long.
    both = (UP, DOWN)
    lost_acks = ((center_side, (UP,)), (center_side, (DOWN,))) if os.environ.get("SOAK") else ()
    for proxy, directions in (
        (agent_side, both), (agent_side, (UP,)), (agent_side, (DOWN,)), (center_side, both),
        *lost_acks,
    ):  # fmt: skip
        before, connections = proxy.swallowed_bytes, proxy.connections
        while proxy.swallowed_bytes == before:  # a slow machine may drop a connection by itself, before any byte
            chain.until(lambda p=proxy: p.standing > 0, "a connection stands")  # type: ignore[misc]
            during(chain, lambda p=proxy, d=directions: p.swallow(*d), proxy.heal, lambda p=proxy: p.standing == 0)  # type: ignore[misc]
        assert proxy.connections > connections
    check(chain)


@pytest.mark.crash
def test_connections_held_up_and_torn_at_random_lose_and_double_nothing(world: tuple[Chain, Proxy, Proxy]) -> None:
    chain, agent_side, center_side = world
    dice = random.Random(5)
    for proxy in (agent_side, center_side):
        proxy.delay(0.05)
    for _ in range(8):
        chain.run_to(chain.now_ms + dice.randrange(5000, 25_000))
        time.sleep(dice.uniform(0, 0.3))
        dice.choice((agent_side, center_side)).tear()
    chain.settle()
    assert agent_side.connections + center_side.connections > 2  # some were torn and came back
    check(chain)
