# SPDX-License-Identifier: GPL-3.0-or-later
"""A unit's state between two instants, changed by the plant and read by the books."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Moment:
    """A unit's state from one instant to the next. kW, kvar, V; statuses 0 or 1."""

    on: int = 0
    agc: int = 0
    avc: int = 0
    at_limit: int = 0
    avc_target_v: int = 0
    power_kw: int = 0
    plan_kw: int = 0
    setpoint_kw: int = 0
    reactive_kvar: int = 0
    voltage_v: int = 0
    condenser: int = 0
    spilling: int = 0
    primary: int = 1
