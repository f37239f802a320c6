# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was measured to the lines of the statement: which exist, their gates, status, reason and amount.

Source: rules.md, sections 2 (scope) and 4; formats.md, end of "A statement folder".
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TypedDict

from . import regulation as rule
from .avc import measure_avc
from .deep_peak import measure_deep_peak
from .edges import measure_condenser_start, measure_start_stop
from .exact import fen, yuan
from .measured import BLOCKED, Case, Measured, of_kind
from .model import Policy
from .register import Registered, State
from .regulation import SERVICES, Service
from .services import (
    measure_agc_basic,
    measure_agc_energy,
    measure_black_start,
    measure_condenser_run,
    measure_hydro_spill,
    measure_reactive,
    measure_reserve,
)


class Line(TypedDict):
    """A row of lines.csv; quantity and coverage exact, None where the cell is empty."""

    month: str
    area: str
    plant: str
    unit: str
    service: str
    article: str
    quantity: Fraction | None
    quantity_unit: str
    coverage: Fraction | None
    amount_yuan: Decimal | None
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A line with the reasons for which it makes the month provisional."""

    line: Line
    provisional: tuple[str, ...]


def compute_lines(case: Case, stretches: list[Registered]) -> list[tuple[Judged, Measured]]:
    """All lines of a unit, in the order of the table of rules.md, section 1.

    Args:
        case: The unit and month.
        stretches: Its registered stretches in the month, at least one; the last one names area and plant.
    """
    states = [stretch.state for stretch in stretches]
    found = []
    for service in SERVICES:
        if applies(case, service, states):
            measured = measure(case, service)
            found.append((judge(case, service, states[-1], measured), measured))
    return found


def applies(case: Case, service: Service, states: list[State]) -> bool:
    """Whether the line exists: by kind, by AGC limits, by `avc`, by designation, by rows that overlap the month."""
    fitting = [state for state in states if of_kind(state, service.kinds)]
    span = case.span
    if service.id in ("agc_basic", "agc_up", "agc_down"):
        return any(state.unit.agc_range_kw is not None for state in fitting)
    if service.id == "avc":
        return any(state.unit.avc for state in fitting)
    if service.id == "black_start":
        return any(state.unit.black_start for state in fitting)
    wanted = service.order_kind or rule.RESERVE_KIND.get(service.id)
    if wanted is None:
        return bool(fitting)
    rows = case.folder.orders if service.order_kind else case.folder.reserve
    return bool(fitting) and any(
        row.unit == case.unit and row.kind == wanted and row.start < span.end and row.end > span.start for row in rows
    )


def measure(case: Case, service: Service) -> Measured:
    """Measures one service."""
    match service.id:
        case "deep_peak":
            return measure_deep_peak(case)
        case "coal_start_stop" | "gas_start_stop" | "hydro_start_stop":
            return measure_start_stop(case, service)
        case "hydro_spill":
            return measure_hydro_spill(case)
        case "agc_basic":
            return measure_agc_basic(case)
        case "agc_up" | "agc_down":
            return measure_agc_energy(case, service.id)
        case "reactive_lag" | "reactive_lead":
            return measure_reactive(case, service.id)
        case "condenser_start":
            return measure_condenser_start(case)
        case "condenser_run":
            return measure_condenser_run(case)
        case "avc":
            return measure_avc(case)
        case "spinning_reserve" | "hot_reserve":
            return measure_reserve(case, service.id)
        case "black_start":
            return measure_black_start(case)
        case _:
            raise KeyError(service.id)


def judge(case: Case, service: Service, home: State, measured: Measured) -> Judged:
    """Gates, rounds and names the status of one line."""
    coverage = Fraction(measured.known_ms, measured.scope_ms) if service.gated and measured.scope_ms else None
    status, reason, amount_fen = settle_line(measured, coverage, case.folder.policy)
    provisional = [*measured.provisional]
    if measured.scope_ms and coverage is not None and coverage < case.folder.policy.provisional_coverage:
        provisional.append("coverage")
    if amount_fen is None:
        provisional.append(status)
    line = Line(
        month=case.month,
        area=home.area.id,
        plant=home.plant.id,
        unit=case.unit,
        service=service.id,
        article=service.article,
        quantity=measured.quantity,
        quantity_unit=service.quantity_unit,
        coverage=coverage,
        amount_yuan=None if amount_fen is None else yuan(amount_fen),
        status=status,
        reason=reason,
    )
    return Judged(line, tuple(provisional))


def settle_line(measured: Measured, coverage: Fraction | None, policy: Policy) -> tuple[str, str, int | None]:
    """Status, reason and amount in fen (None: no amount)."""
    if measured.applicable_ms == 0:
        return "zero", measured.empty, 0
    if measured.scope_ms == 0:
        return "zero", "excluded", 0
    if coverage is not None and coverage < policy.min_coverage:
        return BLOCKED, "coverage", None
    if measured.trouble is not None:
        return *measured.trouble, None
    amount_fen = fen(measured.yuan)
    return ("paid", "", amount_fen) if amount_fen else ("zero", "rounded", 0)
