# SPDX-License-Identifier: GPL-3.0-or-later
"""All devices of an agent's configuration, on the very addresses given there, served from one process.

In a test: `async with serve(load_agent(path)) as devices: devices.board.show("U1", "active_power_mw", "380")`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from collector.config import AgentConfig, Device
from collector.points import Point
from simulators.audit import Audit
from simulators.faults import Fault, Faults
from simulators.iec104_station import Station, Timing
from simulators.modbus import Slave
from simulators.modbus_face import ModbusPort
from simulators.signals import Board


class Devices:
    """The faces of a simulation. `now_utc_ms` is what the stations' own clocks say."""

    def __init__(
        self, config: AgentConfig, *, now_utc_ms: Callable[[], int] = lambda: 0, board: Board | None = None,
        audit: Audit | None = None, faults: Faults | None = None,
    ) -> None:  # fmt: skip
        self.board = board or Board()
        self.audit = audit or Audit()
        self.faults = faults or Faults()
        self.faults.watch(self._switch)
        self.slaves: dict[str, Slave] = {}
        self.stations: dict[str, Station] = {}
        self.modbus_ports: dict[tuple[str, int], ModbusPort] = {}
        self._now_utc_ms = now_utc_ms
        for device in config.settings.device:
            if device.protocol == "iec104":
                self._add_station(device, config.points[device.id])
        self._add_modbus(config.settings.device, config.points)

    def _add_station(self, device: Device, points: tuple[Point, ...]) -> None:
        station = Station(
            device.id, points, device.common_addresses, self.audit, self.faults, now_utc_ms=self._now_utc_ms,
            utc_offset_min=device.utc_offset_min, timing=Timing(),
        )  # fmt: skip
        station.connect(points, self.board, device.unit)
        self.stations[device.id] = station

    def _add_modbus(self, devices: list[Device], points: Mapping[str, tuple[Point, ...]]) -> None:
        groups: dict[tuple[str, int], list[Device]] = {}
        for device in devices:
            if device.protocol in ("modbus_tcp", "modbus_rtu_over_tcp"):
                groups.setdefault((device.host, device.port or 0), []).append(device)
        for place, group in groups.items():
            slaves = []
            for device in group:
                slave = Slave(device.id, device.slave, points[device.id], strict_holes=device.max_gap == 0)
                slave.connect(points[device.id], self.board, device.unit)
                self.slaves[device.id] = slave
                slaves.append(slave)
            rtu = group[0].protocol == "modbus_rtu_over_tcp"
            name = group[0].id if len(group) == 1 else "+".join(device.id for device in group)
            self.modbus_ports[place] = ModbusPort(name, slaves, self.audit, self.faults, rtu=rtu)
        self._configured = {device.id: device for device in devices}

    async def open(self) -> None:
        """Listen on every address; a later failure closes what was opened."""
        try:
            for (host, port), face in self.modbus_ports.items():
                await face.listen(host, port)
            for device, station in self.stations.items():
                place = self._configured[device]
                await station.listen(place.host, place.port or 0)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End every face."""
        for face in self.modbus_ports.values():
            await face.close()
        for station in self.stations.values():
            await station.close()

    def requests(self) -> dict[str, int]:
        """Requests per device, as the devices counted them."""
        counts = {device: slave.requests for device, slave in self.slaves.items()}
        counts.update({device: station.requests for device, station in self.stations.items()})
        return {device: counts[device] for device in self._configured if device in counts}

    def darken(self, unit: str, *, dark: bool) -> None:
        """Switch every face that serves this unit's devices off or on: connections are reset and refused at once."""
        for device in self._configured.values():
            if device.unit == unit:
                face = self.port_of(device.id)
                (face.refuse if dark else face.accept)()

    def peers(self, device: str) -> list[str]:
        """Who is connected to a device, HOST:PORT."""
        return sorted(link.peer for link in self.port_of(device).links)

    def port_of(self, device: str) -> ModbusPort | Station:
        """The face a device sits behind."""
        if device in self.stations:
            return self.stations[device]
        place = self._configured[device]
        return self.modbus_ports[place.host, place.port or 0]

    def _switch(self, fault: Fault, on: bool) -> None:
        if fault.kind == "refuse":
            face = self.port_of(fault.device)
            (face.refuse if on else face.accept)()
        if fault.kind == "half_open" and not on:
            self.port_of(fault.device).drop_links()
        slave = self.slaves.get(fault.device)
        if slave is None:
            return
        if fault.kind == "register_shift":
            slave.address_shift = fault.value if on else 0
        elif fault.kind == "swap_words":
            slave.swap_words = on
        elif fault.kind == "frozen":
            slave.freeze(on)
        place = self._configured[fault.device]
        self.modbus_ports[place.host, place.port or 0].forget()


@asynccontextmanager
async def serve(
    config: AgentConfig, *, now_utc_ms: Callable[[], int] = lambda: 0, report_to: list[str] | None = None
) -> AsyncIterator[Devices]:
    """The devices of a configuration, listening for as long as the block runs.

    `report_to` takes forbidden requests in place of `audit.FORBIDDEN`: for tests that write on purpose.
    """
    devices = Devices(config, now_utc_ms=now_utc_ms, audit=Audit(report_to))
    await devices.open()
    try:
        yield devices
    finally:
        await devices.close()
