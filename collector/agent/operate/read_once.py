# SPDX-License-Identifier: GPL-3.0-or-later
"""`agent read`: devices once, for a person: what came, what it means, and what else the same bytes could mean."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from collector.agent.device.contract import Findable, Reading, contained, failed
from collector.agent.device.factory import DeviceOnLine, build_devices
from collector.agent.device.registers import decode_value
from collector.base.clock import Clock
from collector.base.errors import DeviceError
from collector.model.quantity import BY_NAME, from_scaled
from collector.model.record import Quality
from collector.points import ORDERS, REGISTERS, Point
from collector.points.agent_config import AgentConfig

_BUDGET_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """One point as it was read. `value`: decimal text in `unit`, empty where there is none. Times are UTC ms."""

    device: str
    name: str
    quantity: str
    address: str
    raw: str
    value: str
    unit: str
    quality: str
    device_time_utc_ms: int | None
    time_utc_ms: int
    error: str = ""


async def read_devices(config: AgentConfig, clock: Clock, wanted: str) -> list[tuple[Row, Point, bytes]]:
    """Read every device, or the one named, once; one line after the other is left, lines are read side by side."""
    lines: dict[str, list[DeviceOnLine]] = {}
    for built in build_devices(config, clock):
        if wanted in ("", built.settings.id):
            lines.setdefault(built.line, []).append(built)

    async def read_line(devices: list[DeviceOnLine]) -> list[tuple[Row, Point, bytes]]:
        return [row for built in devices for row in await _read_device(built, clock)]

    found = await asyncio.gather(*(read_line(devices) for devices in lines.values()))
    return [row for rows in found for row in rows]


async def _read_device(built: DeviceOnLine, clock: Clock) -> list[tuple[Row, Point, bytes]]:
    device = built.device
    try:
        try:
            with contained(device.name):
                answer = await device.read(device.points, budget_s=_BUDGET_S)
            newest = {id(r.point): r for r in answer.readings}
            readings, errors = [newest[id(p)] for p in device.points if id(p) in newest], list(answer.errors)
        except DeviceError as reason:
            readings, errors = failed(device.points, reason, clock.now_utc_ms()), [reason]
        error = "; ".join(dict.fromkeys(map(str, errors)))
        if isinstance(device, Findable) and readings and all(r.quality is Quality.SILENT for r in readings):
            # Nothing answers: whoever does is worth knowing, and nobody else uses the line now.
            error = await _with_found(device, error)
    finally:
        with suppress(DeviceError), contained(device.name):
            await device.close()
    return [(_row(built, reading, error), reading.point, reading.raw) for reading in readings]


async def _with_found(device: Findable, error: str) -> str:
    try:
        with contained(""):
            found = await device.find()
    except DeviceError:
        return error
    return f"{error}; {found}" if found else error


def _row(built: DeviceOnLine, reading: Reading, error: str) -> Row:
    point = reading.point
    quantity = BY_NAME.get(point.quantity)
    value = "" if reading.value is None or quantity is None else f"{from_scaled(reading.value, quantity.scale):f}"
    return Row(
        built.settings.id, point.name, point.quantity, address_text(point), reading.raw.hex(" ") if reading.raw else "",
        value, quantity.unit if quantity else "", reading.quality.name.lower(), reading.device_time_utc_ms,
        reading.time_utc_ms, error,
    )  # fmt: skip


def address_text(point: Point) -> str:
    """Where a point lives, as the trade says it."""
    bit = "" if point.bit is None else f".{point.bit}"
    if point.area.isdigit():
        station = "" if point.common_address is None else f"{point.common_address}/"
        return f"{station}{point.address} type {point.area}{bit}"
    return f"{point.area} {point.address}{bit}" if point.area else f"{point.address:08X}"


def decodings(data: bytes) -> list[tuple[str, str, int | float]]:
    """What the registers of a value could mean: (type, order, raw value) of every type they are wide enough for.

    A 16-bit value has two orders only; decodings that give the same number are listed once.
    """
    found: dict[tuple[str, int | float], str] = {}
    for kind, width in REGISTERS.items():
        if width is None or 2 * width != len(data):
            continue
        for order in ORDERS if width > 1 else ("ABCD", "BADC"):
            value = decode_value(data, kind, order, None)
            if value is not None:
                found.setdefault((kind, value), order)
    return [(kind, order, value) for (kind, value), order in found.items()]


def candidates(data: bytes) -> list[tuple[str, str, str]]:
    """`decodings` as text; those that look alike are listed once."""
    found: dict[tuple[str, str], str] = {}
    for kind, order, value in decodings(data):
        text = f"{value:.9g}" if isinstance(value, float) else str(value)
        found.setdefault((kind, text), order)
    return [(kind, order, text) for (kind, text), order in found.items()]
