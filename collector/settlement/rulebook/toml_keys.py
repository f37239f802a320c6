# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed keys of the TOML tables of a rulebook; every problem found is kept with its file and place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from collector.base.errors import Problem
from collector.base.text import said_by, tr
from collector.model.quantity import parse_decimal

Table = Mapping[str, Any]


class TomlKeys:
    """Reads keys of tables. What is wrong is added to `problems`, and an empty value returned."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

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
                file, f"{place}.{key}", tr("expected a local date like 2009-01-01, got {found!r}", found=str(found))
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
