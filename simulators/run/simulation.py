# SPDX-License-Identifier: GPL-3.0-or-later
"""One simulator: plants or a recording, their devices, time and control sockets, opened and closed together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol, Self

from collector.base.errors import CollectorError, ConfigError, Problem
from collector.model.interval import Interval
from collector.model.quantity import BY_NAME, parse_scaled
from collector.points.agent_config import AgentConfig, load_agent
from simulators.faces.listener import ListenError
from simulators.faults.faults import Fault, Faults
from simulators.faults.file import FaultPlan, PlannedFault
from simulators.plant.plant import World
from simulators.plant.scenario import Scenario
from simulators.plant.signals import Board
from simulators.run.control import Control
from simulators.run.devices import Devices
from simulators.run.timekeeper import TimeKeeper


class Played(Protocol):
    """The source a simulation plays: the plants of a scenario, or a recording."""

    def advance(self, time_utc_ms: int) -> None:
        """Run everything up to and including an instant."""
        ...

    def book_lines(self) -> list[dict[str, str]]:
        """True quantities per unit and service; empty where there are no books."""
        ...

    def book_parts(self) -> dict[str, Any]:
        """The sums behind the lines."""
        ...


class Simulation:
    """Devices of an agent's configuration, moved by `Played`. Use `opened` to run it."""

    def __init__(self, config: AgentConfig, devices: Devices, played: Played, run: Interval, month: str) -> None:
        self.config = config
        self.devices = devices
        self.keeper = TimeKeeper(self, list(devices.stations.values()), run)
        self.month = month
        self.stopped = asyncio.Event()
        self._played = played
        self._cyclic = [station for station in devices.stations.values() if station.cyclic]
        self._fault_plan: FaultPlan | None = None
        self._control = Control(self)
        self.control_port = 0
        self.time_port = 0

    @classmethod
    def of_scenario(cls, scenario: Scenario) -> Self:
        """The plants of a scenario, shown by the devices of its agent configuration.

        Raises:
            ConfigError: the agent's configuration is invalid, or has a unit that is not in the scenario.
        """
        config = load_agent(scenario.agent_file)
        known = {unit.id for unit in scenario.settings.unit}
        stations = {device.id for device in config.settings.device if device.protocol == "iec104"}
        astray = [row.device for row in scenario.settings.redundant if row.device not in stations]
        if astray:
            file = str(scenario.agent_file)
            raise ConfigError([Problem(file, 0, "redundant", f"no IEC 104 device has id {name!r}") for name in astray])
        missing = [unit.id for unit in config.settings.unit if unit.id not in known]
        if missing:
            file = str(scenario.agent_file)
            raise ConfigError([Problem(file, 0, "unit", f"the scenario has no unit {unit!r}") for unit in missing])
        board = Board()
        world = World(scenario, board)
        devices = Devices(
            config, board=board, now_utc_ms=lambda: world.now_utc_ms, faults=Faults(scenario.settings.seed),
            redundant={row.device: (row.host, row.port) for row in scenario.settings.redundant},
        )  # fmt: skip
        return cls(config, devices, world, scenario.run, str(scenario.month))

    def plan_faults(self, planned: tuple[PlannedFault, ...]) -> None:
        """Plan faults that are switched by simulated time.

        Raises:
            CollectorError: a device does not exist, or its protocol does not support the fault.
        """
        for each in planned:
            self.devices.check(each.fault)
        self._fault_plan = FaultPlan(planned, self.devices.faults)
        self._fault_plan.advance(self.keeper.now_utc_ms)

    def advance(self, time_utc_ms: int) -> None:
        """Switch the faults that are due, then advance the source."""
        if self._fault_plan is not None:
            self._fault_plan.advance(time_utc_ms)
        self._played.advance(time_utc_ms)
        for station in self._cyclic:
            station.cycle(time_utc_ms)

    async def open(self, *, time_listen: str = "", control_listen: str = "") -> None:
        """Listen on all addresses. The time socket is at the agent's configured address, unless named here.

        Raises:
            ListenError: every address that can't be listened on.
        """
        taken: list[tuple[str, OSError]] = []
        try:
            await self.devices.open()
        except ListenError as error:
            taken += error.found
        time_listen = time_listen or self.config.settings.gateway.time_server
        if time_listen:
            try:
                self.time_port = await self.keeper.listen(*split_address(time_listen))
            except OSError as error:
                taken.append(("simulated time (gateway.time_server)", error))
        if control_listen:
            try:
                self.control_port = await self._control.listen(*split_address(control_listen))
            except OSError as error:
                taken.append(("--control", error))
        if taken:
            raise ListenError(taken)

    async def close(self) -> None:
        """Close everything."""
        self.keeper.close()
        await self._control.close()
        await self.devices.close()

    def status(self) -> dict[str, Any]:
        """The status that the control socket gives."""
        return {
            "now_utc_ms": self.keeper.now_utc_ms, "start_utc_ms": self.keeper.run.start_ms,
            "end_utc_ms": self.keeper.run.end_ms, "requests": self.devices.requests(), "clients": self.keeper.clients,
            "holding": self.keeper.holding, "violations": self.devices.audit.violations,
            "faults": [f"{fault.device} {fault.kind} {fault.value}" for fault in self.devices.faults.active()],
        }  # fmt: skip

    def hold(self, at_utc_ms: int) -> int:
        """Hold time at this instant; returns the instant at which it will be held, UTC ms."""
        self.keeper.hold(at_utc_ms)
        return self.keeper.hold_at_ms or at_utc_ms

    def release(self) -> None:
        """Let time go on."""
        self.keeper.release()

    def books(self) -> dict[str, Any]:
        """The books: true quantities so far."""
        return {"month": self.month, "lines": self._played.book_lines(), "parts": self._played.book_parts()}

    def fault_on(self, fault: Fault) -> None:
        """Switch a fault on."""
        self.devices.check(fault)
        self.devices.faults.switch_on(fault)

    def fault_off(self, device: str, kind: str) -> None:
        """Switch a fault off."""
        self.devices.faults.switch_off(device, kind)

    def set_value(self, unit: str, quantity: str, value: str) -> None:
        """Let the devices show a value instead of the plant's own, in the unit of the quantity's name; empty: no value.

        Raises:
            CollectorError: there is no such signal, or the text is no number.
        """
        signal = self.devices.board.find(unit, quantity)
        try:
            stored = parse_scaled(value, BY_NAME[quantity].scale) if value else None
        except ValueError as error:
            raise CollectorError(str(error), subject=f"{unit} {quantity}") from error
        signal.pin(stored, self.keeper.now_utc_ms)

    def unset_value(self, unit: str, quantity: str) -> None:
        """Let the devices show the plant's own value again.

        Raises:
            CollectorError: there is no such signal.
        """
        self.devices.board.find(unit, quantity).let_go(self.keeper.now_utc_ms)

    def stop(self) -> None:
        """End the process."""
        self.stopped.set()


@asynccontextmanager
async def opened(
    simulation: Simulation, *, time_listen: str = "", control_listen: str = ""
) -> AsyncIterator[Simulation]:
    """Run a simulation, listening while the block runs."""
    try:
        await simulation.open(time_listen=time_listen, control_listen=control_listen)
        yield simulation
    finally:
        await simulation.close()


def split_address(text: str) -> tuple[str, int]:
    """Split HOST:PORT into host and port.

    Raises:
        CollectorError: the text is no such address.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise CollectorError(f"an address is HOST:PORT, got {text!r}")
    return host, int(port)
