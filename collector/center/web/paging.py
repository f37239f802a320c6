# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of the REST interface: paged as JSON, or whole as CSV and XLSX.

A row's shape is a msgspec struct, stable whatever the center's own classes become; `as_row` fills it from one of them.
In files instants are local ISO 8601, and no text becomes a formula in a spreadsheet.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Annotated, Any, Final, Generic, Literal, TypeAlias, TypeVar, cast
from urllib.parse import quote

import msgspec
from litestar import Response
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from collector.model.interval import Month
from collector.report.numbers import format_fraction, format_instant
from collector.report.sheets import Book, SheetColumn, plain_text

T = TypeVar("T", bound=msgspec.Struct)
R = TypeVar("R")

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="rows of one page")]
Cursor = Annotated[int, QueryParameter(ge=0, le=2**53, description="`next` of the page before")]
Format = Annotated[Literal["json", "csv", "xlsx"], QueryParameter(description="csv and xlsx hold all rows")]

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_EXACT: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]{1,6})?")
_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")


class Listed(msgspec.Struct, Generic[T], frozen=True):
    """A page of rows. `next`: what to give as `cursor` for the page after it; null at the end."""

    items: list[T]
    next: int | None
    total: int


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The rows of a list that a program asks for: one page, or all rows as a file."""

    cursor: int
    limit: int
    form: str

    @property
    def is_file(self) -> bool:
        """True for a request of all rows as CSV or XLSX."""
        return self.form != "json"

    def of(self, rows: Sequence[T], row: type[T], name: str) -> Listed[T]:
        """The rows as asked for: a page, or all of them as a file called `name`."""
        if self.is_file:
            # Litestar sends a response as it is; the annotation says what the JSON looks like.
            return cast("Listed[T]", as_file(rows, row, self.form, name))
        shown, more = window(rows, self.cursor, self.limit)
        return Listed(list(shown), more, len(rows))


def provide_list_query(cursor: Cursor = 0, limit: Limit = 100, format: Format = "json") -> ListQuery:  # noqa: A002
    """The query parameters that every list of the REST interface has."""
    return ListQuery(cursor, limit, format)


Listing: TypeAlias = NamedDependency[ListQuery]


def window(rows: Sequence[R], cursor: int, size: int) -> tuple[Sequence[R], int | None]:
    """A page's part of a list, and where the next begins."""
    end = cursor + size
    return rows[cursor:end], end if end < len(rows) else None


def as_file(rows: Iterable[T], row: type[T], form: str, name: str) -> Response[bytes]:
    """All rows as CSV (UTF-8 with BOM, which spreadsheets need) or XLSX."""
    columns = row.__struct_fields__
    content = _csv(rows, columns) if form == "csv" else _xlsx(rows, columns, name)
    media_type = "text/csv" if form == "csv" else XLSX
    return attachment(content, f"{name}.{form}", media_type)


def attachment(content: bytes, name: str, media_type: str) -> Response[bytes]:
    """A file to be kept under its name (RFC 6266: in ASCII for old programs, and as it is)."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    headers = {"content-disposition": f"attachment; filename=\"{safe}\"; filename*=UTF-8''{quote(name, safe='')}"}
    return Response(content, media_type=media_type, headers=headers)


def as_row(row: type[T], source: object, **more: object) -> T:
    """A row filled from an object's attributes or a mapping's keys of the same names; `more` goes before them."""
    get: Callable[[str], object] = source.__getitem__ if isinstance(source, Mapping) else lambda n: getattr(source, n)
    return row(**{name: _plain(more[name] if name in more else get(name)) for name in row.__struct_fields__})


def _plain(value: Any) -> Any:
    """A value as JSON has it; exact numbers as text."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal | Month):
        return str(value)
    if isinstance(value, Fraction):
        return format_fraction(value)
    if isinstance(value, date):
        return value.isoformat()
    return value


def _title(name: str) -> str:
    return name.removesuffix("_ms")


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name.endswith("_ms") and isinstance(value, int) and not name.endswith("duration_ms"):
        return format_instant(value)
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value)
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False)


def _csv(rows: Iterable[msgspec.Struct], columns: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_title(name) for name in columns])
    for row in rows:
        cells = (_text(name, getattr(row, name)) for name in columns)
        writer.writerow([cell if _NUMBER.fullmatch(cell) else plain_text(cell) for cell in cells])
    return text.getvalue().encode("utf-8-sig")


def _xlsx(rows: Iterable[msgspec.Struct], columns: Sequence[str], name: str) -> bytes:
    target = io.BytesIO()
    book = Book(target, name)
    cells = [[_text(column, getattr(row, column)) for column in columns] for row in rows]
    kinds = [_kind(column, [row[place] for row in cells]) for place, column in enumerate(columns)]
    sheet = [SheetColumn(_title(column), kind, 20) for column, kind in zip(columns, kinds, strict=True)]
    made = ([_cell(kind, text) for kind, text in zip(kinds, row, strict=True)] for row in cells)
    book.sheet(name, "", sheet, made)
    book.book.close()
    return target.getvalue()


def _kind(column: str, cells: Iterable[str]) -> str:
    """The type of a spreadsheet column: an amount or number if every cell is one (so that SUM works), else text.

    A number that a spreadsheet would not show as it is (more than 15 digits, a leading zero, an exponent) stays text.
    """
    given = [text for text in cells if text]
    if not given or not all(_EXACT.fullmatch(text) and sum(map(str.isdigit, text)) <= 15 for text in given):
        return "text"
    if column.endswith("_yuan"):
        return "yuan"
    return "quantity" if any("." in text for text in given) else "count"


def _cell(kind: str, text: str) -> Any:
    return text if kind == "text" or not text else Decimal(text)
