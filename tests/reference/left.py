# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reason cost a unit: the line measured again with that reason removed, minus the line.

Source: rules.md, section 6, "Left on the table". Bounds are not computed here, so neither is what missing time cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from . import regulation as rule
from .avc import measure_avc
from .deep_peak import limits_kw
from .exact_numbers import fen
from .lines import measure
from .measured import Case, Measured
from .model import Exclusion
from .slices import COUNTED, Slice, cut_month, peak_mates
from .times import HOUR_MS

AGC = ("agc_basic", "agc_up", "agc_down")


@dataclass(frozen=True, slots=True)
class Left:
    """What one reason cost a line of a unit whose month is one part. None: not known, or no time."""

    unit: str
    service: str
    reason: str
    ms: int | None
    amount_fen: int | None


def left_on_table(case: Case, line: Measured, service: rule.Service) -> Iterator[Left]:
    """The rows of a line that is paid or zero: AGC or AVC out, failed orders, output above the gate, own fault."""
    if service.id in AGC:
        yield from _agc_out(case, line, service)
    if service.id == "avc":
        yield from _avc_out(case, line, service)
    if service.id == "deep_peak" and not _grouped(case):
        yield from _above_gate(case, line)
    if not (service.id == "deep_peak" and _grouped(case)):
        yield from _own_fault(case, line, service)


def _grouped(case: Case) -> bool:
    return any(piece.state is not None and piece.state.unit.peak_group for piece in case.all_slices)


def _time(case: Case, service: str, counts: Callable[[Slice], bool]) -> int:
    return sum(
        piece.length
        for piece in case.slices
        if piece.state is not None and piece.exclusion(service) == COUNTED and counts(piece)
    )


def _agc_out(case: Case, line: Measured, service: rule.Service) -> Iterator[Left]:
    """AGC out of service on grid, in scope: as in service, its energy as over the unit's own in-service hours."""

    def out(piece: Slice) -> bool:
        has = piece.state is not None and piece.state.unit.agc_range_kw is not None
        return has and piece.on is True and piece.record.agc_in_service is False

    time = _time(case, service.id, out)
    if not time:
        return
    if service.id == "agc_basic":
        yield Left(
            case.unit,
            service.id,
            "agc_off",
            time,
            _more(line, measure(_with(case, service.id, out, agc=True), service)),
        )
        return

    def counted(piece: Slice) -> bool:
        record, steered = piece.record, piece.on is True and piece.record.agc_in_service is True
        has = piece.state is not None and piece.state.unit.agc_range_kw is not None
        return has and steered and record.active_kw is not None and piece.planned_kw() is not None

    served = _time(case, service.id, counted)
    more = fen(line.yuan + line.yuan * Fraction(time, served)) - fen(line.yuan) if served else None
    yield Left(case.unit, service.id, "agc_off", time, more)


def _avc_out(case: Case, line: Measured, service: rule.Service) -> Iterator[Left]:
    def out(piece: Slice) -> bool:
        has = piece.state is not None and piece.state.unit.avc
        return has and piece.on is True and piece.record.avc_in_service is False

    time = _time(case, "avc", out)
    if time:
        yield Left(case.unit, "avc", "avc_off", time, _more(line, measure(_with(case, "avc", out, avc=True), service)))
    passes = line.determinants["avc.passed"]["value"], line.determinants["avc.judged"]["value"]
    if passes[0] < passes[1]:
        yield Left(case.unit, "avc", "order_failed", None, _more(line, measure_avc(case, all_passed=True)))


def _with(case: Case, service: str, where: Callable[[Slice], bool], *, agc: bool = False, avc: bool = False) -> Case:
    """The case with AGC or AVC in service where a condition holds."""

    def changed(piece: Slice) -> Slice:
        if piece.state is None or piece.exclusion(service) != COUNTED or not where(piece):
            return piece
        record = replace(piece.record, agc_in_service=True) if agc else piece.record
        return replace(piece, record=replace(record, avc_in_service=True) if avc else record)

    return replace(case, together={**case.together, case.unit: [changed(piece) for piece in case.all_slices]})


def _above_gate(case: Case, line: Measured) -> Iterator[Left]:
    """At the gate instead, if the unit came down to its gate at some time of the month (decision 0021)."""
    yuan, time, reached = Fraction(0), 0, False
    for piece in case.slices:
        if piece.state is None or piece.on is not True or piece.record.active_kw is None or piece.inside("start_stop"):
            continue
        lower, gate = limits_kw(piece.state.area.id, piece.state.unit.rated_mw)
        counted = piece.exclusion("deep_peak") == COUNTED
        reached |= piece.record.active_kw <= gate and counted
        if piece.valley and counted and piece.state.unit.kind == "coal" and piece.record.active_kw >= gate:
            time += piece.length
            price = rule.DEEP_PEAK_YUAN_PER_MWH[piece.state.area.dispatch_mode]
            yuan += price * Fraction(max(lower - gate, 0) * piece.length, 1000 * HOUR_MS)
    if time:
        more = fen(line.yuan + yuan) - fen(line.yuan) if reached else None
        yield Left(case.unit, "deep_peak", "above_gate", time, more)


def _own_fault(case: Case, line: Measured, service: rule.Service) -> Iterator[Left]:
    """No fault, with the data there. Its time is what the scope would lose if the fault were a test."""
    rows = case.folder.exclusions
    mine = [row.unit == case.unit and row.reason == "own_fault" for row in rows]
    if not any(mine):
        return

    def measured(exclusions: tuple[Exclusion, ...]) -> Measured:
        folder = replace(case.folder, exclusions=exclusions)
        together = cut_month(folder, case.register, peak_mates(case.register, case.unit), case.span)
        return measure(replace(case, folder=folder, together=together), service)

    found = measured(tuple(row for row, own in zip(rows, mine, strict=True) if not own))
    tests = tuple(replace(row, reason="test") if own else row for row, own in zip(rows, mine, strict=True))
    time = line.scope_ms - measured(tests).scope_ms
    if found.trouble is None and found.yuan > line.yuan:
        yield Left(case.unit, service.id, "own_fault", time, _more(line, found))


def _more(line: Measured, found: Measured) -> int | None:
    """None: it has no amount without the reason either."""
    return None if found.trouble is not None else fen(found.yuan) - fen(line.yuan)
