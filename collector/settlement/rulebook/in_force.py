# SPDX-License-Identifier: GPL-3.0-or-later
"""A cache of rulebook look-ups for pricing a month, which has few days of change, few areas and few keys.

Each row is found, converted to an exact value and worded as a citation once for all units.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import cache

from collector.settlement.rulebook.rules import Rulebook, RuleState
from collector.settlement.statement import RuleUse


@dataclass(frozen=True, slots=True)
class RuleInForce:
    """A rulebook row on a day: its exact value (None: unknown or ended), and its citation for a line."""

    value: Fraction | None
    use: RuleUse


@dataclass(frozen=True, slots=True)
class ServiceInForce:
    """A service on a day it is paid. `factor`: the settlement factor of its amounts; None: its state is unknown."""

    factor: Fraction | None


class RulesInForce:
    """Look-ups in a rulebook, each done once."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rulebook = rulebook
        self.rule = cache(self._rule)
        self.service = cache(self._service)

    def _rule(self, value_id: str, day: date, area: str, key: str) -> RuleInForce:
        """The row of a value in force on a day.

        Raises:
            RuleError: no row holds on that day.
        """
        row, value = self._rulebook.row(value_id, day, area=area, key=key), self._rulebook.values[value_id]
        text = "" if row.value is None else str(row.value)
        use = RuleUse(value.id, value.article, text, value.unit, row.from_day.isoformat(), key or row.area)
        return RuleInForce(None if row.value is None else Fraction(row.value), use)

    def _service(self, service: str, day: date, area: str) -> ServiceInForce | None:
        """The state of a service on a day; None: it is not paid then."""
        row = self._rulebook.service_row(service, day, area)
        if row is None:
            return None
        return ServiceInForce(None if row.state is RuleState.UNKNOWN else Fraction(row.factor))
