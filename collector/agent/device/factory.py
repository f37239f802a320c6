# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices made from the configuration, grouped by the line they share. Nothing is connected here.

A protocol library is imported only when a device that needs it is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from collector.agent.device.contract import Answer, Device, Reading
from collector.agent.device.deadlines import Deadlines
from collector.agent.device.modbus.plan import Framing, RequestLimits
from collector.agent.device.serial import SerialLine
from collector.base.clock import Clock, arrival_utc_ms
from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.points import Point
from collector.points.agent_config import AgentConfig
from collector.points.agent_config import DeviceConfig as Settings

_FRAMINGS: Final[dict[str, Framing]] = {
    "modbus_tcp": "tcp", "modbus_udp": "udp", "modbus_rtu": "rtu", "modbus_rtu_over_tcp": "rtu",
    "modbus_ascii": "ascii", "modbus_ascii_over_tcp": "ascii",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DeviceOnLine:
    """A device, its settings, and its line: devices with the same line name share a socket or serial line."""

    line: str
    settings: Settings
    device: Device


@dataclass(frozen=True, slots=True)
class _Lines:
    """The lines made so far, by name, and the deadlines of all their requests."""

    named: dict[str, object] = field(default_factory=dict)
    deadlines: Deadlines = field(default_factory=Deadlines)


def line_name(settings: Settings) -> str:
    """The name of a device's line: its serial line or socket, which others may share; a 104 link is never shared."""
    if settings.serial:
        return settings.serial
    place = f"{settings.host}:{settings.port}"
    return f"{place} {settings.id}" if settings.protocol == "iec104" else place


def limits_of(settings: Settings) -> RequestLimits:
    """The limits of one request to a device."""
    return RequestLimits(settings.max_registers, settings.max_coils, settings.max_gap, settings.one_point_per_request)


def framing_of(settings: Settings) -> Framing:
    """The framing of requests to a Modbus device."""
    return _FRAMINGS[settings.protocol]


def serial_line(settings: Settings) -> SerialLine | None:
    """The serial line of a device; None where it has none."""
    if not settings.serial:
        return None
    return SerialLine(settings.serial, settings.baud, settings.parity, settings.data_bits)


def build_devices(config: AgentConfig, clock: Clock) -> list[DeviceOnLine]:
    """Make every device of the configuration.

    Raises:
        ConfigError: this version can't read a configured protocol.
    """
    lines = _Lines()
    built = []
    for settings in config.settings.device:
        build = _BUILDERS.get(settings.protocol)
        if build is None:
            raise ConfigError(
                [
                    Problem(
                        "",
                        0,
                        f"device {settings.id}",
                        tr("{protocol} is not available here", protocol=settings.protocol),
                    )
                ]
            )
        name, points = line_name(settings), config.points[settings.id]
        try:
            device = build(settings, points, clock, name, lines)
        except ConfigError:
            raise
        except Exception as error:
            # The library can't be loaded or the driver has a bug: the other devices are still read.
            device = _Unbuilt(settings.id, points, error)
        built.append(DeviceOnLine(name, settings, device))
    return built


class _Unbuilt:
    """Stands for a device that could not be made: each read raises the reason."""

    def __init__(self, name: str, points: tuple[Point, ...], reason: Exception) -> None:
        self.name, self.points, self._reason = name, points, reason

    async def open(self) -> None:
        """Raise the reason why the device could not be made."""
        raise RuntimeError(f"it could not be made: {self._reason!r}") from self._reason

    async def close(self) -> None:
        """Do nothing: nothing is open."""

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:
        """Raise the reason why the device could not be made."""
        del points, budget_s
        raise RuntimeError(f"it could not be made: {self._reason!r}") from self._reason

    def collect(self) -> list[Reading]:
        """Always empty."""
        return []


_Builder = Callable[[Settings, tuple[Point, ...], Clock, str, _Lines], Device]


def _modbus(settings: Settings, points: tuple[Point, ...], clock: Clock, name: str, lines: _Lines) -> Device:
    from collector.agent.device.modbus.driver import ModbusDevice
    from collector.agent.device.modbus.line import ModbusLine

    line = lines.named.get(name)
    if not isinstance(line, ModbusLine):
        line = lines.named[name] = ModbusLine(
            name, host=settings.host, port=settings.port or 0, serial=serial_line(settings),
            framing=framing_of(settings), any_number=settings.transaction_id == "any", quiet_s=settings.quiet_ms / 1000,
            deadlines=lines.deadlines,
        )  # fmt: skip
    return ModbusDevice(
        settings.id, line, points, clock, slave=settings.slave, timeout_s=settings.timeout_s,
        limits=limits_of(settings), pause_s=settings.pause_ms / 1000, retry_refused_s=settings.retry_refused_s,
    )  # fmt: skip


def _iec104(settings: Settings, points: tuple[Point, ...], clock: Clock, name: str, lines: _Lines) -> Device:
    del name, lines
    from collector.agent.device.iec104.driver import Iec104Device

    return Iec104Device(settings, points, clock)


def _dlt645(settings: Settings, points: tuple[Point, ...], clock: Clock, name: str, lines: _Lines) -> Device:
    from collector.agent.device.dlt645.driver import Dlt645Device
    from collector.agent.device.dlt645.line import MeterLine

    line = lines.named.get(name)
    if not isinstance(line, MeterLine):
        line = lines.named[name] = MeterLine(
            name, host=settings.host, port=settings.port or 0, serial=serial_line(settings),
            quiet_s=settings.quiet_ms / 1000,
        )  # fmt: skip
    return Dlt645Device(settings, line, points, clock)


def _dlt698(settings: Settings, points: tuple[Point, ...], clock: Clock, name: str, lines: _Lines) -> Device:
    from collector.agent.device.dlt698.driver import Dlt698Device
    from collector.agent.device.dlt698.line import GetLine

    line = lines.named.get(name)
    if not isinstance(line, GetLine):
        line = lines.named[name] = GetLine(
            name, host=settings.host, port=settings.port or 0, serial=serial_line(settings)
        )
    return Dlt698Device(settings, line, points, clock)


def _iec101(settings: Settings, points: tuple[Point, ...], clock: Clock, name: str, lines: _Lines) -> Device:
    from collector.agent.device.iec101.driver import Iec101Device, place_of
    from collector.agent.device.iec101.line import LinkLine
    from collector.agent.device.iec101.secondary import BalancedSecondary, Inbox

    place, line, inbox = place_of(settings), lines.named.get(name), Inbox(lambda: arrival_utc_ms(clock))
    if place.balanced or not isinstance(line, LinkLine):  # a balanced link has its line for itself
        line = lines.named[name] = LinkLine(
            name, place.octets, host=settings.host, port=settings.port or 0, serial=serial_line(settings),
            secondary=BalancedSecondary(place, inbox.put) if place.balanced else None,
        )  # fmt: skip
    return Iec101Device(settings, line, inbox, points, clock)


_BUILDERS: dict[str, _Builder] = {
    **dict.fromkeys(_FRAMINGS, _modbus), "iec104": _iec104, **dict.fromkeys(("dlt645", "dlt645_over_tcp"), _dlt645),
    **dict.fromkeys(("dlt698", "dlt698_over_tcp"), _dlt698),
    **dict.fromkeys(("iec101", "iec101_over_tcp"), _iec101),
}  # fmt: skip
