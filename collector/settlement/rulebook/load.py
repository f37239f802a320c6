# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading a rulebook from its directory: one TOML file per article, every value dated and cited, nothing skipped.

A file holds `article`, `title` and any of [[service]], [[value]], [[reading]]; `rulebook.toml` names the rule. Rows are
append-only: a new row with a later `from` takes over; an old one is never edited. All problems are reported at once.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from collector.base.errors import ConfigError, Problem
from collector.base.text import said_by, tr
from collector.model.quantity import parse_decimal
from collector.model.register import AREA_IDS, UnitKind
from collector.settlement.rulebook.catalogue import (
    CALENDAR_DAYS,
    CALENDAR_VALUES,
    KEY_DOMAINS,
    READINGS,
    SERVICES,
    VALUES,
)
from collector.settlement.rulebook.rules import (
    Reading,
    ReadingRow,
    Rulebook,
    RuleRow,
    RuleState,
    RuleValue,
    Service,
    ServiceRow,
)

__all__ = ["Rulebook", "load_rulebook"]

_FILE_KEYS: Final = frozenset({"article", "title", "service", "value", "reading"})
_VALUE_KEYS: Final = frozenset({"id", "unit", "key", "clause", "note", "row"})
_ROW_KEYS: Final = frozenset({"value", "from", "until", "state", "cite", "area", "placeholder", "note"})
_SERVICE_KEYS: Final = frozenset({"id", "clause", "title", "quantity_unit", "unit_kinds", "row"})
_SERVICE_ROW_KEYS: Final = frozenset({"from", "until", "state", "cite", "area", "factor", "placeholder", "note"})
_READING_KEYS: Final = frozenset({"id", "clause", "question", "choices", "question_zh", "choices_zh", "row"})
_READING_ROW_KEYS: Final = frozenset({"adopted", "from", "cite", "placeholder", "note"})
_BOOK_KEYS: Final = frozenset({"id", "title", "text"})

Table = Mapping[str, Any]


def load_rulebook(directory: Path) -> Rulebook:
    """Load the rulebook in `directory`.

    Raises:
        ConfigError: every problem found, each with file and place.
    """
    return rulebook_of(read_rulebook_files(directory), str(directory))


def rulebook_of(files: Mapping[str, bytes], where: str) -> Rulebook:
    """Build a rulebook from the content of its files. `where`: their directory. Raises as `load_rulebook`."""
    loader = _Loader()
    head: Table = {}
    if "rulebook.toml" not in files:
        loader.problem(where, "", tr("no rulebook.toml here: a rulebook is a directory with one file per article"))
    for name, raw in files.items():
        try:
            table = tomllib.loads(raw.decode())
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            loader.problem(name, "", tr("not TOML: {error}", error=error))
            continue
        if name == "rulebook.toml":
            loader.known(name, "", table, _BOOK_KEYS)
            head = table
        else:
            loader.file(name, table)
    loader.complete()
    if loader.problems:
        raise ConfigError(sorted(loader.problems))
    title, book = str(head.get("title", "")), str(head.get("id", Path(where).name))
    return Rulebook(book, title, loader.values, loader.services, loader.readings, hash_of_files(files))


def read_rulebook_files(directory: Path) -> dict[str, bytes]:
    """Read the files of a rulebook, by name; empty where there is no such directory."""
    paths = sorted(directory.glob("*.toml")) if directory.is_dir() else []
    return {path.name: path.read_bytes() for path in paths}


def hash_of_files(files: Mapping[str, bytes]) -> str:
    """The rulebook hash: SHA-256 over names and bytes of its files in order of name."""
    digest = hashlib.sha256()
    for name, raw in files.items():
        digest.update(f"{name}\0{len(raw)}\0".encode() + raw)
    return digest.hexdigest()


