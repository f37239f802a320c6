# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault kind of the simulators on one device of ten, by host time: the nine others keep their period.

Five agents at once, each with another kind of victim, so that all kinds pass in the time of the longest row. The
moments of the others' requests are taken where they arrive, in the simulators.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from chain import Children, ask_agent

from collector.points.agent_config import load_agent
from simulators.audit import Audit
from simulators.devices import Devices
from simulators.faults import KINDS, Fault, kinds_of
from simulators.pytest_plugin import Background
from simulators.scenario import free_ports

PERIOD_S = 1.0
FAULT_S = 1.1  # at least one request meets each kind
OTHERS = ("modbus_tcp",) * 7 + ("modbus_rtu_over_tcp", "dlt645_over_tcp")
VALUES = {
    "delay": 250, "jitter": 600, "exception": 2, "register_shift": 1, "test_often": 100, "restart": 200, "roll_over": 1,
    "garbage": 12,
}  # fmt: skip
ANSWER_KINDS = frozenset(
    {"silence", "delay", "jitter", "garbage", "checksum", "truncate", "glue", "reset", "half_open"}
)
TABLES = {
    "modbus": "name,quantity,area,type,address,raw_unit\nP,active_power_mw,holding,int32,0,kW\n",
    "dlt645": "name,quantity,address,raw_unit\nP,active_power_mw,02030000,kW\n",
    "iec104": "name,quantity,area,type,address,raw_unit\nP,active_power_mw,36,float32,1,MW\nB,on_grid,30,bit,2,\n",
}


class Stamped(deque[tuple[str, bytes]]):
    """What arrived at the faces, with the moment of each piece instead of its bytes."""

    def __init__(self) -> None:
        super().__init__(maxlen=1)
        self.moments: dict[str, list[float]] = {}

    def append(self, item: tuple[str, bytes], /) -> None:
        """Keep when, not what."""
        self.moments.setdefault(item[0], []).append(time.monotonic())


@dataclass
class Gateway:
    """One agent's ten devices; the first is the victim, of a protocol, which gets these faults."""

    name: str
    protocol: str
    kinds: tuple[str, ...]
    devices: Devices
    stamped: Stamped
    config: Path

    def status(self) -> dict[str, object]:
        """Of the victim, as the agent says."""
        found = ask_agent(self.config.parent / "state" / "g.sock", "/status").get("devices", [])
        return next((d for d in found if d["device"] == "d0"), {})


