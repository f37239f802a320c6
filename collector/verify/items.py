# SPDX-License-Identifier: GPL-3.0-or-later
"""The points to verify, each with its present address and decoding, and the steps that verify it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from collector.agent.device.factory import line_name
from collector.agent.operate.read_once import address_text
from collector.model.quantity import BY_NAME, Quantity, QuantityKind
from collector.points import Point
from collector.points.agent_config import AgentConfig, DeviceConfig
from collector.points.diff import ADDRESS, MEANING, reasons_for
from collector.points.load import family_of
from collector.points.point import cells_of

OPENED, CLOSED = "分", "合"
VALUE, READING = "值", "读数"
# Steps that an empty sheet proposes for a measured point; their values depend on the injection set.
LEVELS: Final = ("0 %", "50 %", "100 %")
# Not compared: the key of the point and its other cells contain these two.
_NOT_COMPARED: Final = frozenset({"device", "registers"})
PLACE: Final = "place"


@dataclass(frozen=True, slots=True)
class PointStep:
    """One step at a point. `expected`, `tolerance`: decimal text in the quantity's unit, or empty."""

    name: str
    expected: str = ""
    tolerance: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A point of a device. `unit`: generating unit; `place`: protocol and address of the device.

    `cells`: all cells of the point table and the configuration that decide which value is read and what it means.
    """

    device: str
    family: str
    place: str
    unit: str
    plant: str
    point: Point
    cells: Mapping[str, str]

    @property
    def key(self) -> tuple[str, str]:
        """Device and name of the point, by which verdicts refer to it."""
        return self.device, self.point.name

    @property
    def quantity(self) -> Quantity:
        """The quantity of the point."""
        return BY_NAME[self.point.quantity]

    @property
    def is_status(self) -> bool:
        """True if the point is a 遥信, with two states."""
        return self.quantity.kind is QuantityKind.STATUS

    @property
    def kind_zh(self) -> str:
        """The kind of the point: 遥信, 遥测 or 遥脉."""
        return {QuantityKind.STATUS: "遥信", QuantityKind.ANALOG: "遥测", QuantityKind.COUNTER: "遥脉"}[
            self.quantity.kind
        ]

    @property
    def address(self) -> str:
        """The address of the value in the device, with its type and byte order."""
        point = self.point
        if self.family != "modbus":
            return address_text(point)
        order = f" {point.order}" if point.registers > 1 else ""
        return f"{address_text(point)} {point.type}{order}"

    def default_steps(self) -> tuple[PointStep, ...]:
        """The steps of a point that no sheet names: both states of a status, else one value."""
        if self.is_status:
            return PointStep(OPENED, "0"), PointStep(CLOSED, "1")
        return (PointStep(READING if self.quantity.kind is QuantityKind.COUNTER else VALUE),)


def items_of(config: AgentConfig) -> list[Item]:
    """Every point with a quantity, in the order of the devices and of their tables.

    Guard points are left out: where one does not match, no value of its area is usable, so none of them can pass.
    """
    plants = {unit.id: unit.plant for unit in config.settings.unit}
    found = []
    for device in config.settings.device:
        family = family_of(device.protocol)
        place = _place(device)
        for point in config.points[device.id]:
            if not point.quantity:
                continue
            unit = point.unit or device.unit
            cells = {k: v for k, v in cells_of(point, family).items() if k in (ADDRESS | MEANING) - _NOT_COMPARED}
            cells |= {"unit": unit, PLACE: place}
            if family == "iec104" and point.common_address is None:
                cells["common_address"] = str(device.common_addresses[0])
            found.append(Item(device.id, family, place, unit, plants[unit], point, cells))
    return found


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    """The reasons why a point with changed cells must be verified again; empty: value and meaning are unchanged."""
    changed = {key for key in old.keys() | new.keys() if old.get(key, "") != new.get(key, "")}
    if PLACE in changed:
        changed.add("address")
    return reasons_for(changed)


def _place(device: DeviceConfig) -> str:
    """Protocol, line and address on it, which identify the device."""
    line = line_name(device).removesuffix(f" {device.id}")
    if device.protocol == "iec104":
        return f"{device.protocol} {line}"
    if device.is_iec101:
        return f"{device.protocol} {line} {device.link_address}"
    member = str(device.slave) if device.protocol.startswith("modbus") else device.address.zfill(12)
    return f"{device.protocol} {line} {member}"
