# SPDX-License-Identifier: GPL-3.0-or-later
"""The rulebook's data policy for those parts of the center that must not know the settlement: hold limit, tolerance.

One description of each number: what the month is settled by is what completeness and validation are shown by.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from collector.center.checks import DataPolicy
from collector.model.register import Register
from collector.settlement.rulebook import Rulebook
from collector.settlement.stretches import compute_policy


def data_policy_of(rulebook: Callable[[], Rulebook]) -> Callable[[Register, date], DataPolicy]:
    """What `validation` and `gap_map` ask: the policy of the month a day is in, with the register's own overrides.

    `rulebook`: the one in force, asked for at every look, so that a new one needs no restart.
    """

    def policy_of(register: Register, day: date) -> DataPolicy:
        policy = compute_policy(rulebook(), register, day.replace(day=1))
        return DataPolicy(policy.hold_ms, policy.meter_difference_ratio)

    return policy_of
