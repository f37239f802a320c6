# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault kind of the simulators on one device of ten, by host time: the nine others are read at every tick.

Six agents at once, each with another kind of victim, so that all kinds pass in the time of the longest row, and a
seventh without any fault: what the machine itself can't keep up with, it can't either. Requests are counted where they
arrive, in the simulators.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from collector.points.agent_config import load_agent
from simulators.faces.audit import Audit
from simulators.faults.faults import KINDS, Fault, kinds_of
from simulators.plant.scenario import free_ports
from simulators.run.devices import Devices
from simulators.run.pytest_plugin import Background
from tests.crash.chain import Children, ask_agent
from tests.patience import wait_until

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
    "dlt698": "name,quantity,address,scale,raw_unit\nP,active_power_mw,20040201,1000,W\n",
    "iec104": "name,quantity,area,type,address,raw_unit\nP,active_power_mw,36,float32,1,MW\nB,on_grid,30,bit,2,\n",
}
TABLES["iec101"] = TABLES["iec104"]


@dataclass
class Gateway:
    """One agent's ten devices; the first is the victim, of a protocol, which gets these faults."""

    name: str
    protocol: str
    kinds: tuple[str, ...]
    devices: Devices
    config: Path

    def status(self) -> dict[str, object]:
        """Of the victim, as the agent says."""
        return next((d for d in self._page().get("devices", []) if d["device"] == "d0"), {})

    def ticks(self) -> int:
        """How many the agent has made."""
        return int(self._page().get("ticks", {}).get("written", 0))

    def has_met(self, step: int) -> bool:
        """Whether a request has met the fault of a step, of those that change answers."""
        kind = self.kinds[step] if step < len(self.kinds) else ""
        return kind not in ANSWER_KINDS or self.devices.faults.hits.get(("d0", kind), 0) > 0

    def _page(self) -> dict[str, Any]:
        return ask_agent(self.config.parent / "state" / "g.sock", "/status")


def rows() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Victims: name, protocol, kinds; every kind of every protocol is there."""
    yield "tcp", "modbus_tcp", kinds_of("modbus_tcp")
    yield "rtu", "modbus_rtu_over_tcp", ("checksum", "truncate", "garbage", "glue", "silence", "half_open")
    yield "meter", "dlt645_over_tcp", kinds_of("dlt645_over_tcp")
    yield "object", "dlt698_over_tcp", kinds_of("dlt698_over_tcp")
    telecontrol = kinds_of("iec104")
    yield "station", "iec104", telecontrol[::2]
    yield "station2", "iec104", telecontrol[1::2]
    yield "line", "iec101_over_tcp", kinds_of("iec101_over_tcp")
    yield "calm", "modbus_tcp", ()


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
        own = {"iec104": "common_addresses = [1]\nt1_s = 1\nt0_s = 1\n", "iec101": "common_addresses = [1]\nt1_s = 1\n"}
        own |= dict.fromkeys(("dlt645", "dlt698"), 'address = "000000000001"\n')
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
            devices = Devices(load_agent(config), now_utc_ms=lambda: int(time.time() * 1000), audit=Audit())
            for number in range(1 + len(OTHERS)):
                devices.board.show(f"U{number}", "active_power_mw", 99)
            background.run(devices.open())
            stack.callback(lambda each=devices: background.run(each.close()))  # type: ignore[misc]
            processes.start(name, "collector.cli.main", "agent", "run", str(config))
            found.append(Gateway(name, protocol, kinds, devices, config))
        for gateway in found:
            wait_for_answers(gateway)
        yield found
        processes.check()


def wait_for_answers(gateway: Gateway) -> None:
    """Until the agent has something of its victim."""
    wait_until(lambda: bool(gateway.status().get("answers")), f"{gateway.name}: an answer of the victim")


def test_every_kind_of_every_protocol_is_tried() -> None:
    tried = {kind for _, _, kinds in rows() for kind in kinds}
    assert tried == set(KINDS)


@pytest.mark.crash
def test_whatever_one_device_does_the_nine_others_are_read_at_every_tick(
    tmp_path: Path, simulators_background: Background
) -> None:
    background = simulators_background
    with gateways(tmp_path, background) as served:
        begun = [count(gateway, background) for gateway in served]
        for step in range(max(len(gateway.kinds) for gateway in served)):
            for gateway in served:
                background.call(lambda g=gateway, n=step: switch(g, n))  # type: ignore[misc]
            pass_a_tick(served, step)
        ended = [count(gateway, background) for gateway in served]
        for gateway in served:
            background.call(lambda g=gateway: [g.devices.faults.switch_off("d0", k) for k in g.kinds])  # type: ignore[misc]
            wait_for_answers(gateway)  # and it comes back by itself
    calm = ended[-1].ticks - begun[-1].ticks
    for gateway, before, after in zip(served, begun, ended, strict=True):
        met = {kind for (_, kind), hits in gateway.devices.faults.hits.items() if hits}
        assert met >= ANSWER_KINDS & set(gateway.kinds), f"{gateway.name}: {ANSWER_KINDS & set(gateway.kinds) - met}"
        ticks = after.ticks - before.ticks
        assert ticks > calm / 2, f"{gateway.name}: {ticks} ticks, and {calm} where nothing is wrong"
        for name in (f"d{number}" for number in range(1, 1 + len(OTHERS))):
            # The two counts of a moment are not taken at one instant.
            requests = after.requests[name] - before.requests[name]
            assert requests == pytest.approx(ticks, abs=3, rel=0.1), f"{gateway.name} {name}"


@dataclass
class Count:
    """How far a gateway was at a moment."""

    ticks: int
    requests: dict[str, int]


def count(gateway: Gateway, background: Background) -> Count:
    """As the agent says, and as its devices do."""
    return Count(gateway.ticks(), background.call(lambda: dict(gateway.devices.requests())))


def pass_a_tick(served: list[Gateway], step: int) -> None:
    """Until every agent has been at its devices under the faults of a step."""
    for gateway, before in [(gateway, gateway.ticks()) for gateway in served]:
        wait_until(
            lambda g=gateway, n=before: g.ticks() > n + 1 and g.has_met(step),  # type: ignore[misc]
            f"{gateway.name}: a request under {gateway.kinds[step : step + 1]}",
        )  # fmt: skip


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
