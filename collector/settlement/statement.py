# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 10, the statement of a month: its rows, and the identities that must hold between them. No file formats here.

Quantities and coverage are exact fractions, amounts are Decimal yuan with two decimals; collector/report decides how
many digits are shown. None means *not known* (pending, blocked, not delivered), never 0.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

import pyarrow as pa

from collector.base.errors import InvariantBroken
from collector.model.money import format_yuan


class LineStatus(StrEnum):
    """The status of a line (rules.md section 4)."""

    PAID = "paid"
    ZERO = "zero"
    PENDING = "pending"
    BLOCKED = "blocked"


class MonthStatus(StrEnum):
    """The status of a month, as shown on a plant's row."""

    FINAL = "final"
    PROVISIONAL = "provisional"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class RuleUse:
    """The citation of a rulebook row that priced a line: its value, first day and article."""

    id: str
    article: str
    value: str
    unit: str
    from_day: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a line's formula with the numbers put in, e.g. `deep_peak = 360 MWh × 50 元/MWh` = 18000."""

    text: str
    result: Fraction


@dataclass(frozen=True, slots=True)
class Line:
    """One unit × service × month. `low_yuan`, `high_yuan`: bounds where time is missing, else both None.

    `reason` is a code (empty where nothing needs saying), `steps` and `rules` explain the amount.
    """

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
    status: LineStatus
    reason: str = ""
    low_yuan: Decimal | None = None
    high_yuan: Decimal | None = None
    steps: tuple[Step, ...] = ()
    rules: tuple[RuleUse, ...] = ()


@dataclass(frozen=True, slots=True)
class PlantRow:
    """A plant in one settlement area. Amounts of allocation and net are None where the area is blocked."""

    month: str
    area: str
    plant: str
    compensation_yuan: Decimal
    revenue_yuan: Decimal | None
    allocation_yuan: Decimal | None
    net_yuan: Decimal | None
    status: MonthStatus
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AreaRow:
    """A settlement area: total compensation R, total revenue ΣF, and the reason if it is blocked."""

    month: str
    area: str
    name: str
    compensation_yuan: Decimal
    revenue_yuan: Decimal | None
    status: MonthStatus
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DeterminantRow:
    """The determinant of one unit and service. Times in ms; scope = known + missing; excluded time is not in scope."""

    month: str
    area: str
    plant: str
    unit: str
    service: str
    determinant: str
    value: Fraction | None
    value_unit: str
    scope_ms: int
    known_ms: int
    counted_ms: int
    excluded_ms: int
    own_fault_ms: int


class PrimaryFrequencyRow(NamedTuple):
    """One frequency excursion beyond the dead band; `ratio` None where theoretical energy is 0 or can't be judged."""

    unit: str
    start_ms: int
    end_ms: int
    actual_mwh: Fraction | None
    theoretical_mwh: Fraction | None
    ratio: Fraction | None


@dataclass(frozen=True, slots=True)
class PrimaryFrequencyService:
    """Hours on grid with primary frequency control in service, and on-grid hours where that is known (ms)."""

    unit: str
    in_service_ms: int
    known_on_grid_ms: int


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A posting of the books (Art. 20). `run` is empty here; the writer of a stored run fills it in."""

    month: str
    plant: str
    debit_yuan: Decimal
    credit_yuan: Decimal
    run: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding a reader must know. `provisional`: it keeps the month, in every area, from being final."""

    code: str
    subject: str
    message: str
    provisional: bool = True


@dataclass(frozen=True, slots=True)
class ReadingUse:
    """A reading of the text as adopted for this month; `text` and `text_zh` give the choice in English and Chinese.

    Runs stored before the Chinese text existed have none.
    """

    id: str
    clause: str
    adopted: str
    from_day: str
    text: str
    text_zh: str = ""


# Columns of a segment table; `class` is counted, unpaid, missing, excluded or own_fault; value in `value_unit`,
# a stored integer (kWms, kvarms, ms, count): divide by SEGMENT_VALUE_DIVISOR for MWh, Mvarh, h, count.
SEGMENT_SCHEMA = pa.schema(
    [
        ("unit", pa.dictionary(pa.int32(), pa.string())),
        ("service", pa.dictionary(pa.int32(), pa.string())),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("class", pa.dictionary(pa.int32(), pa.string())),
        ("reason", pa.dictionary(pa.int32(), pa.string())),
        ("value", pa.int64()),
        ("value_unit", pa.dictionary(pa.int32(), pa.string())),
    ]
)
SEGMENT_VALUE_DIVISOR: Mapping[str, int] = {"MWh": 3_600_000_000, "Mvarh": 3_600_000_000, "h": 3_600_000, "count": 1}


