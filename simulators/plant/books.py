# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulators' own books: the true value of each determinant, summed from the units' state in a plain loop.

No settlement code is used here, and time that the agent could not observe counts too: measured quantities are compared
with this truth. Sums are integers (kW·ms, ms); the numbers of the regulation come from the scenario.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Final

from collector.model.dispatch import Order, OrderKind
from collector.model.interval import DAY_MS, HOUR_MS, LOCAL_OFFSET_MS, QUARTER_HOUR_MS
from simulators.plant.books_called import Called
from simulators.plant.moment import Moment
from simulators.plant.scenario import Scenario, local_spans
from simulators.plant.scenario_model import Unit
from simulators.plant.schedule import Switch

_MWH: Final = 1000 * HOUR_MS  # kW·ms in a MWh


@dataclass(slots=True)
class _UnitBook:
    """One unit's sums, and the limits for judging it."""

    unit: Unit
    lower_kw: int
    gate_kw: int
    capacity_kw: int
    band_v: int
    valley_minute: tuple[bool, ...]
    called: Called
    orders: list[Order] = field(default_factory=list)
    on_ms: int = 0
    deep_kw_ms: int = 0
    agc_capacity_kw_ms: int = 0
    up_kw_ms: int = 0
    down_kw_ms: int = 0
    quarter: int = 0
    quarter_kw_ms: int = 0
    avc_ms: int = 0
    avc_passed: int = 0
    avc_judged: int = 0
    avc_pending_ms: int = 0
    opened_ms: int | None = None
    stops: list[tuple[int, int]] = field(default_factory=list)


