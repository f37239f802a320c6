# SPDX-License-Identifier: GPL-3.0-or-later
"""The rulebook's data policy for parts of the center that must not import the settlement: hold limit, tolerance.

Each number is defined once: completeness and validation use the same numbers as the settlement of the month.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from sqlalchemy import Connection

from collector.center.quality.plausibility import DataPolicy
from collector.center.quality.validation import register_in_force
from collector.model.interval import Month
from collector.model.register import Register
from collector.settlement.measure.records import tail_of
from collector.settlement.rulebook.constant_days import compute_policy
from collector.settlement.rulebook.load import Rulebook


def hold_limit_s(connection: Connection, month: Month, rulebook: Rulebook) -> int:
    """The validity of a record in a month, s: the register's own limit where it has one, else the rulebook's.

    Raises:
        RuleError: the rulebook has none for the month.
    """
    register = register_in_force(connection)
    return compute_policy(rulebook, register, month.first_day).hold_ms // 1000


class Reach(NamedTuple):
    """The validity of records, ms: after their own time; and after an instant that is judged later (AVC orders)."""

    hold_ms: int
    tail_ms: int


def reach_of(connection: Connection, month: Month, rulebook: Rulebook) -> Reach:
    """The validity of records in a month. Raises as `hold_limit_s`."""
    policy = compute_policy(rulebook, register_in_force(connection), month.first_day)
    return Reach(policy.hold_ms, tail_of(policy.settle_ms, policy.hold_ms))


def data_policy_of(rulebook: Callable[[], Rulebook]) -> Callable[[Register, date], DataPolicy]:
    """The data policy for `validation` and `gap_map`: that of the day's month, with the register's own overrides.

    `rulebook`: returns the one in force; called each time, so that a new one needs no restart.
    """

    def policy_of(register: Register, day: date) -> DataPolicy:
        policy = compute_policy(rulebook(), register, day.replace(day=1))
        return DataPolicy(policy.hold_ms, policy.meter_difference_ratio)

    return policy_of
