# SPDX-License-Identifier: GPL-3.0-or-later
"""The areas, services, values and readings that the files of a rulebook declare, checked against the catalogue."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Final

from collector.base.text import tr
from collector.model.register import UnitKind
from collector.settlement.rulebook.catalogue import (
    AREA,
    CALENDAR_DAYS,
    CALENDAR_VALUES,
    FORMULAS,
    INPUT_VALUES,
    KEY_DOMAINS,
    READINGS,
    REFUSED,
    SERVICES,
    VALUES,
    ValueSpec,
)
from collector.settlement.rulebook.rules import (
    Area,
    ReadingRow,
    RuleReading,
    RuleRow,
    RuleState,
    RuleValue,
    Service,
    ServiceRow,
)
from collector.settlement.rulebook.toml_keys import Table, TomlKeys

_FILE_KEYS: Final = frozenset({"article", "title", "area", "service", "value", "reading", "revise"})
_AREA_KEYS: Final = frozenset({"id", "name", "name_zh"})
_SPECS: Final = {**VALUES, **INPUT_VALUES, **CALENDAR_VALUES}
_VALUE_KEYS: Final = frozenset({"id", "unit", "key", "clause", "note", "row"})
_ROW_KEYS: Final = frozenset({"value", "from", "until", "state", "cite", "area", "placeholder", "note"})
_SERVICE_KEYS: Final = frozenset({"id", "clause", "title", "quantity_unit", "unit_kinds", "row"})
_ADDED_KEYS: Final = frozenset({"formula", "title_en"})  # of a service that the rulebook adds
_SERVICE_ID: Final = re.compile(r"[a-z][a-z0-9_]{2,39}")
_SERVICE_ROW_KEYS: Final = frozenset({"from", "until", "state", "cite", "area", "factor", "placeholder", "note"})
_READING_KEYS: Final = frozenset({"id", "clause", "question", "choices", "question_zh", "choices_zh", "row"})
_READING_ROW_KEYS: Final = frozenset({"adopted", "from", "cite", "placeholder", "note"})


class Declarations(TomlKeys):
    """The rows of all files, and every problem found in them."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, RuleValue] = {}
        self.services: dict[str, Service] = {}
        self.readings: dict[str, RuleReading] = {}
        self.areas: dict[str, Area] = {}
        self.added: dict[str, str] = {}  # services of the rulebook's own, each with the one whose formula it has

    def announce(self, file: str, table: Table) -> None:
        """Take what the rows of all files may name: areas, and the services that the rulebook adds."""
        for item in table.get("service", ()) if isinstance(table.get("service"), list) else ():
            if isinstance(item, dict) and item.get("id") not in SERVICES and item.get("formula") in FORMULAS:
                self.added[str(item.get("id"))] = item["formula"]
        for item in self.tables(file, "", table, "area"):
            ident, name, name_zh = (self.text(file, "area", item, key) for key in ("id", "name", "name_zh"))
            self.known(file, f"area[{ident}]", item, _AREA_KEYS)
            if ident in self.areas:
                self.problem(file, f"area[{ident}]", tr("is there twice; keep one"))
            elif ident:
                self.areas[ident] = Area(ident, name, name_zh)

    def revise(self, file: str, table: Table, tables: Iterable[Table]) -> None:
        """Append the rows of each [[revise]] to the value, service or reading of its id, wherever that is declared."""
        declared = [
            item for other in tables for kind in ("value", "service", "reading") for item in other.get(kind, ())
        ]
        for item in self.tables(file, "", table, "revise"):
            ident = self.text(file, "revise", item, "id")
            self.known(file, f"revise[{ident}]", item, {"id", "row"})
            found = [other for other in declared if isinstance(other, dict) and other.get("id") == ident]
            if not found:
                self.problem(file, f"revise[{ident}]", tr("nothing with this id is declared"))
            for other in found[:1]:
                other["row"] = [*other.get("row", []), *self.tables(file, f"revise[{ident}]", item, "row")]

    def members(self, key: str) -> tuple[str, ...]:
        """The members of a key."""
        return tuple(self.areas) if key == AREA else KEY_DOMAINS[key]

    def file(self, file: str, table: Table) -> None:
        self.known(file, "", table, _FILE_KEYS)
        article = self.text(file, "", table, "article")
        readers: dict[str, Callable[[str, str, str, Table], None]] = {
            "service": self.service,
            "value": self.value,
            "reading": self.reading,
        }
        for kind, read in readers.items():
            for item in self.tables(file, "", table, kind):
                ident = self.text(file, kind, item, "id")
                if ident:
                    read(file, article, ident, item)

    def state(self, file: str, place: str, table: Table) -> RuleState:
        found = table.get("state", "")
        if found not in tuple(RuleState):
            self.problem(
                file,
                f"{place}.state",
                tr("expected one of {names}, got {found!r}", names=", ".join(RuleState), found=found),
            )
            return RuleState.UNKNOWN
        return RuleState(found)

    def area(self, file: str, place: str, table: Table) -> str:
        found = table.get("area", "")
        if found and found not in self.areas:
            self.problem(
                file,
                f"{place}.area",
                tr("expected one of {names}, got {found!r}", names=", ".join(self.areas), found=found),
            )
        return str(found)

    def specs(self) -> dict[str, ValueSpec]:
        """The values that the computation reads, including the price of each service that the rulebook adds."""
        own = {f"{ident}.price": _SPECS[f"{formula}.price"] for ident, formula in self.added.items()}
        return {**_SPECS, **own}

    def value(self, file: str, article: str, ident: str, item: Table) -> None:
        place, specs = ident, self.specs()
        self.known(file, place, item, _VALUE_KEYS)
        spec = specs.get(ident)
        if spec is None:
            near = difflib.get_close_matches(ident, list(specs), 1)
            self.problem(
                file,
                place,
                tr("nothing reads this value") + (tr("; did you mean {near!r}?", near=near[0]) if near else ""),
            )
            return
        if item.get("unit") != spec.unit:
            self.problem(
                file, f"{place}.unit", tr("expected {unit!r}, got {value!r}", unit=spec.unit, value=item.get("unit"))
            )
        if item.get("key", "") != spec.key:
            self.problem(
                file, f"{place}.key", tr("expected {key!r}, got {value!r}", key=spec.key, value=item.get("key", ""))
            )
        if ident in self.values:
            self.problem(file, place, tr("declared twice, first in {file}", file=self.values[ident].file))
            return
        rows: list[RuleRow] = []
        for number, table in enumerate(self.tables(file, place, item, "row"), 1):
            rows += self.value_rows(file, f"{place}.row[{number}]", table, spec)
            if ident in CALENDAR_VALUES:
                self.whole_days(file, f"{place}.row[{number}]", table)
        rows.sort(key=lambda row: row.from_day)
        self.spans(file, place, [((row.key, row.area), row.from_day, row.until_day, row.state) for row in rows])
        for member in self.members(spec.key) if spec.key else ("",):
            if not any(row.key == member and not row.area for row in rows):
                self.problem(
                    file,
                    place,
                    tr("no row for {key} {member!r}", key=spec.key, member=member) if member else tr("no row"),
                )
        clause = str(item.get("clause", article))
        self.values[ident] = RuleValue(ident, spec.unit, clause, spec.key, tuple(rows), file)

    def value_rows(self, file: str, place: str, table: Table, spec: ValueSpec) -> list[RuleRow]:
        """The rows of one table; its key may be a list of members that have the same value."""
        key = spec.key
        self.known(file, place, table, _ROW_KEYS | ({key} if key else set()))
        from_day = self.day(file, place, table, "from", required=True)
        until = self.day(file, place, table, "until", required=False)
        state, cite = self.state(file, place, table), self.text(file, place, table, "cite")
        value = None
        if state in (RuleState.IN_FORCE, RuleState.EXPECTED):
            value = self.decimal(file, f"{place}.value", table.get("value"))
            self.not_negative(file, f"{place}.value", value)
            if spec.share and value is not None and value > 1:
                self.problem(file, f"{place}.value", tr("{raw} is no ratio: expected 0 to 1, not percent", raw=value))
        elif "value" in table:
            self.problem(file, f"{place}.value", tr("a row that is {state} has no value", state=state))
        members: list[str] = [""]
        if key:
            found = table.get(key)
            members = found if isinstance(found, list) else [str(found)]
            for member in members:
                if member not in self.members(key):
                    expected = ", ".join(self.members(key))
                    self.problem(
                        file,
                        f"{place}.{key}",
                        tr("expected one of {expected}, got {member!r}", expected=expected, member=member),
                    )
        # A value keyed by area names the area as its key; any other value may have an exception for an area.
        area = "" if key == "area" else self.area(file, place, table)
        mark, note = bool(table.get("placeholder", False)), str(table.get("note", ""))
        if from_day is None:
            return []
        return [RuleRow(value, from_day, state, cite, m, area, until, mark, note) for m in members]

    def not_negative(self, file: str, place: str, value: Decimal | None) -> None:
        """Check a number of the rule: by none below 0 could anything be measured or paid."""
        if value is not None and value < 0:
            self.problem(file, place, tr("{raw} is below 0", raw=value))

    def whole_days(self, file: str, place: str, table: Table) -> None:
        """Check a row of the calendar: a day of a month or a number of working days, for all areas."""
        found = table.get("value")
        if isinstance(found, str) and found not in map(str, CALENDAR_DAYS):
            first, last = CALENDAR_DAYS[0], CALENDAR_DAYS[-1]
            self.problem(
                file,
                f"{place}.value",
                tr(
                    "expected a whole number from {first} to {last}, got {found!r}", first=first, last=last, found=found
                ),
            )
        if "area" in table:
            self.problem(file, f"{place}.area", tr("the calendar is the same for all areas"))

    def spans(self, file: str, place: str, rows: list[tuple[tuple[str, str], date, date | None, RuleState]]) -> None:
        """Find duplicates, overlaps and gaps among the rows of one key and area, given in order of first day."""
        groups: dict[tuple[str, str], list[tuple[date, date | None]]] = defaultdict(list)
        for key, start, until, state in rows:
            if until is not None and until <= start:
                self.problem(
                    file, place, tr("the row from {start} ends on {until}, before it begins", start=start, until=until)
                )
            if state is not RuleState.EXPECTED:
                groups[key].append((start, until))
        for (key_name, area), spans in groups.items():
            of = tr(" of {name}", name=key_name or area) if key_name or area else ""
            for (start, until), (following, _) in pairwise(spans):
                if start == following:
                    self.problem(file, place, tr("duplicate rows{of} from {start}", of=of, start=start))
                elif until is not None and until > following:
                    self.problem(
                        file,
                        place,
                        tr("rows{of} overlap from {following} to {until}", of=of, following=following, until=until),
                    )
                elif until is not None and until < following and not area:
                    self.problem(
                        file,
                        place,
                        tr("gap between rows{of} from {until} to {following}", of=of, until=until, following=following),
                    )

    def service(self, file: str, article: str, ident: str, item: Table) -> None:
        formula = title_en = ""
        if ident in SERVICES:
            self.known(file, ident, item, _SERVICE_KEYS)
        else:
            self.known(file, ident, item, _SERVICE_KEYS | _ADDED_KEYS)
            if not self.can_be_added(file, ident, item):
                return
            formula, title_en = self.added[ident], self.text(file, ident, item, "title_en")
        if ident in self.services:
            self.problem(file, ident, tr("declared twice, first in {file}", file=self.services[ident].file))
            return
        kinds = item.get("unit_kinds", [])
        for kind in kinds:
            if kind not in tuple(UnitKind):
                self.problem(
                    file,
                    f"{ident}.unit_kinds",
                    tr("expected some of {names}, got {kind!r}", names=", ".join(UnitKind), kind=kind),
                )
        rows: list[ServiceRow] = []
        for number, table in enumerate(self.tables(file, ident, item, "row"), 1):
            place = f"{ident}.row[{number}]"
            self.known(file, place, table, _SERVICE_ROW_KEYS)
            from_day = self.day(file, place, table, "from", required=True)
            until = self.day(file, place, table, "until", required=False)
            factor = self.decimal(file, f"{place}.factor", table.get("factor", "1"))
            self.not_negative(file, f"{place}.factor", factor)
            state, cite, area = self.state(file, place, table), self.text(file, place, table, "cite"), ""
            area = self.area(file, place, table)
            mark, note = bool(table.get("placeholder", False)), str(table.get("note", ""))
            if from_day is not None and factor is not None:
                rows.append(ServiceRow(from_day, state, factor, cite, area, until, mark, note))
        rows.sort(key=lambda row: row.from_day)
        self.spans(file, ident, [(("", row.area), row.from_day, row.until_day, row.state) for row in rows])
        if not any(not row.area for row in rows):
            self.problem(file, ident, tr("no row that holds for all areas"))
        title, unit = self.text(file, ident, item, "title"), self.text(file, ident, item, "quantity_unit")
        clause = str(item.get("clause", article))
        kinds = frozenset(kinds)
        self.services[ident] = Service(ident, clause, title, unit, kinds, tuple(rows), file, formula, title_en)

    def can_be_added(self, file: str, ident: str, item: Table) -> bool:
        """Whether a service that the program does not know can be paid: by the formula of one that it knows."""
        if "formula" not in item:
            names = ", ".join(SERVICES)
            told = tr(
                "no such service; known: {names}. One of the rulebook's own names its formula: {formulas}",
                names=names,
                formulas=", ".join(FORMULAS),
            )
            self.problem(file, ident, told)
        elif item["formula"] not in FORMULAS:
            self.problem(
                file,
                f"{ident}.formula",
                tr("expected one of {names}, got {found!r}", names=", ".join(FORMULAS), found=item["formula"]),
            )
        elif not _SERVICE_ID.fullmatch(ident):
            self.problem(file, ident, tr("expected small letters, digits and _, 3 to 40 of them"))
        else:
            return True
        return False

    def reading(self, file: str, article: str, ident: str, item: Table) -> None:
        self.known(file, ident, item, _READING_KEYS)
        if ident not in READINGS:
            self.problem(file, ident, tr("no such reading; known: {names}", names=", ".join(READINGS)))
            return
        if ident in self.readings:
            self.problem(file, ident, tr("declared twice"))
            return
        rows: list[ReadingRow] = []
        for number, table in enumerate(self.tables(file, ident, item, "row"), 1):
            place = f"{ident}.row[{number}]"
            self.known(file, place, table, _READING_ROW_KEYS)
            from_day = self.day(file, place, table, "from", required=True)
            adopted, cite = self.text(file, place, table, "adopted"), self.text(file, place, table, "cite")
            if refused := REFUSED.get(ident, {}).get(adopted):
                self.problem(file, f"{place}.adopted", tr("can't be adopted: {why}", why=refused))
            elif adopted not in READINGS[ident]:
                self.problem(file, f"{place}.adopted", tr("expected one of {names}", names=", ".join(READINGS[ident])))
            if from_day is not None and from_day.day != 1:
                self.problem(file, f"{place}.from", tr("a reading changes with a month, on its first day"))
            if from_day is not None:
                rows.append(ReadingRow(adopted, from_day, cite, bool(table.get("placeholder", False))))
        rows.sort(key=lambda row: row.from_day)
        self.spans(file, ident, [(("", ""), row.from_day, None, RuleState.IN_FORCE) for row in rows])
        if not rows:
            self.problem(file, ident, tr("no row: which choice is adopted, from when?"))
        question, question_zh = self.text(file, ident, item, "question"), self.text(file, ident, item, "question_zh")
        choices, choices_zh = self.choices(file, ident, item, "choices"), self.choices(file, ident, item, "choices_zh")
        clause = str(item.get("clause", article))
        self.readings[ident] = RuleReading(ident, clause, question, choices, question_zh, choices_zh, tuple(rows))

    def choices(self, file: str, ident: str, item: Table, key: str) -> dict[str, str]:
        """The text of every choice of a reading, in the language of `key`."""
        found = item.get(key, {})
        if not isinstance(found, dict) or set(found) != set(READINGS[ident]):
            self.problem(
                file,
                f"{ident}.{key}",
                tr("expected {names}, got {found!r}", names=", ".join(READINGS[ident]), found=found),
            )
            return {}
        return {name: self.text(file, f"{ident}.{key}", found, name) for name in found}

    def complete(self) -> None:
        """Check that every value of the computation is present; limits of inputs and the calendar may be absent."""
        if not self.areas:
            self.problem("rulebook", "area", tr("no file declares an area"))
        prices = [f"{ident}.price" for ident in self.added]
        for kind, wanted, found in (
            ("value", (*VALUES, *prices), self.values),
            ("service", SERVICES, self.services),
            ("reading", READINGS, self.readings),
        ):
            for ident in wanted:
                if ident not in found:
                    self.problem("rulebook", ident, tr("this {kind} is missing: no file declares it", kind=kind))
