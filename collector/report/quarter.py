# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of several months by settlement area and service: 补偿, 占比, 分摊 (a quarter's report).

分摊 of a service is the amount the plants paid for it: its compensation in the months that could be allocated (the
shares of an area sum to its compensation exactly, Art. 22). Months that are not final are named.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.report import words
from collector.report.numbers import format_amount, format_fraction
from collector.report.saved_statement import Saved

COLUMNS = ("months", "area", "service", "name", "compensation_yuan", "share", "allocation_yuan")


@dataclass(frozen=True, slots=True)
class ServiceSum:
    """The sums of a service in one area. `share`: its part of the area's compensation; None where that is zero."""

    area: str
    service: str
    compensation_yuan: Decimal
    share: Fraction | None
    allocation_yuan: Decimal


@dataclass(frozen=True, slots=True)
class Quarter:
    """The months reported, the ones that are not final, and the sums."""

    months: tuple[str, ...]
    open_months: tuple[str, ...]
    services: tuple[ServiceSum, ...]


def summarise(statements: Sequence[Saved]) -> Quarter:
    """Add months up.

    Raises:
        ConfigError: two statements are of the same month.
    """
    months = [saved.month for saved in statements]
    for index, saved in enumerate(statements):
        if saved.month in months[:index]:
            raise ConfigError(
                [
                    Problem(
                        str(saved.folder), 0, "", tr("{month} is there twice; give each month once", month=saved.month)
                    )
                ]
            )
    compensation: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    allocation: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for saved in statements:
        allocated = {area["area"] for area in saved.manifest["areas"] if area["status"] != "blocked"}
        for line in saved.lines:
            amount = Decimal(line["amount_yuan"] or "0")  # pending and blocked lines make the month not final
            compensation[line["area"], line["service"]] += amount
            allocation[line["area"], line["service"]] += amount if line["area"] in allocated else Decimal(0)
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for (area, _), amount in compensation.items():
        totals[area] += amount
    order = {service: place for place, service in enumerate(words.SERVICES)}
    sums = [
        ServiceSum(
            *key, amount, Fraction(amount) / Fraction(totals[key[0]]) if totals[key[0]] else None, allocation[key]
        )
        for key, amount in compensation.items()
    ]
    sums.sort(key=lambda s: (s.area, order.get(s.service, len(order)), s.service))
    unfinished = tuple(sorted(saved.month for saved in statements if saved.manifest["status"] != "final"))
    return Quarter(tuple(sorted(months)), unfinished, tuple(sums))


def quarter_csv(quarter: Quarter) -> bytes:
    """The table as CSV, UTF-8, line feeds."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for s in quarter.services:
        name = words.of(words.SERVICES, s.service)[0]
        amounts = (format_amount(s.compensation_yuan), format_fraction(s.share), format_amount(s.allocation_yuan))
        writer.writerow((" ".join(quarter.months), s.area, s.service, name, *amounts))
    return text.getvalue().encode()