def rows() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Victims: name, protocol, kinds; every kind of every protocol is there."""
    yield "tcp", "modbus_tcp", kinds_of("modbus_tcp")
    yield "rtu", "modbus_rtu_over_tcp", ("checksum", "truncate", "garbage", "glue", "silence", "half_open")
    yield "meter", "dlt645_over_tcp", kinds_of("dlt645_over_tcp")
    telecontrol = kinds_of("iec104")
    yield "station", "iec104", telecontrol[::2]
    yield "station2", "iec104", telecontrol[1::2]


def write_config(folder: Path, victim: str) -> Path:
    """agent.toml with the victim d0 and nine others; nobody is the broker."""
    folder.mkdir()
    protocols = (victim, *OTHERS)
    nobody, *ports = free_ports(1 + len(protocols))
    text = 'schema = 1\n[gateway]\nid = "g"\nstate_dir = "state"\nreorder_ms = 200\n'
    text += f'[mqtt]\nport = {nobody}\n[[plant]]\nid = "P"\n'
    for number, (protocol, port) in enumerate(zip(protocols, ports, strict=True)):
        family = protocol.partition("_")[0]
        (folder / f"{family}.csv").write_text(TABLES[family], "utf-8")
        own = {"iec104": "common_addresses = [1]\nt1_s = 1\nt0_s = 1\n", "dlt645": 'address = "000000000001"\n'}
        text += (
            f'[[unit]]\nid = "U{number}"\nplant = "P"\n[[device]]\nid = "d{number}"\nprotocol = "{protocol}"\n'
            f'unit = "U{number}"\nhost = "127.0.0.1"\nport = {port}\npoints = "{family}.csv"\ntimeout_s = 0.4\n'
            f"backoff_max_s = 0.0\n{own.get(family, '')}"
        )
    path = folder / "agent.toml"
    path.write_text(text, "utf-8")
    return path


@contextmanager
def gateways(folder: Path, background: Background) -> Iterator[list[Gateway]]:
    """Devices served, agents running, all reading."""
    with ExitStack() as stack:
        processes = stack.enter_context(Children(folder / "logs"))
        found = []
        for name, protocol, kinds in rows():
            config = write_config(folder / name, protocol)
            stamped, audit = Stamped(), Audit()
            audit.chunks = stamped
            devices = Devices(load_agent(config), now_utc_ms=lambda: int(time.time() * 1000), audit=audit)
            for number in range(1 + len(OTHERS)):
                devices.board.show(f"U{number}", "active_power_mw", 99)
            background.run(devices.open())
            stack.callback(lambda each=devices: background.run(each.close()))  # type: ignore[misc]
            processes.start(name, "collector.cli.main", "agent", "run", str(config))
            found.append(Gateway(name, protocol, kinds, devices, stamped, config))
        for gateway in found:
            wait_for_answers(gateway)
        yield found
        processes.check()


def wait_for_answers(gateway: Gateway) -> None:
    """Until the agent has something of its victim."""
    for _ in range(300):
        if gateway.status().get("answers"):
            return
        time.sleep(0.1)
    raise TimeoutError(f"{gateway.name}: the victim does not answer: {gateway.status()}")


def test_every_kind_of_every_protocol_is_tried() -> None:
    tried = {kind for _, _, kinds in rows() for kind in kinds}
    assert tried == set(KINDS)


@pytest.mark.crash
def test_whatever_one_device_does_the_nine_others_keep_their_period_within_a_tenth(
    tmp_path: Path, simulators_background: Background
) -> None:
    background = simulators_background
    with gateways(tmp_path, background) as served:
        begun_s = time.monotonic()
        for step in range(max(len(gateway.kinds) for gateway in served)):
            for gateway in served:
                background.call(lambda g=gateway, n=step: switch(g, n))  # type: ignore[misc]
            time.sleep(FAULT_S)
        ended_s = time.monotonic()
        for gateway in served:
            background.call(lambda g=gateway: [g.devices.faults.switch_off("d0", k) for k in g.kinds])  # type: ignore[misc]
            wait_for_answers(gateway)  # and it comes back by itself
        time.sleep(PERIOD_S)
    for gateway in served:
        met = {kind for (_, kind), hits in gateway.devices.faults.hits.items() if hits}
        assert met >= ANSWER_KINDS & set(gateway.kinds), f"{gateway.name}: {ANSWER_KINDS & set(gateway.kinds) - met}"
        check_periods(gateway, begun_s, ended_s)


def switch(gateway: Gateway, step: int) -> None:
    """End the victim's last fault and begin its next; let it have something to report."""
    faults = gateway.devices.faults
    if 0 < step <= len(gateway.kinds):
        faults.switch_off("d0", gateway.kinds[step - 1])
    if step < len(gateway.kinds):
        fault = Fault("d0", gateway.kinds[step], VALUES.get(gateway.kinds[step], 0))
        gateway.devices.check(fault)
        faults.switch_on(fault)
    for number in range(1 + len(OTHERS)):
        gateway.devices.board.show(f"U{number}", "active_power_mw", 100 + step)
    gateway.devices.board.show("U0", "on_grid", step % 2, time_utc_ms=int(time.time() * 1000))


def check_periods(gateway: Gateway, begun_s: float, ended_s: float) -> None:
    """Of each of the nine the median distance of requests, of all nine the mean: a stutter hits all alike."""
    means = []
    for number in range(1, 1 + len(OTHERS)):
        name = f"d{number}"
        moments = [m for m in gateway.stamped.moments[name] if begun_s <= m <= ended_s]
        distances = [b - a for a, b in pairwise(moments)]
        assert statistics.median(distances) == pytest.approx(PERIOD_S, rel=0.1), f"{gateway.name} {name}"
        means.append((moments[-1] - moments[0]) / len(distances))
    assert statistics.median(means) == pytest.approx(PERIOD_S, rel=0.1), f"{gateway.name}: {means}"
