# SPDX-License-Identifier: GPL-3.0-or-later
"""The finding about implausible values of a unit: how many, first and last, and the factor that would explain them.

It moves no money by itself: such values are missing, and the coverage of each line says what that means.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from collector.base.text import both, join, tr
from collector.model.interval import format_time
from collector.model.quantity import BY_NAME
from collector.settlement.measure.results import Implausible
from collector.settlement.services.pricing import Account, plain
from collector.settlement.statement import Finding
from collector.settlement.units import unit_text

_KW_FOR_MW = 1000
_NAMES: Final = {
    "active_power_mw": (both("active power", "有功"), "MW"),
    "reactive_power_mvar": (both("reactive power", "无功"), "Mvar"),
    "bus_voltage_kv": (both("bus voltage", "母线电压"), "kV"),
}
_SHARE_OF_LIMIT = 12  # a thousandth of the greatest value between a twelfth of the limit and the limit: kW for MW


def list_implausible(account: Account) -> Iterator[Finding]:
    """One finding per unit and quantity that had implausible values."""
    by_quantity: dict[str, list[Implausible]] = defaultdict(list)
    for event in account.case.totals.implausible.get(account.unit, ()):
        by_quantity[event.quantity].append(event)
    for name, events in sorted(by_quantity.items()):
        peak = max(events, key=lambda event: (event.peak, event.limit))
        count = sum(event.number for event in events)
        first, last = min(event.first_ms for event in events), max(event.last_ms for event in events)
        scale = BY_NAME[name].scale
        message = tr(
            "{name}: values that can't be ({count}), {first} to {last}, up to {peak} {unit}; limit {limit} {unit}",
            name=_NAMES[name][0],
            unit=unit_text(_NAMES[name][1]),
            count=count,
            first=format_time(first),
            last=format_time(last),
            peak=plain(Fraction(peak.peak, scale)),
            limit=plain(Fraction(peak.limit, scale)),
        )
        if peak.limit <= peak.peak * _SHARE_OF_LIMIT // _KW_FOR_MW <= peak.limit * _SHARE_OF_LIMIT:
            message = join("; ", (message, tr("{factor} times too large: kW for MW?", factor=_KW_FOR_MW)))
        yield Finding(
            "implausible", account.unit, message, provisional=False, first_ms=first, last_ms=last, count=count
        )
