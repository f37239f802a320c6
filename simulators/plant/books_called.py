# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulators' own books of services paid only on order: reactive power, condenser, spill, reserve."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Final

from collector.model.dispatch import Order, OrderKind
from collector.model.interval import DAY_MS, HOUR_MS, LOCAL_OFFSET_MS, parse_time_ms
from collector.model.quantity import parse_scaled
from simulators.plant.moment import Moment
from simulators.plant.scenario import Scenario, local_spans
from simulators.plant.scenario_model import Unit

_MWH: Final = 1000 * HOUR_MS  # kW·ms in a MWh, kvar·ms in a Mvarh


class Called:
    """One unit's sums inside its orders and reserve rows. `rows`: whether the unit has any."""

    def __init__(self, scenario: Scenario, unit: Unit) -> None:
        rule, settings = scenario.settings.rule, scenario.settings
        self._orders: dict[OrderKind, list[Order]] = {}
        self._free_lag, self._free_lead = Decimal(rule.reactive_free_lag), Decimal(rule.reactive_free_lead)
        tolerance_kvar = parse_scaled(rule.at_limit_tolerance_mvar, 1000)
        self._q_full = parse_scaled(unit.q_max_mvar, 1000) - tolerance_kvar
        self._q_empty = parse_scaled(unit.q_min_mvar, 1000) + tolerance_kvar
        self._bands = [
            (parse_time_ms(b.start), parse_time_ms(b.end), parse_scaled(b.low_kv, 1000), parse_scaled(b.high_kv, 1000))
            for b in settings.voltage_band if b.unit == unit.id
        ]  # fmt: skip
        self._reserves = [
            (r.kind, parse_time_ms(r.start), parse_time_ms(r.end), parse_scaled(r.power_mw, 1000))
            for r in settings.reserve if r.unit == unit.id
        ]  # fmt: skip
        spans = local_spans(scenario.area_of(unit).peak_hours)
        self._peak_minute = tuple(any(a <= minute < b for a, b in spans) for minute in range(1440))
        self._lag_kvar_ms = 0
        self._lead_kvar_ms = 0
        self._condenser_ms = 0
        self._condenser_starts = 0
        self._spill_ms = 0
        self._reserve_kw_ms = {"spinning": 0, "hot": 0}
        self.rows = bool(self._reserves)

    def take_order(self, order: Order) -> None:
        """Enter a reactive, condenser or spill order."""
        self._orders.setdefault(order.kind, []).append(order)
        self.rows = True

    def elapse(self, now: Moment, start_ms: int, end_ms: int) -> None:
        """Enter the unit's state over [start, end), UTC ms, which lies inside one minute."""
        span = end_ms - start_ms
        if now.condenser and self._ordered(OrderKind.CONDENSER, start_ms):
            self._condenser_ms += span
        if now.spilling and self._ordered(OrderKind.SPILL, start_ms):
            self._spill_ms += span
        if now.on and not now.condenser and now.power_kw >= 0 and self._ordered(OrderKind.REACTIVE, start_ms):
            self._reactive(now, start_ms, span)
        if self._peak_minute[(start_ms + LOCAL_OFFSET_MS) % DAY_MS // 60_000]:
            for kind, begin, end, power_kw in self._reserves:
                if begin <= start_ms < end and now.on == (kind == "spinning"):
                    self._reserve_kw_ms[kind] += power_kw * span

    def condenser_started(self, time_ms: int) -> None:
        """Enter a rising edge of the condenser status."""
        self._condenser_starts += self._ordered(OrderKind.CONDENSER, time_ms)

    def _ordered(self, kind: OrderKind, time_ms: int) -> bool:
        return any(order.start_ms <= time_ms < order.end_ms for order in self._orders.get(kind, ()))

    def _reactive(self, now: Moment, time_ms: int, span: int) -> None:
        """Enter reactive energy beyond the unpaid part, if the voltage is in its band or the machine at its limit."""
        held = any(a <= time_ms < b and low <= now.voltage_v <= high for a, b, low, high in self._bands)
        lag = now.reactive_kvar - _whole(self._free_lag * now.power_kw)
        lead = -now.reactive_kvar - _whole(self._free_lead * now.power_kw)
        if lag > 0 and (held or now.reactive_kvar >= self._q_full):
            self._lag_kvar_ms += lag * span
        if lead > 0 and (held or now.reactive_kvar <= self._q_empty):
            self._lead_kvar_ms += lead * span

    def services(self) -> list[tuple[str, Fraction, str]]:
        """Service, quantity and its unit, for the services of which the unit has rows."""
        found = []
        if OrderKind.REACTIVE in self._orders:
            found.append(("reactive_lag", Fraction(self._lag_kvar_ms, _MWH), "Mvarh"))
            found.append(("reactive_lead", Fraction(self._lead_kvar_ms, _MWH), "Mvarh"))
        if OrderKind.CONDENSER in self._orders:
            found.append(("condenser_start", Fraction(self._condenser_starts), "count"))
            found.append(("condenser_run", Fraction(self._condenser_ms, HOUR_MS), "h"))
        if OrderKind.SPILL in self._orders:
            found.append(("hydro_spill", Fraction(self._spill_ms, HOUR_MS), "h"))
        kinds = sorted({row[0] for row in self._reserves})
        found.extend((f"{kind}_reserve", Fraction(self._reserve_kw_ms[kind], _MWH), "MWh") for kind in kinds)
        return found


def _whole(value: Decimal) -> int:
    return int(value.to_integral_value(rounding=ROUND_HALF_UP))
