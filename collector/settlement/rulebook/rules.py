# SPDX-License-Identifier: GPL-3.0-or-later
"""The rulebook in memory: dated values, services and readings, with look-up by day.

A row holds from its day until the next row of the same key and area, or until its own `until_day`. A row that names
an area is an exception to the rows that name none and wins for that area while it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import cached_property

from collector.base.errors import RuleError
from collector.base.text import tr
from collector.settlement.rulebook.catalogue import AREA, CALENDAR_VALUES, INPUT_VALUES


class RuleState(StrEnum):
    """The state of a row: `expected` is announced and changes nothing yet; `unknown` leaves lines pending."""

    IN_FORCE = "in_force"
    EXPECTED = "expected"
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One dated row of a value. `value` is None exactly where the state is ended or unknown."""

    value: Decimal | None
    from_day: date
    state: RuleState
    cite: str
    key: str = ""
    area: str = ""
    until_day: date | None = None
    placeholder: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class RuleValue:
    """A value of the law: id, unit, its article, its key, its rows."""

    id: str
    unit: str
    article: str
    key: str
    rows: tuple[RuleRow, ...]
    file: str


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A dated row of a service: first day, area (empty: all), and the settlement factor of its amounts."""

    from_day: date
    state: RuleState
    factor: Decimal
    cite: str
    area: str = ""
    until_day: date | None = None
    placeholder: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of rules.md section 1, or one that the rulebook adds. `unit_kinds`: the kinds of unit paid for it.

    `formula`: of an added one, the service whose formula it is paid by, with its own price. `title` is Chinese.
    """

    id: str
    article: str
    title: str
    quantity_unit: str
    unit_kinds: frozenset[str]
    rows: tuple[ServiceRow, ...]
    file: str
    formula: str = ""
    title_en: str = ""


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """A dated row of a reading: the choice adopted from a day on."""

    adopted: str
    from_day: date
    cite: str
    placeholder: bool = False


@dataclass(frozen=True, slots=True)
class RuleReading:
    """An open point of the text and the choices it leaves, in English and (`_zh`) in Chinese."""

    id: str
    clause: str
    question: str
    choices: Mapping[str, str]
    question_zh: str
    choices_zh: Mapping[str, str]
    rows: tuple[ReadingRow, ...]


@dataclass(frozen=True, slots=True)
class Area:
    """A settlement area (Art. 6(2), 21) and the names it is shown by, in English and (`_zh`) in Chinese."""

    id: str
    name: str
    name_zh: str


@dataclass(frozen=True)
class Rulebook:
    """All areas, values, services and readings of one rule. `hash`: SHA-256 over its files' names and bytes."""

    id: str
    title: str
    values: Mapping[str, RuleValue]
    services: Mapping[str, Service]
    readings: Mapping[str, RuleReading]
    areas: Mapping[str, Area]
    hash: str

    @cached_property
    def formulas(self) -> Mapping[str, str]:
        """The services that the rulebook adds, each with the one whose formula it is paid by; most add none."""
        return {service.id: service.formula for service in self.services.values() if service.formula}

    def row(self, value_id: str, day: date, *, area: str = "", key: str = "") -> RuleRow:
        """The row of a value that holds on a local day for an area and key.

        Raises:
            RuleError: no row holds on that day.
        """
        value = self.values[value_id]
        wanted = area if value.key == AREA else key
        exception: RuleRow | None = None
        general: RuleRow | None = None
        for row in value.rows:  # in order of from_day, so the last that fits is in force
            if row.key != wanted or row.state is RuleState.EXPECTED or not _holds(row.from_day, row.until_day, day):
                continue
            if row.area and row.area == area:
                exception = row
            elif not row.area:
                general = row
        found = exception or general
        if found is None:
            raise RuleError(
                tr(
                    "no row holds on {day} for key {wanted}, area {area}",
                    day=day,
                    wanted=wanted or "-",
                    area=area or "-",
                ),
                subject=value_id,
            )
        return found

    def value(self, value_id: str, day: date, *, area: str = "", key: str = "") -> Fraction | None:
        """The exact value on a day; None where it is unknown or ended (the row says which)."""
        row = self.row(value_id, day, area=area, key=key)
        return None if row.value is None else Fraction(row.value)

    def number(self, value_id: str, day: date, *, area: str = "", key: str = "") -> Fraction:
        """The exact value on a day, for measuring, which needs one.

        Raises:
            RuleError: the value is unknown or ended on that day.
        """
        value = self.value(value_id, day, area=area, key=key)
        if value is None:
            raise RuleError(tr("measuring needs it, but it is not in force on {day}", day=day), subject=value_id)
        return value

    def service_row(self, service: str, day: date, area: str) -> ServiceRow | None:
        """The row of a service in force on a day in an area; None: it is not paid then."""
        exception: ServiceRow | None = None
        general: ServiceRow | None = None
        for row in self.services[service].rows:
            if row.state is RuleState.EXPECTED or not _holds(row.from_day, row.until_day, day):
                continue
            if row.area and row.area == area:
                exception = row
            elif not row.area:
                general = row
        found = exception or general
        return None if found is None or found.state is RuleState.ENDED else found

    def pays(self, service: str, kind: str, day: date, area: str) -> bool:
        """Whether a service is paid to a kind of unit on a day in an area, or may be (its state is unknown)."""
        return kind in self.services[service].unit_kinds and self.service_row(service, day, area) is not None

    def adopted(self, reading: str, day: date) -> str:
        """The choice of a reading adopted on a day.

        Raises:
            RuleError: none is adopted on that day.
        """
        return self.reading_row(reading, day).adopted

    def reading_row(self, reading: str, day: date) -> ReadingRow:
        """The row of a reading that holds on a day.

        Raises:
            RuleError: none is adopted on that day.
        """
        found = [row for row in self.readings[reading].rows if row.from_day <= day]
        if not found:
            raise RuleError(tr("no choice is adopted on {day}", day=day), subject=reading)
        return found[-1]

    def change_days(self) -> frozenset[date]:
        """Every local day on which a value that money needs, or a service's state, begins or ends."""
        aside = CALENDAR_VALUES.keys() | INPUT_VALUES.keys()
        values = [value for value in self.values.values() if value.id not in aside]
        rows: list[RuleRow | ServiceRow] = [row for value in values for row in value.rows]
        rows += [row for service in self.services.values() for row in service.rows]
        days = {row.from_day for row in rows}
        return frozenset(days | {row.until_day for row in rows if row.until_day is not None})


def _holds(from_day: date, until_day: date | None, day: date) -> bool:
    return from_day <= day and (until_day is None or day < until_day)
