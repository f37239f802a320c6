# SPDX-License-Identifier: GPL-3.0-or-later
"""A small statement made by hand: two plants in one area, one unit each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa

from collector.model.interval import Month
from collector.settlement.evidence import Traces
from collector.settlement.price.plants import compute_ledger
from collector.settlement.statement import (
    SEGMENT_SCHEMA,
    AreaRow,
    DeterminantRow,
    Finding,
    FormulaStep,
    Line,
    LineStatus,
    MonthStatus,
    PlantRow,
    PrimaryFrequencyRow,
    PrimaryFrequencyService,
    ReadingUse,
    RuleUse,
    Segments,
    Statement,
)

START_MS = 1_772_294_400_000  # 2026-03-01T00:00:00+08:00
RULE = RuleUse("deep_peak.price", "13(3)", "10", "yuan/MWh", "2009-01-01", "annual_plan")


def line(unit: str, service: str, amount: str | None, **changes: Any) -> Line:
    """A paid line of plant P1, or a blocked one where there is no amount."""
    made = Line(
        month="2026-03",
        area="shanghai",
        plant="P1",
        unit=unit,
        service=service,
        article="13(3)",
        quantity=Fraction(360),
        quantity_unit="MWh",
        coverage=Fraction(1),
        amount_yuan=None if amount is None else Decimal(amount),
        status=LineStatus.BLOCKED if amount is None else LineStatus.PAID,
        steps=(FormulaStep("deep_peak = 360 MWh × 10 元/MWh", Fraction(3600)),),
        rules=(RULE,),
    )
    return replace(made, **changes)


def segment_table() -> pa.Table:
    """An hour counted, an hour above the gate, 1.5 s without power."""
    rows = [
        (START_MS, START_MS + 3_600_000, "counted", "counted", 1_296_000_000_000),
        (START_MS + 3_600_000, START_MS + 7_200_000, "unpaid", "above_gate", 0),
        (START_MS + 7_200_000, START_MS + 7_201_500, "missing", "no_power", None),
    ]
    return pa.table(
        {
            "unit": pa.array(["U1"] * 3).dictionary_encode(),
            "service": pa.array(["deep_peak"] * 3).dictionary_encode(),
            "start": [row[0] for row in rows],
            "end": [row[1] for row in rows],
            "class": pa.array([row[2] for row in rows]).dictionary_encode(),
            "reason": pa.array([row[3] for row in rows]).dictionary_encode(),
            "value": pa.array([row[4] for row in rows], pa.int64()),
            "value_unit": pa.array(["MWh"] * 3).dictionary_encode(),
        },
        schema=SEGMENT_SCHEMA,
    )


def segments(table: pa.Table | None = None) -> Segments:
    """Segments that give one table."""

    def parts(_: frozenset[str] | None) -> Iterator[Callable[[], Traces]]:
        yield lambda: Traces(segment_table() if table is None else table)

    return Segments(parts)


def statement(**changes: Any) -> Statement:
    """3 600.00 yuan of P1, shared 1:2 with P2: 1 200.00 and 2 400.00."""
    plants = (
        PlantRow(
            "2026-03", "shanghai", "P1", Decimal("3600.00"), Decimal(100), Decimal("1200.00"), Decimal("2400.00"),
            MonthStatus.PROVISIONAL,
        ),
        PlantRow(
            "2026-03", "shanghai", "P2", Decimal("0.00"), Decimal(200), Decimal("2400.00"), Decimal("-2400.00"),
            MonthStatus.PROVISIONAL,
        ),
    )  # fmt: skip
    made = Statement(
        month="2026-03",
        status=MonthStatus.PROVISIONAL,
        lines=(
            line("U1", "deep_peak", "3600.00"),
            line("U1", "avc", None, reason="coverage", coverage=Fraction(1, 3), quantity=None),
        ),
        plants=plants,
        areas=(AreaRow("2026-03", "shanghai", "上海", Decimal("3600.00"), Decimal(300), MonthStatus.PROVISIONAL),),
        determinants=(
            DeterminantRow(
                "2026-03", "shanghai", "P1", "U1", "deep_peak", "energy", Fraction(360), "MWh",
                scope_ms=7_201_500, known_ms=7_200_000, counted_ms=3_600_000, excluded_ms=0, own_fault_ms=0,
            ),
        ),
        segments=segments(),
        primary_frequency=(
            PrimaryFrequencyRow("U1", START_MS, START_MS + 30_500, Fraction(1, 3), Fraction(2, 3), Fraction(1, 2)),
        ),
        primary_frequency_service=(PrimaryFrequencyService("U1", 3_600_000, 7_200_000),),
        ledger=tuple(compute_ledger(Month(2026, 3), plants)),
        left_on_table=(),
        findings=(Finding("coverage", "U1/avc", "coverage 33.33 % is below 50 %"),),
        readings=(ReadingUse("I-03", "13(3)", "from_lower_limit", "2009-01-01", "both gates", "两条线都须低于"),),
        policy={"hold_limit_s": Decimal(60)},
        rulebook_hash="ab" * 32,
        kernel_version="1",
        sources={"register.toml": "cd" * 32, "records/U1.csv": "ef" * 32},
    )  # fmt: skip
    return replace(made, **changes)
