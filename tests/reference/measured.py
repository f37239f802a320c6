# SPDX-License-Identifier: GPL-3.0-or-later
"""What measuring hands to pricing, and the counting of scope, exclusions, known and missing time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TypedDict

from .exact_numbers import Truth
from .model import Folder, Record, UnitRecords
from .register import Register, State
from .slices import FAULT, OUTSIDE, Slice, exclusion_of, on_grid
from .times import HOUR_MS, Span

PENDING = "pending"
BLOCKED = "blocked"


class Determinant(TypedDict):
    """One measured number, for debugging: its value and the known part of its scope."""

    value: Fraction
    known_ms: int
    scope_ms: int


@dataclass(frozen=True, slots=True)
class Case:
    """One unit and month to measure: its slices, and those of the units cut like it (peak group).

    Attributes:
        part: Area and plant of the line that is measured; None: the unit's whole month.
        elapsed: The share of the month that is over; less than 1 in a running month only.
    """

    folder: Folder
    register: Register
    month: str
    span: Span
    unit: str
    together: dict[str, list[Slice]]
    part: tuple[str, str] | None = None
    elapsed: Fraction = Fraction(1)

    @property
    def slices(self) -> list[Slice]:
        """The unit's own slices; outside the part as if it were not registered there."""
        return [
            piece if piece.state is None or self.holds(piece.state) else replace(piece, state=None)
            for piece in self.all_slices
        ]

    @property
    def all_slices(self) -> list[Slice]:
        """The unit's own slices of all its parts."""
        return self.together[self.unit]

    def holds(self, state: State | None) -> bool:
        """Whether a state lies in the part."""
        return self.part is None or (state is not None and state.place == self.part)

    def records(self) -> UnitRecords:
        """The unit's records, also those outside the month."""
        return self.folder.records_of(self.unit)

    def state_at(self, time: int) -> State | None:
        """What the register says of the unit at an instant."""
        return self.register.at(self.unit, time)

    def on_at(self, record: Record, time: int | None = None) -> Truth:
        """Whether the unit is on the grid at a record's own time, or at another at which it holds."""
        state = self.register.in_force(self.unit, record.time if time is None else time)
        return on_grid(record, self.records().columns, None if state is None else state.unit)

    def exclusion_at(self, service: str, time: int) -> str:
        """OUTSIDE, FAULT or COUNTED for a service at an instant."""
        rows = self.folder.exclusions
        return exclusion_of((row for row in rows if row.unit == self.unit and row.start <= time < row.end), service)


@dataclass(slots=True)
class Measured:
    """A service of a unit and month, measured and priced exactly, before gates and rounding.

    Attributes:
        quantity: In the unit of the service; None where it has no value.
        yuan: The exact amount over known time.
        applicable_ms: The scope before exclusions.
        scope_ms: The scope without test, dispatch and grid.
        known_ms: The known part of the scope, own fault included.
        empty: The reason of a line whose applicable scope is empty.
        trouble: Status and reason that take the amount away although coverage is good.
        provisional: Why the month is provisional because of this line, gates apart.
        determinants: For debugging.
    """

    quantity: Fraction | None
    yuan: Fraction
    applicable_ms: int
    scope_ms: int
    known_ms: int
    empty: str = "no_scope"
    trouble: tuple[str, str] | None = None
    provisional: list[str] = field(default_factory=list)
    determinants: dict[str, Determinant] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """Scope and known time of one determinant, with its integral and the money of it."""

    service: str
    applicable_ms: int = 0
    scope_ms: int = 0
    known_ms: int = 0
    value: Fraction = Fraction(0)
    yuan: Fraction = Fraction(0)

    def admit(self, piece: Slice) -> bool:
        """Counts a slice of the scope; true where its conditions decide, false where an exclusion has decided."""
        self.applicable_ms += piece.length
        exclusion = piece.exclusion(self.service)
        if exclusion == OUTSIDE:
            return False
        self.scope_ms += piece.length
        if exclusion == FAULT:
            self.known_ms += piece.length  # known, also where values are missing, and unpaid (I-19)
            return False
        return True

    def add(self, piece: Slice, truth: Truth, rate: Fraction | None, yuan_per: Fraction) -> None:
        """Judges an admitted slice: known if false, or if true with its value; else missing.

        Args:
            rate: Quantity per hour, None where missing.
            yuan_per: Price of one unit of quantity.
        """
        if truth is False:
            self.known_ms += piece.length
        elif truth is True and rate is not None:
            self.known_ms += piece.length
            self.value += rate * piece.length / HOUR_MS
            self.yuan += rate * piece.length / HOUR_MS * yuan_per

    def join(self, other: Tally) -> None:
        """Adds the sums of other slices."""
        for name in ("applicable_ms", "scope_ms", "known_ms", "value", "yuan"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def measured(self, empty: str = "no_scope") -> Measured:
        """The tally as a measured service."""
        found = Measured(self.value, self.yuan, self.applicable_ms, self.scope_ms, self.known_ms, empty)
        found.determinants[self.service] = self.determinant()
        return found

    def determinant(self, value: Fraction | None = None) -> Determinant:
        """This tally for debugging, with another value if one is given."""
        shown = self.value if value is None else value
        return Determinant(value=shown, known_ms=self.known_ms, scope_ms=self.scope_ms)


def integrate(
    service: str,
    slices: Iterable[Slice],
    *,
    scope: Callable[[Slice, State], bool],
    truth: Callable[[Slice], Truth],
    rate: Callable[[Slice, State], Fraction | None],
    price: Callable[[State], Fraction],
) -> Tally:
    """A determinant that is a plain conjunction: its conditions and its value on each registered slice in scope."""
    tally = Tally(service)
    for piece in slices:
        if piece.state is None or not scope(piece, piece.state):
            continue
        if tally.admit(piece):
            tally.add(piece, truth(piece), rate(piece, piece.state), price(piece.state))
    return tally


def of_kind(state: State, kinds: frozenset[str] | None) -> bool:
    """Whether the unit's kind, in force then, can be paid the service."""
    return kinds is None or state.unit.kind in kinds
