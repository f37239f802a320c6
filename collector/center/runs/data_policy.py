# SPDX-License-Identifier: GPL-3.0-or-later
"""The rulebook's data policy for those parts of the center that must not know the settlement: hold limit, tolerance.

One description of each number: what the month is settled by is what completeness and validation are shown by.
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
    """How long a record counts in a month: the register's own limit where it has one, else the rulebook's.

    Raises:
        RuleError: the rulebook has none for the month.
    """
    register = register_in_force(connection)
    return compute_policy(rulebook, register, month.first_day).hold_ms // 1000


class Reach(NamedTuple):
    """How far records count, ms: from their time on; behind an instant, for what is judged after it (AVC orders)."""

    hold_ms: int
    tail_ms: int


def reach_of(connection: Connection, month: Month, rulebook: Rulebook) -> Reach:
    """How far records count in a month. Raises as `hold_limit_s`."""
    policy = compute_policy(rulebook, register_in_force(connection), month.first_day)
    return Reach(policy.hold_ms, tail_of(policy.settle_ms, policy.hold_ms))


def data_policy_of(rulebook: Callable[[], Rulebook]) -> Callable[[Register, date], DataPolicy]:
    """What `validation` and `gap_map` ask: the policy of the month a day is in, with the register's own overrides.

    `rulebook`: the one in force, asked for at every look, so that a new one needs no restart.
    """

    def policy_of(register: Register, day: date) -> DataPolicy:
        policy = compute_policy(rulebook(), register, day.replace(day=1))
        return DataPolicy(policy.hold_ms, policy.meter_difference_ratio)

    return policy_of
