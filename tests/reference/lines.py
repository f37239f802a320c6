# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was measured to the lines of the statement: which exist, their gates, status, reason and amount.

Source: rules.md, sections 2 (scope) and 4; formats.md, end of "A statement folder".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import TypedDict

from . import regulation as rule
from .avc import measure_avc
from .deep_peak import measure_deep_peak
from .edges import measure_condenser_start, measure_start_stop
from .exact_numbers import fen, yuan
from .measured import BLOCKED, Case, Measured, of_kind
from .model import FOREVER, Policy
from .register import Registered, State
from .regulation import SERVICES, Service
from .services import (
    black_start_place,
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
    provisional: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """A line with the reasons for which it makes its area provisional."""

    line: Line
    provisional: tuple[str, ...]


def compute_lines(case: Case, stretches: list[Registered]) -> list[tuple[Judged, Measured]]:
    """All lines of a unit, in the order of the table of rules.md, section 1; a line for each area and plant.

    Args:
        case: The unit and month.
        stretches: Its registered stretches in the month, at least one.
    """
    found = []
    for service in SERVICES:
        ends = case.folder.revised if service.id == rule.REVISED_AWAY else FOREVER
        paid = [replace(one, end=min(one.end, ends)) for one in stretches if one.start < ends]
        places = list_places(case, service, [one for one in paid if fits(service, one.state)])
        whole = measure(case, service) if places else None
        for place in places:
            assert whole is not None
            measured = measure(replace(case, part=place), service)
            found.append((judge(case, service, place, measured, whole), measured))
    return found


def fits(service: Service, state: State) -> bool:
    """Whether a state can have the service: by kind, by AGC limits, by `avc`, by designation."""
    fitting = of_kind(state, service.kinds)
    if service.id in ("agc_basic", "agc_up", "agc_down"):
        return fitting and state.unit.agc_range_kw is not None
    if service.id == "avc":
        return fitting and state.unit.avc
    return fitting and (service.id != "black_start" or state.unit.black_start)


def list_places(case: Case, service: Service, fitting: list[Registered]) -> list[tuple[str, str]]:
    """Area and plant of every line of a service, in order of time.

    Args:
        fitting: The unit's stretches that can have the service.
    """
    places = list(dict.fromkeys(stretch.state.place for stretch in fitting))
    if service.id == "black_start" and places:
        return [black_start_place(case)]
    wanted = service.order_kind or rule.RESERVE_KIND.get(service.id)
    if wanted is None or not places:
        return places
    table = case.folder.orders if service.order_kind else case.folder.reserve
    rows = [(row.start, row.end) for row in table if row.unit == case.unit and row.kind == wanted]
    if not _meet(rows, [(case.span.start, case.span.end)]):
        return []
    if len(places) == 1:
        return places
    met = {one.state.place for one in fitting if _meet(rows, [(one.start, one.end)])}
    return [place for place in places if place in met] or places[-1:]


def _meet(rows: list[tuple[int, int]], spans: list[tuple[int, int]]) -> bool:
    return any(start < until and end > begin for start, end in rows for begin, until in spans)


def measure(case: Case, service: Service) -> Measured:
    """Measures one service; what is paid by the month goes by elapsed days in a running one (rules.md, section 6)."""
    found = _measure(case, service)
    if service.id in ("agc_basic", "black_start"):
        found.yuan *= case.elapsed
    return found


def _measure(case: Case, service: Service) -> Measured:
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


def judge(case: Case, service: Service, place: tuple[str, str], measured: Measured, whole: Measured) -> Judged:
    """Gates, rounds and names the status of one line; the coverage is that of all parts of the unit."""
    coverage = Fraction(whole.known_ms, whole.scope_ms) if service.gated and measured.scope_ms else None
    status, reason, amount_fen = settle_line(measured, coverage, case.folder.policy)
    provisional = [*measured.provisional]
    if measured.scope_ms and coverage is not None and coverage < case.folder.policy.provisional_coverage:
        provisional.append("coverage")
    if amount_fen is None:
        provisional.append(status)
    line = Line(
        month=case.month,
        area=place[0],
        plant=place[1],
        unit=case.unit,
        service=service.id,
        article=service.article,
        quantity=measured.quantity,
        quantity_unit=service.quantity_unit,
        coverage=coverage,
        amount_yuan=None if amount_fen is None else yuan(amount_fen),
        status=status,
        reason=reason,
        provisional=bool(provisional),
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
