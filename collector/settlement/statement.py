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
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple

import pyarrow as pa

from collector.base.errors import InvariantBroken
from collector.base.text import Text, both, full_width, tr
from collector.model.interval import Interval, Month
from collector.model.money import format_yuan
from collector.settlement.evidence import Traces, joined

RESULT_HASH_VERSION: Final = 2  # 1: without bounds and without what is provisional


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
class FormulaStep:
    """One step of a line's formula with the numbers put in, e.g. `deep_peak = 360 MWh × 50 元/MWh` = 18000."""

    text: str
    result: Fraction


@dataclass(frozen=True, slots=True)
class Line:
    """One unit × service × month × area × plant: a unit that changes area or plant has a line for each part.

    `low_yuan`, `high_yuan`: bounds where time is missing, else both None; only `low_yuan`: there is no upper bound.
    `provisional`: the line keeps its area from being final. `reason` is a code (empty where nothing needs saying),
    `steps` and `rules` explain the amount.
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
    provisional: bool = False
    steps: tuple[FormulaStep, ...] = ()
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
    """A settlement area: total compensation R, total revenue ΣF, and the reason if it is blocked.

    `plants`: the plants the reason is about, as those that lack a revenue row.
    """

    month: str
    area: str
    name: str
    compensation_yuan: Decimal
    revenue_yuan: Decimal | None
    status: MonthStatus
    reason: str = ""
    plants: tuple[str, ...] = ()


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
    """A posting of the books (Art. 20), numbered by `entry` from 1. `plant` is empty on the side of the area's pool."""

    entry: int
    month: str
    area: str
    plant: str
    debit_yuan: Decimal
    credit_yuan: Decimal


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding a reader must know. `provisional`: it keeps `areas` from being final; none named: every area.

    `message`: a text in both languages (base/text.py). `first_ms`, `last_ms`, `count`: of what was found, UTC ms.
    """

    code: str
    subject: str
    message: str
    provisional: bool = True
    areas: tuple[str, ...] = ()
    first_ms: int | None = None
    last_ms: int | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class LeftRow:
    """The yuan that a line would have earned more without one reason, taken alone (rules.md section 6).

    `duration_ms` is None if the reason is not a time; `amount_yuan` is None if no amount is assumed. `assumption` is in
    both languages.
    """

    area: str
    plant: str
    unit: str
    service: str
    reason: str
    duration_ms: int | None
    amount_yuan: Decimal | None
    assumption: str


class StartStopEvidence(NamedTuple):
    """A stop and restart of an order, or why it has none (start_stops.csv); times in UTC ms, None where only possible.

    The breaker opened in [stopped_from, stopped_to] and closed in [started_from, started_to].
    """

    order: str
    unit: str
    service: str
    stopped_from_ms: int | None
    stopped_to_ms: int | None
    started_from_ms: int | None
    started_to_ms: int | None
    gap_ms: int | None
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class YesterdayRow:
    """The change of a line by the last day before the cut: the month to the cut minus the month to a day earlier.

    An amount is None where the line has none. `estimate`: the change comes from an estimate, not from that day alone.
    """

    area: str
    plant: str
    unit: str
    service: str
    before_yuan: Decimal | None
    now_yuan: Decimal | None
    change_yuan: Decimal | None
    estimate: bool


@dataclass(frozen=True, slots=True)
class Running:
    """The cut of a month that is still running (rules.md section 6), UTC ms: every scope ends there.

    `revenue_month`: the month whose revenue stands in for this month's; empty where its own was delivered.
    """

    cut_ms: int
    elapsed_days: int
    revenue_month: str
    yesterday: tuple[YesterdayRow, ...]


class MeterVerdict(StrEnum):
    """The verdict of a day; the later ones go before the earlier ones."""

    AGREES = "agrees"
    CHANGED = "changed"
    DIFFERS = "differs"
    RAN_BACK = "ran_back"
    NOT_COMPARED = "not_compared"


@dataclass(frozen=True, slots=True)
class MeterDay:
    """A registered day of a unit that has a meter. Energies in MWh, None where there is none to compare.

    `difference_ratio`: |telemetry − meter| ÷ meter, None also where the meter stood still. `reason`: why a day was not
    compared (no_reading, hole), or `differs` where the register ran back and the rest of the day differs too.
    `ran_back_ms`: the ends of the first and the last piece over which it did.
    """

    unit: str
    day: date
    telemetry_mwh: Fraction | None
    meter_mwh: Fraction | None
    difference_ratio: Fraction | None
    verdict: MeterVerdict
    reason: str = ""
    ran_back_ms: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ReserveStatistic:
    """Reserve of an area over [start, end), or with `unit` a call of its reserve, whose `start_ms` is the call; kW.

    None: not known, or of the other kind of row. `arrived_ms`: when the output had first risen by `power_kw`.
    """

    area: str
    start_ms: int
    end_ms: int | None = None
    planned_kw: int | None = None
    minimum_kw: int | None = None
    unit: str = ""
    kind: str = ""
    power_kw: int | None = None
    arrived_ms: int | None = None

    @property
    def below(self) -> bool | None:
        """Whether less was planned than the least reserve of the area (Art. 10(2))."""
        return None if self.planned_kw is None or self.minimum_kw is None else self.planned_kw < self.minimum_kw


@dataclass(frozen=True, slots=True)
class ReadingUse:
    """A reading of the text as adopted for this month.

    `text` and `text_zh` give the choice in English and Chinese, `question` and `question_zh` what it answers: "no" says
    nothing without. Runs stored before a text existed have none.
    """

    id: str
    clause: str
    adopted: str
    from_day: str
    text: str
    text_zh: str = ""
    question: str = ""
    question_zh: str = ""

    @property
    def told(self) -> Text:
        """The question and its answer."""
        english, chinese = self.text, self.text_zh or self.text
        if self.question and self.question_zh:
            english, chinese = f"{self.question} {english}", f"{self.question_zh.replace('?', '？')}{chinese}"
        return both(english, full_width(chinese))


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
    """The segments of every determinant and the evidence beside them, built on request, some units at a time.

    They can be millions of rows.
    """

    def __init__(self, parts: Callable[[frozenset[str] | None], Iterator[Callable[[], Traces]]]) -> None:
        self._parts = parts

    def parts(self, *, units: frozenset[str] | None = None) -> list[Callable[[], Traces]]:
        """Functions that make the tables, in order; they are independent and may run in parallel."""
        return list(self._parts(units))

    def tables(self, *, units: frozenset[str] | None = None) -> Iterator[pa.Table]:
        """Tables of SEGMENT_SCHEMA, sorted by unit, service, start; all units, or only those named."""
        for part in self.parts(units=units):
            table = part().segments
            if table.num_rows:
                yield table

    def evidence(self, name: str, *, units: frozenset[str] | None = None) -> pa.Table:
        """An evidence table (settlement/evidence.py) of all units, or only of those named."""
        parts = [part().evidence for part in self.parts(units=units)]
        return joined(name, (tables[name] for tables in parts if name in tables))


class PlaceSpan(NamedTuple):
    """[start, end) UTC ms in which a unit is registered in an area, with a plant."""

    start_ms: int
    end_ms: int
    area: str
    plant: str


@dataclass(frozen=True)
class Statement:
    """The statement of a month from one run. `registered`: each unit's registered spans, [start, end) UTC ms.

    `running`: the month is not over, or was settled as if it were not; such a statement is never final. `formulas`: the
    services that the rulebook adds, each with the one whose formula it is paid by.
    """

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
    left_on_table: tuple[LeftRow, ...]
    findings: tuple[Finding, ...]
    readings: tuple[ReadingUse, ...]
    policy: Mapping[str, Decimal]
    rulebook_hash: str
    kernel_version: str
    sources: Mapping[str, str] = field(default_factory=dict)
    registered: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    meter_days: tuple[MeterDay, ...] = ()
    running: Running | None = None
    start_stops: tuple[StartStopEvidence, ...] = ()
    reserve_statistics: tuple[ReserveStatistic, ...] = ()
    formulas: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, tuple[PlaceSpan, ...]] = field(default_factory=dict)  # of each unit, in order of time

    def formula_of(self, service: str) -> str:
        """The service by whose formula another one is paid: most by their own."""
        return self.formulas.get(service, service)

    @property
    def span(self) -> Interval:
        """The time the statement is about: the month, or its part before the cut."""
        month = Month.parse(self.month).interval
        return month if self.running is None else Interval(month.start_ms, self.running.cut_ms)

    def result_hash(self) -> str:
        """SHA-256 over every line and plant row, for two parties to compare their results (RESULT_HASH_VERSION)."""
        digest = hashlib.sha256()
        for line in self.lines:
            cells = (line.month, line.area, line.plant, line.unit, line.service, line.quantity, line.quantity_unit)
            money = "" if line.amount_yuan is None else format_yuan(line.amount_yuan)
            bounds = ["" if a is None else format_yuan(a) for a in (line.low_yuan, line.high_yuan)]
            told = (str(line.coverage), money, str(line.status), line.reason, *bounds, line.provisional)
            digest.update(repr((*map(str, cells), *told)).encode())
        for row in self.plants:
            amounts = (row.compensation_yuan, row.revenue_yuan, row.allocation_yuan, row.net_yuan)
            texts = ["" if a is None else format_yuan(a) for a in amounts]
            digest.update(repr((row.month, row.area, row.plant, *texts, str(row.status))).encode())
        return digest.hexdigest()


def check_identities(statement: Statement) -> None:
    """Check that totals are sums of lines, ΣA = R, ΣK = 0, each pool sums to 0 (rules.md section 4; Art. 20, 22, 23).

    Raises:
        InvariantBroken: an identity does not hold; such a statement must not leave the program.
    """
    of_plant: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in statement.lines:
        if (line.amount_yuan is None) != (line.status in (LineStatus.PENDING, LineStatus.BLOCKED)):
            raise InvariantBroken(
                tr("{status} with amount {amount}", status=line.status, amount=line.amount_yuan),
                subject=f"{line.unit}/{line.service}",
            )
        of_plant[line.area, line.plant] += line.amount_yuan or Decimal(0)
    rows: dict[str, list[PlantRow]] = defaultdict(list)
    for row in statement.plants:
        rows[row.area].append(row)
        if row.compensation_yuan != of_plant.pop((row.area, row.plant), Decimal(0)):
            raise InvariantBroken(tr("compensation is not the sum of its lines"), subject=f"{row.area}/{row.plant}")
    if any(of_plant.values()):
        raise InvariantBroken(tr("lines of plants without a row: {plants}", plants=sorted(of_plant)), subject="plants")
    for area in statement.areas:
        total = sum((r.compensation_yuan for r in rows[area.area]), Decimal(0))
        if total != area.compensation_yuan:
            raise InvariantBroken(tr("total is not the sum of its plants"), subject=area.area)
        if area.status is MonthStatus.BLOCKED:
            continue
        if sum((r.allocation_yuan or Decimal(0) for r in rows[area.area]), Decimal(0)) != total:
            raise InvariantBroken(tr("the shares do not sum to the whole"), subject=area.area)
        if sum((r.net_yuan or Decimal(0) for r in rows[area.area]), Decimal(0)):
            raise InvariantBroken(tr("the net amounts do not sum to zero"), subject=area.area)
    if statement.running is not None:
        if statement.ledger or MonthStatus.FINAL in {area.status for area in statement.areas}:
            raise InvariantBroken(tr("a running month posts nothing and is never final"), subject="ledger")
        return
    balance: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for posting in statement.ledger:
        balance[posting.area, posting.plant] += posting.credit_yuan - posting.debit_yuan
    for row in statement.plants:
        balance[row.area, row.plant] -= row.net_yuan or Decimal(0)
    if wrong := sorted(key for key, rest in balance.items() if rest):
        raise InvariantBroken(
            tr("the postings of {wrong} are not net amounts, or a pool is not 0", wrong=wrong), subject="ledger"
        )
