# SPDX-License-Identifier: GPL-3.0-or-later
"""`agent read`: read devices once, for a person: bytes, meaning, and other possible meanings of the same bytes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from collector.agent.device.contract import Explaining, Findable, Reading, contained, failed
from collector.agent.device.factory import DeviceOnLine, build_devices
from collector.agent.device.registers import decode_value
from collector.base.clock import Clock
from collector.base.errors import DeviceError
from collector.model.quantity import BY_NAME, from_scaled
from collector.model.record import Quality
from collector.points import ORDERS, REGISTERS, Point
from collector.points.agent_config import AgentConfig
from collector.points.identifiers import identifier_text
from collector.points.point import NORM_BASE, NORM_BASES, NORMALISED, OAD, decimal_text

REGISTER_AREAS: Final = frozenset({"holding", "input"})
_BUDGET_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class PointReading:
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


async def read_devices(config: AgentConfig, clock: Clock, wanted: str) -> list[tuple[PointReading, Point, bytes]]:
    """Read every device, or the one named, once: devices of a line one after the other, lines in parallel."""
    lines: dict[str, list[DeviceOnLine]] = {}
    for built in build_devices(config, clock):
        if wanted in ("", built.settings.id):
            lines.setdefault(built.line, []).append(built)

    async def read_line(devices: list[DeviceOnLine]) -> list[tuple[PointReading, Point, bytes]]:
        return [row for built in devices for row in await read_device(built, clock)]

    found = await asyncio.gather(*(read_line(devices) for devices in lines.values()))
    return [row for rows in found for row in rows]


async def read_device(built: DeviceOnLine, clock: Clock) -> list[tuple[PointReading, Point, bytes]]:
    """Read one device once and close it."""
    device = built.device
    try:
        try:
            with contained(device.name):
                answer = await device.read(device.points, budget_s=_BUDGET_S)
            newest = {id(r.point): r for r in answer.readings}
            readings, errors = [newest[id(p)] for p in device.points if id(p) in newest], list(answer.errors)
        except DeviceError as reason:
            readings, errors = failed(device.points, reason, clock.now_utc_ms()), [reason]
        oddities = device.oddities if isinstance(device, Explaining) else ()
        error = "; ".join(dict.fromkeys((*map(str, errors), *map(str, oddities))))
        if isinstance(device, Findable) and readings and all(r.quality is Quality.SILENT for r in readings):
            # No answer: search for any meter on the line, which nobody else uses now.
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


def _row(built: DeviceOnLine, reading: Reading, error: str) -> PointReading:
    point = reading.point
    quantity = BY_NAME.get(point.quantity)
    value = "" if reading.value is None or quantity is None else f"{from_scaled(reading.value, quantity.scale):f}"
    return PointReading(
        built.settings.id, point.name, point.quantity, address_text(point), reading.raw.hex(" ") if reading.raw else "",
        value, quantity.unit if quantity else "", reading.quality.name.lower(), reading.device_time_utc_ms,
        reading.time_utc_ms, error,
    )  # fmt: skip


def address_text(point: Point) -> str:
    """The address of a point as it is usually written, e.g. `holding 100` or `1/16385 type 13`."""
    bit = "" if point.bit is None else f".{point.bit_text}"
    if point.area.isdigit():
        station = "" if point.common_address is None else f"{point.common_address}/"
        return f"{station}{point.address} type {point.area}{bit}"
    return f"{point.area} {point.address}{bit}" if point.area and point.area != OAD else identifier_text(point.address)


def other_bases(point: Point, data: bytes) -> list[tuple[int, Fraction]]:
    """The values of a normalised value for each other meaning of its factor, in `raw_unit`. `data`: as received."""
    code = int.from_bytes(data[:2], "little", signed=True)
    others = [base for base in NORM_BASES if base != (point.norm_base or NORM_BASE)]
    return [(base, (code * point.scale / base + point.offset) * point.sign) for base in others]


def decodings(data: bytes) -> list[tuple[str, str, int | float]]:
    """All decodings of a value's registers: (type, order, raw value) of every type of that width.

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


def candidates(point: Point, data: bytes) -> list[tuple[str, str, str]]:
    """Other meanings of the bytes of a point, as text; equal ones are listed once.

    For registers: type, order, raw value; for a normalised value of 104: meaning of the factor, "", value in
    `raw_unit`.
    """
    if point.area in NORMALISED and len(data) >= 2:
        return [(f"norm_base {base}", "", decimal_text(value)) for base, value in other_bases(point, data)]
    if point.area not in REGISTER_AREAS:
        return []
    found: dict[tuple[str, str], str] = {}
    for kind, order, value in decodings(data):
        text = f"{value:.9g}" if isinstance(value, float) else str(value)
        found.setdefault((kind, text), order)
    return [(kind, order, text) for (kind, text), order in found.items()]