class _Loader:
    """Collects the rows of all files, and every problem found in them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.values: dict[str, RuleValue] = {}
        self.services: dict[str, Service] = {}
        self.readings: dict[str, Reading] = {}

    def problem(self, file: str, key: str, message: str) -> None:
        self.problems.append(Problem(file, 0, key, message))

    def known(self, file: str, place: str, table: Table, keys: Iterable[str]) -> None:
        for key in table:
            if key not in keys:
                near = difflib.get_close_matches(key, list(keys), 1)
                hint = tr("; did you mean {near!r}?", near=near[0]) if near else ""
                self.problem(file, f"{place}.{key}".lstrip("."), tr("unknown key{hint}", hint=hint))

    def tables(self, file: str, place: str, table: Table, key: str) -> list[Table]:
        found = table.get(key, [])
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            self.problem(file, f"{place}.{key}".lstrip("."), tr("expected a list of tables"))
            return []
        return found

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

    def text(self, file: str, place: str, table: Table, key: str) -> str:
        found = table.get(key)
        if not isinstance(found, str) or not found:
            self.problem(file, f"{place}.{key}".lstrip("."), tr("expected a text, got {found!r}", found=found))
            return ""
        return found

    def day(self, file: str, place: str, table: Table, key: str, *, required: bool) -> date | None:
        found = table.get(key)
        if found is None and not required:
            return None
        if not isinstance(found, date) or isinstance(found, datetime):
            self.problem(
                file, f"{place}.{key}", tr("expected a local date like 2009-01-01, got {found!r}", found=found)
            )
            return None
        return found

    def decimal(self, file: str, place: str, found: object) -> Decimal | None:
        try:
            if not isinstance(found, str):
                raise ValueError(tr('write numbers as text, e.g. "0.40", got {found!r}', found=found))
            return parse_decimal(found)
        except ValueError as error:
            self.problem(file, place, said_by(error))
            return None

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
        if found and found not in AREA_IDS:
            self.problem(
                file,
                f"{place}.area",
                tr("expected one of {names}, got {found!r}", names=", ".join(AREA_IDS), found=found),
            )
        return str(found)

    def value(self, file: str, article: str, ident: str, item: Table) -> None:
        place = ident
        self.known(file, place, item, _VALUE_KEYS)
        spec = VALUES.get(ident) or CALENDAR_VALUES.get(ident)
        if spec is None:
            near = difflib.get_close_matches(ident, [*VALUES, *CALENDAR_VALUES], 1)
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
            rows += self.value_rows(file, f"{place}.row[{number}]", table, spec.key)
            if ident in CALENDAR_VALUES:
                self.whole_days(file, f"{place}.row[{number}]", table)
        rows.sort(key=lambda row: row.from_day)
        self.spans(file, place, [((row.key, row.area), row.from_day, row.until_day, row.state) for row in rows])
        for member in KEY_DOMAINS[spec.key] if spec.key else ("",):
            if not any(row.key == member and not row.area for row in rows):
                self.problem(
                    file,
                    place,
                    tr("no row for {key} {member!r}", key=spec.key, member=member) if member else tr("no row"),
                )
        clause = str(item.get("clause", article))
        self.values[ident] = RuleValue(ident, spec.unit, clause, spec.key, tuple(rows), file)

    def value_rows(self, file: str, place: str, table: Table, key: str) -> list[RuleRow]:
        """The rows of one table; its key may be a list of members that have the same value."""
        self.known(file, place, table, _ROW_KEYS | ({key} if key else set()))
        from_day = self.day(file, place, table, "from", required=True)
        until = self.day(file, place, table, "until", required=False)
        state, cite = self.state(file, place, table), self.text(file, place, table, "cite")
        value = None
        if state in (RuleState.IN_FORCE, RuleState.EXPECTED):
            value = self.decimal(file, f"{place}.value", table.get("value"))
        elif "value" in table:
            self.problem(file, f"{place}.value", tr("a row that is {state} has no value", state=state))
        members: list[str] = [""]
        if key:
            found = table.get(key)
            members = found if isinstance(found, list) else [str(found)]
            for member in members:
                if member not in KEY_DOMAINS[key]:
                    expected = ", ".join(KEY_DOMAINS[key])
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
        self.known(file, ident, item, _SERVICE_KEYS)
        if ident not in SERVICES:
            self.problem(file, ident, tr("no such service; known: {names}", names=", ".join(SERVICES)))
            return
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
        self.services[ident] = Service(ident, clause, title, unit, frozenset(kinds), tuple(rows), file)

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
            if adopted not in READINGS[ident]:
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
        self.readings[ident] = Reading(ident, clause, question, choices, question_zh, choices_zh, tuple(rows))

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
        """Check that every value of the computation is present; values of the calendar may be absent."""
        for kind, wanted, found in (
            ("value", VALUES, self.values),
            ("service", SERVICES, self.services),
            ("reading", READINGS, self.readings),
        ):
            for ident in wanted:
                if ident not in found:
                    self.problem("rulebook", ident, tr("this {kind} is missing: no file declares it", kind=kind))
