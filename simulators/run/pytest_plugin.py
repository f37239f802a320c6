# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated plants and devices as pytest fixtures, and the check that only reading requests were sent.

Enable it with `pytest_plugins = ["simulators.run.pytest_plugin"]` in the top-level conftest.py.

- `modbus_device(table, protocol=…, slave=…)`, `iec104_station(table, common_addresses=…)`, `iec101_line(table,
  addresses=…, balanced=…)`, `dlt645_line(table, addresses=…)` serve devices from the text of a point table on free
  loopback ports and return a `ServedDevices`: `.host`, `.port`, `.config`, `.show("active_power_mw", "380")`,
  `.fault("silence")`, `.clear("silence")`, `.requests()`, `.received()`; `.now_utc_ms` is the time of a station's
  clock.
- `simulated_plant(scenario=…)` runs a whole PLANT.toml (the demo's by default) with its time server and control
  socket; returns a `ServedPlant`.
- `broker` is the HOST:PORT of an embedded MQTT broker in a process of its own.

Everything runs in one background thread, so that tests may block, use threads, or have an event loop of their own.
Every test run ends with an error if any face received a request that does not only read (simulators/faces/audit.py).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from collector.points.agent_config import AgentConfig, load_agent
from simulators.faces.audit import FORBIDDEN, Audit
from simulators.faults.faults import Fault
from simulators.plant.scenario import Instance, demo_scenario, free_ports, instantiate, load_scenario
from simulators.run.devices import Devices
from simulators.run.simulation import Simulation

_UNIT: Final = "U1"
_HANG_S: Final = 300.0  # a guard against a hang; nothing is expected to take less
T = TypeVar("T")


class Background:
    """An event loop in a background thread, for the duration of a test."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulators", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the thread and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_HANG_S)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the thread and return its result: simulator state is used only there."""

        async def run() -> T:
            return function()

        return self.run(run())

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class ServedDevices:
    """Devices of one small configuration, served in the background. `first`: the device meant where none is named."""

    def __init__(
        self, background: Background, config: AgentConfig, report_to: list[str] | None, second_port: int = 0
    ) -> None:
        self.config = config
        self.first = config.settings.device[0].id
        redundant = {self.first: (config.settings.device[0].host, second_port)} if second_port else {}
        self.now_utc_ms = 0
        audit = Audit(report_to)
        self.devices = Devices(config, now_utc_ms=lambda: self.now_utc_ms, audit=audit, redundant=redundant)
        self.second_port = second_port
        self.host = config.settings.device[0].host
        self.port = config.settings.device[0].port or 0
        self._background = background
        background.run(self.devices.open())

    def show(
        self, quantity: str, value: Decimal | str | int | None, *, unit: str = _UNIT, time_utc_ms: int = 0
    ) -> None:
        """Let the devices show a value, in the unit of the quantity's name."""
        self._background.call(lambda: self.devices.board.show(unit, quantity, value, time_utc_ms=time_utc_ms))

    def fault(self, kind: str, value: int = 0, *, device: str = "", probability: float = 1.0) -> None:
        """Switch a fault on (kinds: simulators/faults/faults.py)."""
        fault = Fault(device or self.first, kind, value, probability)
        self.devices.check(fault)
        self._background.call(lambda: self.devices.faults.switch_on(fault))

    def clear(self, kind: str, *, device: str = "") -> None:
        """Switch a fault off."""
        self._background.call(lambda: self.devices.faults.switch_off(device or self.first, kind))

    def requests(self, device: str = "") -> int:
        """The number of requests to a device."""
        return self._background.call(lambda: self.devices.requests()[device or self.first])

    def received(self) -> bytes:
        """All bytes received, in order."""
        return self._background.call(lambda: b"".join(data for _, data in self.devices.audit.chunks))

    def close(self) -> None:
        """Stop serving."""
        self._background.run(self.devices.close())


class ServedPlant:
    """A scenario running in the background; clients of `time_server` drive its time."""

    def __init__(self, background: Background, instance: Instance) -> None:
        self.instance = instance
        self.agent_file = instance.agent_file
        self.time_server = instance.time_server
        self.control = instance.control
        self.simulation = Simulation.of_scenario(load_scenario(instance.scenario_file))
        self._background = background
        background.run(self.simulation.open(control_listen=instance.control))

    def status(self) -> dict[str, Any]:
        """The status, as the control socket gives it."""
        return self._background.call(self.simulation.status)

    def books(self) -> dict[str, Any]:
        """The books: true quantities so far."""
        return self._background.call(self.simulation.books)

    def fault(self, device: str, kind: str, value: int = 0, *, probability: float = 1.0) -> None:
        """Switch a fault on."""
        self._background.call(lambda: self.simulation.fault_on(Fault(device, kind, value, probability)))

    def clear(self, device: str, kind: str) -> None:
        """Switch a fault off."""
        self._background.call(lambda: self.simulation.fault_off(device, kind))

    def close(self) -> None:
        """Stop the scenario."""
        self._background.run(self.simulation.close())


@pytest.fixture(scope="session", autouse=True)
def only_reading_requests() -> Iterator[None]:
    """Fail the test run if a simulated device received a request that does not only read."""
    yield
    assert not FORBIDDEN, "requests that do not only read:\n" + "\n".join(FORBIDDEN)


@pytest.fixture
def simulators_background() -> Iterator[Background]:
    """The background thread of a test's simulators."""
    background = Background()
    yield background
    background.close()


class _Bench:
    """Makes configurations in numbered folders, serves them, and closes them at the end."""

    def __init__(self, background: Background, directory: Path) -> None:
        self._background = background
        self._directory = directory
        self.served: list[ServedDevices | ServedPlant] = []

    def serve(
        self, table: str, devices: Sequence[str], report_to: list[str] | None, *, second_port: int = 0
    ) -> ServedDevices:
        """Serve devices of one table; each item of `devices` holds further lines of its `[[device]]`."""
        folder = self._directory / f"devices-{len(self.served)}"
        folder.mkdir()
        (folder / "points.csv").write_text(table, "utf-8")
        units = "".join(f'[[unit]]\nid = "U{number}"\nplant = "P"\n' for number in range(1, len(devices) + 1))
        place = f'points = "points.csv"\nhost = "127.0.0.1"\nport = {free_ports(1)[0]}\n'
        (folder / "agent.toml").write_text(
            f'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n{units}'
            + "".join(
                f'[[device]]\nid = "d{number}"\nunit = "U{number}"\n{lines}\n{place}'
                for number, lines in enumerate(devices, 1)
            ),
            "utf-8",
        )
        served = ServedDevices(self._background, load_agent(folder / "agent.toml"), report_to, second_port)
        self.served.append(served)
        return served

    def run(self, scenario: Path) -> ServedPlant:
        """Run a scenario in a folder of its own."""
        plant = ServedPlant(self._background, instantiate(scenario, self._directory / f"plant-{len(self.served)}"))
        self.served.append(plant)
        return plant


@pytest.fixture
def simulators_bench(simulators_background: Background, tmp_path: Path) -> Iterator[_Bench]:
    """The bench shared by the fixtures below."""
    bench = _Bench(simulators_background, tmp_path)
    yield bench
    for served in bench.served:
        served.close()


@pytest.fixture
def modbus_device(simulators_bench: _Bench) -> Callable[..., ServedDevices]:
    """`modbus_device(table, protocol="modbus_tcp", slave=1, report_to=None)`: one slave, unit U1."""

    def start(
        table: str, *, protocol: str = "modbus_tcp", slave: int = 1, report_to: list[str] | None = None
    ) -> ServedDevices:
        return simulators_bench.serve(table, [f'protocol = "{protocol}"\nslave = {slave}'], report_to)

    return start


@pytest.fixture
def iec104_station(simulators_bench: _Bench) -> Callable[..., ServedDevices]:
    """`iec104_station(table, common_addresses=(1,), redundant=False, report_to=None)`: one station, unit U1.

    `redundant`: the station also listens at `.second_port`; only one of all connections carries data.
    """

    def start(
        table: str, *, common_addresses: Sequence[int] = (1,), redundant: bool = False,
        report_to: list[str] | None = None,
    ) -> ServedDevices:  # fmt: skip
        lines = f'protocol = "iec104"\ncommon_addresses = {list(common_addresses)}'
        second_port = free_ports(1)[0] if redundant else 0
        return simulators_bench.serve(table, [lines], report_to, second_port=second_port)

    return start


@pytest.fixture
def iec101_line(simulators_bench: _Bench) -> Callable[..., ServedDevices]:
    """`iec101_line(table, addresses=(1,), balanced=False, report_to=None)`: stations d1, d2… of units U1, U2… behind
    one serial server, link and common addresses alike."""

    def start(
        table: str, *, addresses: Sequence[int] = (1,), balanced: bool = False, report_to: list[str] | None = None
    ) -> ServedDevices:
        mode = "balanced" if balanced else "unbalanced"
        lines = [
            f'protocol = "iec101_over_tcp"\nlink_mode = "{mode}"\nlink_address = {address}\n'
            f"common_addresses = [{address}]"
            for address in addresses
        ]
        return simulators_bench.serve(table, lines, report_to)

    return start


@pytest.fixture
def dlt645_line(simulators_bench: _Bench) -> Callable[..., ServedDevices]:
    """`dlt645_line(table, addresses=("1",), report_to=None)`: meters d1, d2… of units U1, U2… behind one server."""

    def start(table: str, *, addresses: Sequence[str] = ("1",), report_to: list[str] | None = None) -> ServedDevices:
        lines = [f'protocol = "dlt645_over_tcp"\naddress = "{address.zfill(12)}"' for address in addresses]
        return simulators_bench.serve(table, lines, report_to)

    return start


@pytest.fixture
def simulated_plant(simulators_bench: _Bench) -> Callable[..., ServedPlant]:
    """`simulated_plant(scenario=None)`: a PLANT.toml, the demo's by default."""

    def start(scenario: Path | None = None) -> ServedPlant:
        return simulators_bench.run(scenario or demo_scenario())

    return start


@pytest.fixture
def broker() -> Iterator[str]:
    """HOST:PORT of an embedded broker (amqtt) in a process of its own."""
    place = f"127.0.0.1:{free_ports(1)[0]}"
    command = [sys.executable, "-m", "collector.trial.broker", "--listen", place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("listening"), "the embedded broker did not start"
            yield place
        finally:
            process.terminate()
            process.wait(_HANG_S)
