# SPDX-License-Identifier: GPL-3.0-or-later
"""All devices of an agent's configuration, served from one process on the addresses given there.

In a test: `async with serve(load_agent(path)) as devices: devices.board.show("U1", "active_power_mw", "380")`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from collector.base.errors import CollectorError
from collector.points.agent_config import AgentConfig, DeviceConfig
from simulators.faces.audit import Audit
from simulators.faces.dlt645_line import Meter, MeterBus
from simulators.faces.dlt698_line import ObjectMeter, ObjectMeterBus
from simulators.faces.iec101.codec import Widths
from simulators.faces.iec101.line import LineStation, StationBus
from simulators.faces.iec104_station import Station
from simulators.faces.listener import Face, ListenError
from simulators.faces.modbus import Slave
from simulators.faces.modbus_face import Framing, ModbusPort
from simulators.faces.serial_line import PseudoTerminal
from simulators.faults.faults import Fault, Faults, kinds_of
from simulators.plant.signals import Board

_FRAMINGS: Final[dict[str, Framing]] = {
    "modbus_tcp": "tcp", "modbus_udp": "udp", "modbus_rtu": "rtu", "modbus_ascii": "ascii",
}  # fmt: skip


class Devices:
    """The faces of a simulation.

    `now_utc_ms`: the time of the stations' own clocks; `redundant`: the second address of an IEC 104 station.
    """

    def __init__(
        self, config: AgentConfig, *, now_utc_ms: Callable[[], int] = lambda: 0, board: Board | None = None,
        audit: Audit | None = None, faults: Faults | None = None,
        redundant: Mapping[str, tuple[str, int]] | None = None,
    ) -> None:  # fmt: skip
        self.board = board or Board()
        self.audit = audit or Audit()
        self.faults = faults or Faults()
        self.faults.watch(self._switch)
        self.members: dict[str, Slave | Station | Meter | ObjectMeter] = {}
        self._config = config
        self._redundant = dict(redundant or {})
        self._returning: dict[str, asyncio.TimerHandle] = {}
        self._now_utc_ms = now_utc_ms
        self._configured = {device.id: device for device in config.settings.device}
        self._faces: dict[str, Face] = {}
        self._serial_lines: list[PseudoTerminal] = []
        groups: dict[str, list[DeviceConfig]] = {}
        for device in config.settings.device:
            groups.setdefault(_place(device), []).append(device)
        for place, group in groups.items():
            self._faces[place] = self._face(group)

    def _face(self, group: Sequence[DeviceConfig]) -> Face:
        """The face of the devices at one address."""
        first, name = group[0], "+".join(device.id for device in group)
        if first.protocol == "iec104":
            return self._station(first)
        if first.is_iec101:
            stations = [self._line_station(device) for device in group]
            return StationBus(name, stations, self.audit, self.faults, balanced=first.link_mode == "balanced")
        if first.protocol.startswith("dlt698"):
            return ObjectMeterBus(name, [self._object_meter(device) for device in group], self.audit, self.faults)
        if first.protocol.startswith("dlt645"):
            return MeterBus(name, [self._meter(device) for device in group], self.audit, self.faults)
        slaves = [self._slave(device) for device in group]
        framing = _FRAMINGS[first.protocol.removesuffix("_over_tcp")]
        return ModbusPort(name, slaves, self.audit, self.faults, framing=framing)

    def _station(self, device: DeviceConfig) -> Station:
        points = self._config.points[device.id]
        station = Station(
            device.id, points, device.common_addresses, self.audit, self.faults, now_utc_ms=self._now_utc_ms,
            utc_offset_min=device.utc_offset_min,
        )  # fmt: skip
        station.connect(points, self.board, device.unit)
        self.members[device.id] = station
        return station

    def _line_station(self, device: DeviceConfig) -> LineStation:
        points = self._config.points[device.id]
        widths = Widths(
            device.link_address_octets, device.cause_octets, device.common_address_octets, device.object_address_octets
        )
        station = LineStation(
            device.id, points, device.common_addresses, self.audit, self.faults, address=device.link_address,
            widths=widths, now_utc_ms=self._now_utc_ms, utc_offset_min=device.utc_offset_min,
        )  # fmt: skip
        station.connect(points, self.board, device.unit)
        self.members[device.id] = station
        return station

    def _meter(self, device: DeviceConfig) -> Meter:
        meter = Meter(device.id, device.address)
        meter.connect(self._config.points[device.id], self.board, device.unit)
        self.members[device.id] = meter
        return meter

    def _object_meter(self, device: DeviceConfig) -> ObjectMeter:
        meter = ObjectMeter(device.id, device.address, device.logical_address, self._now_utc_ms, device.utc_offset_min)
        meter.connect(self._config.points[device.id], self.board, device.unit)
        self.members[device.id] = meter
        return meter

    def _slave(self, device: DeviceConfig) -> Slave:
        points = self._config.points[device.id]
        slave = Slave(device.id, device.slave, points, strict_holes=device.max_gap == 0)
        slave.connect(points, self.board, device.unit)
        self.members[device.id] = slave
        return slave

    async def open(self) -> None:
        """Listen on every address and serial line; a failure closes what was opened.

        Raises:
            ListenError: every address that can't be listened on.
        """
        taken = []
        try:
            for place, face in self._faces.items():
                device = next(d for d in self._configured.values() if _place(d) == place)
                if device.serial:
                    line = PseudoTerminal(self._config.resolve(device.serial), face.factory)
                    line.open()
                    self._serial_lines.append(line)
                    continue
                try:
                    await face.listen(device.host, device.port or 0)
                except OSError as error:
                    taken.append((f"device {device.id}", error))
            for name, (host, port) in self._redundant.items():
                try:
                    await self.stations[name].listen_second(host, port)
                except OSError as error:
                    taken.append((f"device {name}, second address", error))
            if taken:
                raise ListenError(taken)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every face."""
        while self._returning:
            self._returning.popitem()[1].cancel()
        for face in self._faces.values():
            await face.close()
        while self._serial_lines:
            self._serial_lines.pop().close()

    @property
    def stations(self) -> dict[str, Station]:
        """The IEC 101 and 104 stations by device."""
        return {device: member for device, member in self.members.items() if isinstance(member, Station)}

    def requests(self) -> dict[str, int]:
        """Requests per device, as the devices counted them."""
        return {device: self.members[device].requests for device in self._configured}

    def darken(self, unit: str, *, dark: bool) -> None:
        """Switch all faces of this unit's devices off (connections are reset and refused at once) or on."""
        for device in self._configured.values():
            if device.unit == unit:
                face = self.port_of(device.id)
                (face.refuse if dark else face.accept)()

    def peers(self, device: str) -> list[str]:
        """The clients connected to a device, as HOST:PORT."""
        return sorted(link.peer for link in self.port_of(device).links)

    def port_of(self, device: str) -> Face:
        """The face of a device."""
        return self._faces[_place(self._configured[device])]

    def check(self, fault: Fault) -> None:
        """Check that a fault is possible.

        Raises:
            CollectorError: there is no such device, or its protocol does not support the fault.
        """
        device = self._configured.get(fault.device)
        if device is None:
            raise CollectorError(f"no such device; there are {', '.join(self._configured)}", subject=fault.device)
        if fault.kind not in kinds_of(device.protocol):
            kinds = ", ".join(kinds_of(device.protocol))
            raise CollectorError(f"no {fault.kind} in {device.protocol}; there are {kinds}", subject=fault.device)

    def _restart(self, fault: Fault, face: Face) -> None:
        """Restart a device: connections are lost, counters start again; it returns after `value` ms of real time."""
        member = self.members[fault.device]
        face.refuse()
        if isinstance(member, Station):
            member.restart()
        else:
            for counter in member.counters:
                counter.restart()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # not listening yet
        self._returning[fault.device] = loop.call_later(fault.value / 1000, face.accept)

    def _switch(self, fault: Fault, on: bool) -> None:
        face, member = self.port_of(fault.device), self.members[fault.device]
        if fault.kind == "refuse":
            face.refuse(fault.value) if on else face.accept()
        elif fault.kind == "restart" and on:
            self._restart(fault, face)
        elif fault.kind == "roll_over" and on:
            for counter in member.counters:
                counter.roll_over(fault.value)
        elif fault.kind == "year_wrap" and isinstance(member, Station):
            member.wrap_year((fault.value or 1000) if on else None)
        elif fault.kind == "half_open" and not on:
            face.drop_links()
        elif fault.kind == "frozen" and not isinstance(member, Station):
            member.freeze(on)
        elif fault.kind == "register_shift" and isinstance(member, Slave):
            member.address_shift = fault.value if on else 0
        elif fault.kind == "swap_words" and isinstance(member, Slave):
            member.swap_words = on
        if isinstance(face, ModbusPort):
            face.forget()


def _place(device: DeviceConfig) -> str:
    return device.serial or f"{device.host}:{device.port}"


@asynccontextmanager
async def serve(
    config: AgentConfig, *, now_utc_ms: Callable[[], int] = lambda: 0, report_to: list[str] | None = None
) -> AsyncIterator[Devices]:
    """Serve the devices of a configuration while the block runs.

    `report_to` receives forbidden requests instead of `audit.FORBIDDEN`: for tests that write on purpose.
    """
    devices = Devices(config, now_utc_ms=now_utc_ms, audit=Audit(report_to))
    await devices.open()
    try:
        yield devices
    finally:
        await devices.close()
