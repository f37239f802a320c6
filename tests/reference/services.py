# SPDX-License-Identifier: GPL-3.0-or-later
"""The determinants that are one conjunction per slice: spill, AGC, reactive energy, condenser hours, reserve, and
black start, which is the register alone.

Source: rules.md, section 2, table; prices of section 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from . import regulation as rule
from .exact_numbers import Truth, all_of, any_of, at_most, less, negated, round_half_away
from .measured import BLOCKED, Case, Measured, Tally, integrate, of_kind
from .register import State
from .slices import COUNTED, FAULT, OUTSIDE, Slice
from .times import HOUR_MS, QUARTER_MS

ONE = Fraction(1)


def megawatt(kw: int | None) -> Fraction | None:
    """kW as MW."""
    return None if kw is None else Fraction(kw, 1000)


def measure_hydro_spill(case: Case) -> Measured:
    """Hours of spilling inside spill orders; 0.5 · P_N · t · C. Source: Art. 13(6)."""

    def scope(piece: Slice, state: State) -> bool:
        return of_kind(state, rule.HYDRO_KINDS) and piece.inside("spill")

    def spilling(piece: Slice) -> Truth:
        # A unit without the column: the whole order counts, no record needed.
        return piece.record.spilling if "spilling" in piece.columns else True

    def price(state: State) -> Fraction:
        tariff = state.unit.tariff_yuan_per_mwh or Fraction(0)
        return rule.HYDRO_SPILL_FACTOR * state.unit.rated_mw * tariff

    service = "hydro_spill"
    tally = integrate(service, case.slices, scope=scope, truth=spilling, rate=lambda *_: ONE, price=price)
    found = tally.measured("no_order")
    counted = [
        piece.state.unit
        for piece in case.slices
        if piece.state is not None and scope(piece, piece.state) and piece.exclusion(service) != OUTSIDE
    ]
    if any(unit.tariff_yuan_per_mwh is None for unit in counted):
        found.trouble = (BLOCKED, "no_tariff")
    return found


def measure_agc_basic(case: Case) -> Measured:
    """Rate x adjustable capacity: ∫ capacity over (on ∧ AGC) ÷ on-grid time. Source: Art. 14(2), reading I-07.

    Known where on is known, and AGC where on: the denominator needs on, whatever AGC says. It is the on-grid time of
    all parts of the unit, so that the parts add up.
    """
    of_part, of_others = Tally("agc_basic"), Tally("agc_basic")
    on_ms = 0
    capacity_kw_ms = 0
    for piece in case.all_slices:
        if piece.state is None or piece.state.unit.agc_range_kw is None:
            continue
        mine = case.holds(piece.state)
        tally = of_part if mine else of_others
        if not tally.admit(piece):
            # Own fault: AGC counts as out of service, on-grid hours follow the breaker, missing is on grid (I-19).
            if piece.exclusion("agc_basic") == FAULT and piece.on is not False:
                on_ms += piece.length
        elif piece.on is False:
            tally.known_ms += piece.length
        elif piece.on is True and piece.record.agc_in_service is not None:
            tally.known_ms += piece.length
            on_ms += piece.length
            if piece.record.agc_in_service and mine:
                capacity_kw_ms += piece.state.unit.agc_range_kw * piece.length
    of_part.value = Fraction(capacity_kw_ms, 1000 * on_ms) if on_ms else Fraction(0)
    # Σ over days of price × ∫capacity, ÷ on-grid time: one price is in force, so it stands outside the sum.
    of_part.yuan = of_part.value * rule.AGC_BASIC_YUAN_PER_MW
    found = of_part.measured()
    found.determinants["agc_basic.on_grid_h"] = of_part.determinant(Fraction(on_ms, HOUR_MS))
    return found


def measure_agc_energy(case: Case, service: str) -> Measured:
    """E_up or E_down: ∫(P − plan) netted over each local quarter hour, then up or down. Source: Art. 14(3), I-08b."""
    up = service == "agc_up"
    prices = rule.AGC_UP_YUAN_PER_MWH if up else rule.AGC_DOWN_YUAN_PER_MWH
    tally = Tally(service)
    net_kw_ms: dict[int, int] = {}
    price: dict[int, Fraction] = {}
    for piece in case.slices:
        if piece.state is None or piece.state.unit.agc_range_kw is None or not tally.admit(piece):
            continue
        truth = all_of(piece.on, piece.record.agc_in_service)
        planned, active = piece.planned_kw(), piece.record.active_kw
        if truth is False:
            tally.known_ms += piece.length
        elif truth is True and planned is not None and active is not None:
            tally.known_ms += piece.length
            quarter = piece.start // QUARTER_MS  # the local offset is a whole number of quarter hours
            net_kw_ms[quarter] = net_kw_ms.get(quarter, 0) + (active - planned) * piece.length
            price[quarter] = prices[piece.state.area.dispatch_mode]
    for quarter, net in net_kw_ms.items():
        energy_mwh = Fraction(max(net if up else -net, 0), 1000 * HOUR_MS)
        tally.value += energy_mwh
        tally.yuan += energy_mwh * price[quarter]
    return tally.measured()


def measure_reactive(case: Case, service: str) -> Measured:
    """Reactive energy beyond the free part, on order, in band or at the limit. Source: Art. 15(1)-(2), 6(3), I-09."""
    lag = service == "reactive_lag"
    ratio = rule.FREE_Q_LAG if lag else rule.FREE_Q_LEAD
    tolerance = case.folder.policy.at_limit_tolerance_kvar

    def excess(piece: Slice) -> int | None:
        active, reactive = piece.record.active_kw, piece.record.reactive_kvar
        if active is None or reactive is None:
            return None
        return (reactive if lag else -reactive) - round_half_away(ratio * active)

    def in_band(piece: Slice) -> Truth:
        if not piece.bands:
            return None  # no_band: missing where it decides
        band, voltage = piece.bands[0], piece.record.voltage_v
        return all_of(at_most(band.low_v, voltage), at_most(voltage, band.high_v))

    def at_limit(piece: Slice) -> Truth:
        unit = piece.state.unit if piece.state else None
        reactive = piece.record.reactive_kvar
        if lag:
            limit = unit.q_max_kvar if unit else None
            return False if limit is None else at_most(limit - tolerance, reactive)
        limit = unit.q_min_kvar if unit else None
        return False if limit is None else at_most(reactive, limit + tolerance)

    def truth(piece: Slice) -> Truth:
        return all_of(
            piece.on,
            negated(piece.condenser),  # I-10
            at_most(0, piece.record.active_kw),
            less(0, excess(piece)),
            any_of(in_band(piece), at_limit(piece)),
        )

    tally = integrate(
        service,
        case.slices,
        scope=lambda piece, _: piece.inside("reactive"),
        truth=truth,
        rate=lambda piece, _: megawatt(excess(piece)),
        price=lambda _: rule.REACTIVE_YUAN_PER_MVARH,
    )
    return tally.measured("no_order")


def measure_condenser_run(case: Case) -> Measured:
    """Hours as a synchronous condenser inside condenser orders; 15 · P_N · t. Source: Art. 15(3)2."""
    tally = integrate(
        "condenser_run",
        case.slices,
        scope=lambda piece, _: piece.inside("condenser"),
        truth=lambda piece: piece.condenser,
        rate=lambda *_: ONE,
        price=lambda state: rule.CONDENSER_RUN_YUAN_PER_MWH * state.unit.rated_mw,
    )
    return tally.measured("no_order")


def measure_reserve(case: Case, service: str) -> Measured:
    """Planned reserve in peak hours, while on (spinning) or off (hot). Source: Art. 17, reading I-12."""
    kind = rule.RESERVE_KIND[service]

    def rows(piece: Slice) -> list[int | None]:
        return [row.power_kw for row in piece.reserve if row.kind == kind]

    def over(slices: list[Slice], prices: Mapping[str, Fraction]) -> Tally:
        return integrate(
            service,
            slices,
            scope=lambda piece, _: piece.peak and bool(rows(piece)),
            truth=lambda piece: piece.on if kind == "spinning" else negated(piece.on),
            rate=lambda piece, _: megawatt(rows(piece)[0]),
            price=lambda state: prices[state.area.dispatch_mode],
        )

    revised = case.folder.revised
    tally = over([piece for piece in case.slices if piece.start < revised], rule.RESERVE_YUAN_PER_MWH)
    if service != rule.REVISED_AWAY:
        tally.join(over([p for p in case.slices if p.start >= revised], rule.REVISED_SPINNING_YUAN_PER_MWH))
    return tally.measured("no_reserve")


def measure_black_start(case: Case) -> Measured:
    """A full month for a unit designated on any day (I-15), at the kind of the last designated day. Source: Art. 18.

    It is one sum, whatever parts the month has: `black_start_place` says whose.
    """
    tally = Tally("black_start")
    paid: list[State] = []
    undocumented = False
    for piece in case.all_slices:
        if piece.state is None or not piece.state.unit.black_start:
            continue
        undocumented |= piece.state.unit.black_start_document is None
        if tally.admit(piece):
            tally.known_ms += piece.length
            paid.append(piece.state)
    if paid:
        hydro = of_kind(paid[-1], rule.HYDRO_KINDS)
        tally.value = ONE
        tally.yuan = rule.BLACK_START_HYDRO_YUAN if hydro else rule.BLACK_START_OTHER_YUAN
    found = tally.measured()
    if undocumented:
        found.provisional.append("black_start_document")
    return found


def black_start_place(case: Case) -> tuple[str, str]:
    """Area and plant of the last designated day that counts; of the last designated one where none does."""
    designated = [piece for piece in case.all_slices if piece.state is not None and piece.state.unit.black_start]
    counted = [piece for piece in designated if piece.exclusion("black_start") == COUNTED]
    state = (counted or designated)[-1].state
    assert state is not None
    return state.place
