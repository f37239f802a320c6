# SPDX-License-Identifier: GPL-3.0-or-later
"""The settlement quantities of a unit record: the one table of their names, units, signs and ranges.

Inside the program a value is an integer: the value in the unit of its name times `scale` (kW, kvar, V, µHz, Wh).
Positive power and energy flow to the grid; positive reactive power is supplied to the grid. A status is 0 or 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum
from typing import Final

from collector.base.text import tr


class QuantityKind(Enum):
    """The behaviour of a quantity in time: an instantaneous value, a status, or a counter that only grows."""

    ANALOG = "analog"
    STATUS = "status"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Quantity:
    """One settlement quantity. `low`, `high`: plausible range in `unit`, both included; outside it is out_of_range."""

    name: str
    unit: str
    scale: int
    kind: QuantityKind
    low: Decimal
    high: Decimal
    zh: str

    @property
    def low_scaled(self) -> int:
        """The lower end of the plausible range as a stored integer."""
        return to_scaled(self.low, self.scale)

    @property
    def high_scaled(self) -> int:
        """The upper end of the plausible range as a stored integer."""
        return to_scaled(self.high, self.scale)


def to_scaled(value: Decimal, scale: int) -> int:
    """`value` × `scale`, rounded half away from zero (rules.md section 2)."""
    return int((value * scale).to_integral_value(rounding=ROUND_HALF_UP))


_PLAIN_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?\Z", re.ASCII)


def parse_decimal(text: str) -> Decimal:
    """Parse a finite decimal number exactly.

    Raises:
        ValueError: not a plain number: e.g. NaN, infinity, digit separators or an absurd exponent.
    """
    if not _PLAIN_DECIMAL.match(text):
        raise ValueError(tr("not a number: {text!r}", text=text))
    return Decimal(text)


def parse_scaled(text: str, scale: int) -> int:
    """The stored integer of a decimal text, computed without binary floating point.

    Raises:
        ValueError: as `parse_decimal`.
    """
    return to_scaled(parse_decimal(text), scale)


def from_scaled(value: int, scale: int) -> Decimal:
    """The exact decimal value of a stored integer."""
    return Decimal(value) / scale


def _analog(name: str, unit: str, scale: int, low: str, high: str, zh: str) -> Quantity:
    return Quantity(name, unit, scale, QuantityKind.ANALOG, Decimal(low), Decimal(high), zh)


def _status(name: str, zh: str) -> Quantity:
    return Quantity(name, "", 1, QuantityKind.STATUS, Decimal(0), Decimal(1), zh)


QUANTITIES: Final[tuple[Quantity, ...]] = (
    _analog("active_power_mw", "MW", 1000, "-2500", "2500", "有功功率"),
    _analog("reactive_power_mvar", "Mvar", 1000, "-2000", "2000", "无功功率"),
    _analog("bus_voltage_kv", "kV", 1000, "0", "1300", "母线电压"),
    _analog("frequency_hz", "Hz", 1_000_000, "40", "60", "频率"),
    _status("on_grid", "并网状态"),
    _status("agc_in_service", "AGC投入"),
    _analog("agc_setpoint_mw", "MW", 1000, "-2500", "2500", "AGC指令"),
    _status("avc_in_service", "AVC投入"),
    _analog("avc_target_kv", "kV", 1000, "0", "1300", "AVC电压目标"),
    _status("avc_at_limit", "AVC调节受限"),
    _status("condenser", "调相运行"),
    _status("spilling", "弃水"),
    _status("primary_frequency_in_service", "一次调频投入"),
    Quantity("energy_export_mwh", "MWh", 1_000_000, QuantityKind.COUNTER, Decimal(0), Decimal(10**10), "正向有功电量"),
)

BY_NAME: Final[dict[str, Quantity]] = {q.name: q for q in QUANTITIES}