class Books:
    """The books of all units, one page each, filled as the plants move."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._month = scenario.month.interval
        rule = scenario.settings.rule
        self._settle_ms = rule.avc_settle_s * 1000
        self._gap_ms = rule.start_stop_gap_h * HOUR_MS
        self._pages = {unit.id: self._page(unit) for unit in scenario.settings.unit}

    def _page(self, unit: Unit) -> _UnitBook:
        rule, area = self._scenario.settings.rule, self._scenario.area_of(unit)
        rated_kw = Decimal(unit.rated_mw) * 1000
        capacity = Decimal(unit.agc_upper_mw or 0) - Decimal(unit.agc_lower_mw or 0)
        nominal_kv = Decimal(unit.nominal_kv)
        band_kv = nominal_kv * Decimal(rule.avc_band_low_ratio)
        if nominal_kv >= 220:
            band_kv = Decimal(rule.avc_band_500_kv if nominal_kv >= 500 else rule.avc_band_220_kv)
        spans = local_spans(area.valley_hours)
        return _UnitBook(
            unit,
            lower_kw=_whole(rated_kw * Decimal(rule.deep_lower_ratio[area.id])),
            gate_kw=_whole(rated_kw * Decimal(rule.deep_gate_ratio)),
            capacity_kw=_whole(capacity * 1000),
            band_v=_whole(band_kv * 1000),
            valley_minute=tuple(any(a <= minute < b for a, b in spans) for minute in range(1440)),
            called=Called(self._scenario, unit),
        )

    def take_orders(self, orders: Sequence[Order]) -> None:
        """Enter the orders of the dispatcher."""
        for order in orders:
            if order.kind is OrderKind.START_STOP:
                self._pages[order.unit].orders.append(order)
            else:
                self._pages[order.unit].called.take_order(order)

    def elapse(self, unit: str, now: Moment, start_ms: int, end_ms: int) -> None:
        """Enter the unit's state over [start, end), UTC ms, which lies between two ticks."""
        if start_ms < self._month.start_ms or end_ms > self._month.end_ms:
            return
        page, span = self._pages[unit], end_ms - start_ms
        if page.called.rows:
            page.called.elapse(now, start_ms, end_ms)
        if not now.on:
            return
        page.on_ms += span
        minute = (start_ms + LOCAL_OFFSET_MS) % DAY_MS // 60_000
        deep = now.power_kw < page.lower_kw and now.power_kw < page.gate_kw and page.valley_minute[minute]
        if deep and not any(order.start_ms <= start_ms < order.end_ms for order in page.orders):
            page.deep_kw_ms += (page.lower_kw - now.power_kw) * span
        if now.agc:
            page.agc_capacity_kw_ms += page.capacity_kw * span
            quarter = start_ms // QUARTER_HOUR_MS
            if quarter != page.quarter:
                _close_quarter(page)
                page.quarter = quarter
            page.quarter_kw_ms += (now.power_kw - now.plan_kw) * span
        if now.avc:
            page.avc_ms += span

    def switched(self, unit: str, now: Moment, event: Switch) -> None:
        """Enter a change of a status or target; `now` is the state after it."""
        page, time_ms = self._pages[unit], event.time_ms
        if event.quantity == "condenser" and event.value:
            page.called.condenser_started(time_ms)
        if event.quantity == "on_grid":
            if not event.value:
                page.opened_ms = time_ms
            elif page.opened_ms is not None:
                page.stops.append((page.opened_ms, time_ms))
                page.opened_ms = None
        elif event.quantity == "avc_target_kv" and now.avc and now.on:
            page.avc_pending_ms = time_ms if self._month.start_ms <= time_ms < self._month.end_ms else 0

    def ticked(self, unit: str, now: Moment, time_ms: int) -> None:
        """Enter a tick: a target order whose settling time is over is judged by the unit's present state."""
        page = self._pages[unit]
        if page.avc_pending_ms and time_ms >= page.avc_pending_ms + self._settle_ms:
            page.avc_pending_ms = 0
            if now.avc and now.on and not now.at_limit:
                page.avc_judged += 1
                page.avc_passed += abs(now.voltage_v - now.avc_target_v) <= page.band_v

    def lines(self) -> list[dict[str, str]]:
        """Quantity per unit and service with six decimals, as in lines.csv (formats.md)."""
        rows: list[dict[str, str]] = []
        for page in self._pages.values():
            _close_quarter(page)
            rows.extend(
                {"unit": page.unit.id, "service": service, "quantity": _six(quantity), "quantity_unit": unit}
                for service, quantity, unit in self._services(page)
            )
        return rows

    def _services(self, page: _UnitBook) -> list[tuple[str, Fraction, str]]:
        unit, found = page.unit, []
        if unit.kind == "coal":
            found.append(("deep_peak", Fraction(page.deep_kw_ms, _MWH), "MWh"))
        start_stop = {"coal": "coal_start_stop", "gas": "gas_start_stop", "hydro": "hydro_start_stop",
                      "pumped_storage": "hydro_start_stop"}.get(unit.kind)  # fmt: skip
        if start_stop is not None and page.orders:
            found.append((start_stop, Fraction(len(self._paid_stops(page))), "count"))
        found.extend(page.called.services())
        if unit.agc_lower_mw is not None:
            basic = Fraction(page.agc_capacity_kw_ms, page.on_ms * 1000) if page.on_ms else Fraction(0)
            found.append(("agc_basic", basic, "MW"))
            found.append(("agc_up", Fraction(page.up_kw_ms, _MWH), "MWh"))
            found.append(("agc_down", Fraction(page.down_kw_ms, _MWH), "MWh"))
        if unit.avc:
            rate = Fraction(page.avc_passed, page.avc_judged) if page.avc_judged else Fraction(0)
            found.append(("avc", rate * Fraction(page.avc_ms, HOUR_MS), "h"))
        if unit.black_start:
            found.append(("black_start", Fraction(1), "count"))
        return found

    def _paid_stops(self, page: _UnitBook) -> list[tuple[int, int]]:
        """Paid stops: restart within the allowed gap, the order and the month; one per order, in order of time."""
        used: set[str] = set()
        paid = []
        for opening, closing in page.stops:
            if not (0 < closing - opening <= self._gap_ms and self._month.start_ms <= closing < self._month.end_ms):
                continue
            for order in page.orders:
                if order.id not in used and order.start_ms <= opening and closing < order.end_ms:
                    used.add(order.id)
                    paid.append((opening, closing))
                    break
        return paid

    def parts(self) -> dict[str, dict[str, str | int]]:
        """The sums behind the lines, per unit, for a person who compares them."""
        return {
            page.unit.id: {
                "on_grid_h": _six(Fraction(page.on_ms, HOUR_MS)),
                "avc_h": _six(Fraction(page.avc_ms, HOUR_MS)),
                "avc_passed": page.avc_passed,
                "avc_judged": page.avc_judged,
                "stops": len(page.stops),
            }
            for page in self._pages.values()
        }


def _close_quarter(page: _UnitBook) -> None:
    if page.quarter_kw_ms > 0:
        page.up_kw_ms += page.quarter_kw_ms
    else:
        page.down_kw_ms -= page.quarter_kw_ms
    page.quarter_kw_ms = 0


def _whole(value: Decimal) -> int:
    return int(value.to_integral_value(rounding=ROUND_HALF_UP))


def _six(value: Fraction) -> str:
    scaled = (2 * abs(value.numerator) * 10**6 + value.denominator) // (2 * value.denominator)
    return f"{Decimal(scaled if value >= 0 else -scaled).scaleb(-6):f}"
