# SPDX-License-Identifier: GPL-3.0-or-later
"""Primary frequency: time in service and excursions. Nothing here is paid.

Source: Art. 6(1); rules.md, section 2, "Primary frequency".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from . import regulation as rule
from .exact_numbers import Truth, all_of
from .model import Folder, Record, UnitRecords
from .register import Register
from .slices import OUTSIDE, Slice, cut_month
from .times import HOUR_MS, month_span

SERVICE = "primary_frequency"
KW_MS_PER_MWH = 1000 * HOUR_MS


@dataclass(frozen=True, slots=True)
class InService:
    """Hours of primary frequency control in service while on grid; the ratio is of the on-grid time that is known."""

    hours: Fraction
    ratio: Fraction | None


@dataclass(slots=True)
class Excursion:
    """A stretch of frequency beyond the dead band on one side.

    Attributes:
        base_kw: The output just before it, None where missing.
        moved: ∫(P − base), kW·ms; None where P or the base is missing.
        asked: ∫ΔP by the droop, kW·ms; None without a droop ratio.
    """

    start: int
    end: int
    side: int
    base_kw: int | None
    moved: int | None = 0
    asked: Fraction | None = Fraction(0)

    @property
    def actual_mwh(self) -> Fraction | None:
        """What the unit gave."""
        return None if self.moved is None else Fraction(self.moved, KW_MS_PER_MWH)

    @property
    def theoretical_mwh(self) -> Fraction | None:
        """What its droop asks for."""
        return None if self.asked is None else self.asked / KW_MS_PER_MWH

    @property
    def ratio(self) -> Fraction | None:
        """Actual ÷ theoretical."""
        if self.actual_mwh is None or not self.theoretical_mwh:
            return None
        return self.actual_mwh / self.theoretical_mwh


def find_evidence(folder: Folder, month: str) -> dict[str, tuple[InService, list[Excursion]]]:
    """By unit: the time in service and every excursion of the month."""
    register = Register(folder)
    span = month_span(month)
    found = {}
    for unit in register.unit_ids():
        if register.stretches(unit, span):
            slices = cut_month(folder, register, [unit], span)[unit]
            found[unit] = in_service(slices), list(find_excursions(slices, folder.records_of(unit), folder))
    return found


def in_service(slices: list[Slice]) -> InService:
    """∫(on ∧ in service) over the registered, not excluded month, and its share of the on-grid time."""
    served = grid = 0
    for piece in slices:
        if piece.state is None or piece.exclusion(SERVICE) == OUTSIDE:
            continue
        truth: Truth = all_of(piece.on, piece.record.primary_frequency)
        if truth is not None and piece.on is True:
            grid += piece.length
            served += piece.length if truth else 0
    return InService(Fraction(served, HOUR_MS), Fraction(served, grid) if grid else None)


def side_of(piece: Slice) -> int:
    """+1 above the dead band, -1 below, 0 inside, off grid, unregistered, excluded or unknown: no excursion."""
    if piece.state is None or piece.exclusion(SERVICE) == OUTSIDE or piece.on is not True:
        return 0
    band = rule.DEAD_BAND_UHZ.get(piece.state.unit.kind)
    if band is None or piece.record.frequency_uhz is None:
        return 0
    offset = piece.record.frequency_uhz - rule.NOMINAL_UHZ
    return 1 if offset > band else -1 if offset < -band else 0


def find_excursions(slices: list[Slice], records: UnitRecords, folder: Folder) -> Iterator[Excursion]:
    """Neighbouring slices beyond the dead band on the same side are one excursion."""
    running: Excursion | None = None
    for piece in slices:
        side = side_of(piece)
        if running is not None and (side != running.side or piece.start != running.end):
            yield running
            running = None
        if side == 0:
            continue
        if running is None:
            running = Excursion(piece.start, piece.start, side, output_before(piece, side, records, folder))
        _extend(running, piece)
    if running is not None:
        yield running


def _extend(excursion: Excursion, piece: Slice) -> None:
    """ΔP = −(Δf beyond dead band) ÷ (50 Hz · droop) · P_N, beside P − base."""
    excursion.end = piece.end
    power = piece.record.active_kw
    if power is None or excursion.base_kw is None or excursion.moved is None:
        excursion.moved = None
    else:
        excursion.moved += (power - excursion.base_kw) * piece.length
    if piece.state is None or piece.record.frequency_uhz is None:
        raise ValueError("an excursion needs a registered unit and a frequency")
    unit = piece.state.unit
    if unit.droop_ratio is None or excursion.asked is None:
        excursion.asked = None
        return
    beyond = piece.record.frequency_uhz - rule.NOMINAL_UHZ - excursion.side * rule.DEAD_BAND_UHZ[unit.kind]
    delta_kw = -Fraction(beyond, rule.NOMINAL_UHZ) / unit.droop_ratio * unit.rated_mw * 1000
    excursion.asked += delta_kw * piece.length


def output_before(piece: Slice, side: int, records: UnitRecords, folder: Folder) -> int | None:
    """The output just before an excursion; None where unknown, or where the frequency was out by then already."""
    before = held_at(records, piece.start - 1, folder.policy.hold_ms)
    if before is None or piece.state is None:
        return None
    if before.frequency_uhz is not None:
        offset = before.frequency_uhz - rule.NOMINAL_UHZ
        if offset * side > rule.DEAD_BAND_UHZ[piece.state.unit.kind]:
            return None
    return before.active_kw


def held_at(records: UnitRecords, time: int, hold_ms: int) -> Record | None:
    """The record that holds at an instant."""
    last = None
    for record in records.records:
        if record.time > time:
            break
        last = record
    return last if last is not None and time < last.time + hold_ms else None