class Segments:
    """The segments of every determinant, built on request, some units at a time (they can be millions of rows)."""

    def __init__(self, parts: Callable[[frozenset[str] | None], Iterator[Callable[[], pa.Table]]]) -> None:
        self._parts = parts

    def parts(self, *, units: frozenset[str] | None = None) -> list[Callable[[], pa.Table]]:
        """Functions that make the tables, in order; they are independent and may run in parallel."""
        return list(self._parts(units))

    def tables(self, *, units: frozenset[str] | None = None) -> Iterator[pa.Table]:
        """Tables of SEGMENT_SCHEMA, sorted by unit, service, start; all units, or only those named."""
        for part in self.parts(units=units):
            table = part()
            if table.num_rows:
                yield table


@dataclass(frozen=True, slots=True)
class Statement:
    """The statement of a month from one run. `registered`: each unit's registered spans, [start, end) UTC ms."""

    month: str
    status: MonthStatus
    lines: tuple[Line, ...]
    plants: tuple[PlantRow, ...]
    areas: tuple[AreaRow, ...]
    determinants: tuple[DeterminantRow, ...]
    segments: Segments
    primary_frequency: tuple[PrimaryFrequencyRow, ...]
    primary_frequency_service: tuple[PrimaryFrequencyService, ...]
    ledger: tuple[LedgerRow, ...]
    findings: tuple[Finding, ...]
    readings: tuple[ReadingUse, ...]
    policy: Mapping[str, Decimal]
    rulebook_hash: str
    kernel_version: str
    sources: Mapping[str, str] = field(default_factory=dict)
    registered: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def result_hash(self) -> str:
        """SHA-256 over every line and plant row, for two parties to compare their results."""
        digest = hashlib.sha256()
        for line in self.lines:
            cells = (line.month, line.area, line.plant, line.unit, line.service, line.quantity, line.quantity_unit)
            money = "" if line.amount_yuan is None else format_yuan(line.amount_yuan)
            digest.update(repr((*map(str, cells), str(line.coverage), money, str(line.status), line.reason)).encode())
        for row in self.plants:
            amounts = (row.compensation_yuan, row.revenue_yuan, row.allocation_yuan, row.net_yuan)
            texts = ["" if a is None else format_yuan(a) for a in amounts]
            digest.update(repr((row.month, row.area, row.plant, *texts, str(row.status))).encode())
        return digest.hexdigest()


def check_identities(statement: Statement) -> None:
    """Check that totals are sums of lines, ΣA = R, ΣK = 0, the ledger balances (rules.md section 4; Art. 20, 22, 23).

    Raises:
        InvariantBroken: an identity does not hold; such a statement must not leave the program.
    """
    of_plant: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in statement.lines:
        if (line.amount_yuan is None) != (line.status in (LineStatus.PENDING, LineStatus.BLOCKED)):
            raise InvariantBroken(
                f"{line.status} with amount {line.amount_yuan}", subject=f"{line.unit}/{line.service}"
            )
        of_plant[line.area, line.plant] += line.amount_yuan or Decimal(0)
    rows: dict[str, list[PlantRow]] = defaultdict(list)
    for row in statement.plants:
        rows[row.area].append(row)
        if row.compensation_yuan != of_plant.pop((row.area, row.plant), Decimal(0)):
            raise InvariantBroken("compensation is not the sum of its lines", subject=f"{row.area}/{row.plant}")
    if any(of_plant.values()):
        raise InvariantBroken(f"lines of plants without a row: {sorted(of_plant)}", subject="plants")
    for area in statement.areas:
        total = sum((r.compensation_yuan for r in rows[area.area]), Decimal(0))
        if total != area.compensation_yuan:
            raise InvariantBroken("total is not the sum of its plants", subject=area.area)
        if area.status is MonthStatus.BLOCKED:
            continue
        if sum((r.allocation_yuan or Decimal(0) for r in rows[area.area]), Decimal(0)) != total:
            raise InvariantBroken("the shares do not sum to the whole", subject=area.area)
        if sum((r.net_yuan or Decimal(0) for r in rows[area.area]), Decimal(0)):
            raise InvariantBroken("the net amounts do not sum to zero", subject=area.area)
    if sum((r.debit_yuan - r.credit_yuan for r in statement.ledger), Decimal(0)):
        raise InvariantBroken("the postings do not balance", subject="ledger")
