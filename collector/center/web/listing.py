# SPDX-License-Identifier: GPL-3.0-or-later
"""A list on a page: described once by its columns, then sorted, filtered, searched, cut into pages and exported.

What a person chose stands in the address, so that it can be shared: `sort=-amount` (- downwards), `q` (in any column),
`is.status=paid` (one value of a column), `cols=a&cols=b` (columns shown), `cursor`. `export=csv` or `xlsx` answers with
what is chosen as a file: every row and column of it, numbers as numbers, instants as local ISO 8601. A page of several
lists gives each a prefix for its names in the address: `units.sort`. A plant is found by its name too; a file has the
names beside the ids.
"""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final
from urllib.parse import urlencode

from litestar import Response

from collector.base.errors import StoreError
from collector.base.text import Text, into, tr
from collector.center.inputs.names import named_plant, plant_names
from collector.center.kept_words import in_words
from collector.center.web import code_words
from collector.center.web.context import Context, Page
from collector.center.web.paging import XLSX, attachment
from collector.report.numbers import format_fraction, format_instant
from collector.report.sheets import Book, SheetColumn, plain_text

_NUMBERS: Final = frozenset({"n", "yuan", "quantity", "percent", "digits"})
_CHOICES: Final = 200  # values of a column that are offered to choose from
_MINE: Final = ("sort", "q", "cols", "cursor", "export")
_NAME_OF_PLANT: Final = tr("Name of the plant")


@dataclass(frozen=True, slots=True)
class ListColumn:
    """A column. `key`: in the address, and where `value` is not given what is read of a row.

    `kind`: how a cell is shown and exported: text, code (as written), kept (a sentence in English that is recognised),
    time (UTC ms), day, n, digits, yuan, quantity, percent, plant, tag, or own (the page draws it; not exported).
    `words`: the table of codes its values are of. `choose`: a value can be chosen. `off`: shown only when asked for.
    `total`: of yuan, summed up below. `href`: where a cell leads. `tags`: the look of a tag by its code. `names`: those
    of the plants of a column of plants, set when it is shown.
    """

    key: str
    title: Text | str
    kind: str = "text"
    words: str = ""
    value: Callable[[Any], Any] | None = None
    href: Callable[[Any], str] | None = None
    choose: bool = False
    off: bool = False
    total: bool = False
    tags: Mapping[str, str] | None = None
    names: Callable[[], Mapping[str, str]] | None = None

    def of(self, row: Any) -> Any:
        """The value of a row: a code, a number, an instant."""
        if self.value is not None:
            return self.value(row)
        return row[self.key] if isinstance(row, Mapping) else getattr(row, self.key)

    def said(self, row: Any, language: str) -> str:
        """The value as a person reads it, as plain text: used for search, for sorting texts, and for export."""
        value = self.of(row)
        if value is None:
            return ""
        if self.words:
            return code_words.code_in_words(self.words, str(value), language)
        if self.kind == "plant" and self.names is not None:
            return named_plant(str(value), self.names())
        if self.kind == "time":
            return format_instant(value)
        if self.kind == "kept":
            return str(into(in_words(str(value)), language))
        return str(into(value, language)) if isinstance(value, str) else str(value)

    @property
    def css(self) -> str:
        """The CSS class of the cells."""
        return "n" if self.kind in _NUMBERS else "time" if self.kind in ("time", "day") else ""


@dataclass(frozen=True, slots=True)
class ShownList:
    """A list as shown on a page. `choices`: the (value, words) to filter by, for each column that allows it.

    `others`, `kept_columns` and `kept_filters` are the parts of the address that a form must carry on; `bare` is the
    address without them. `prefix`: before each of its names in the address, empty for the only list of a page;
    `anchor`: `#` and the place of the list on a page of several.
    """

    columns: Sequence[ListColumn]
    every: Sequence[ListColumn]
    rows: Sequence[Any]
    count: int
    whole: int
    older: int | None
    newer: int | None
    sort: str
    q: str
    chosen: Mapping[str, str]
    choices: Mapping[str, Sequence[tuple[str, str]]]
    others: list[tuple[str, str]]
    kept_columns: list[tuple[str, str]]
    kept_filters: list[tuple[str, str]]
    bare: str
    found: Sequence[Any]
    sums: Mapping[str, Decimal]
    prefix: str
    anchor: str


def list_page(
    ctx: Context, template: str, columns: Sequence[ListColumn], rows: Sequence[Any], *, name: str, **values: Any
) -> Page | Response[bytes]:
    """A page with `listing` made of the rows as the address chooses, or the file of them. `name`: of the file."""
    listing = make_listing(ctx, columns, rows)
    return list_file(ctx, listing, name) or ctx.page(template, listing=listing, **values)


def list_file(ctx: Context, listing: ShownList, name: str) -> Response[bytes] | None:
    """The file of a list, if the address asks for it. `name`: without the suffix."""
    form = ctx.request.query_params.get(f"{listing.prefix}export", "")
    if form not in ("csv", "xlsx"):
        return None
    data = _csv(ctx, listing) if form == "csv" else _xlsx(ctx, listing, name)
    return attachment(data, f"{name}.{form}", "text/csv" if form == "csv" else XLSX)


def make_listing(ctx: Context, columns: Sequence[ListColumn], rows: Sequence[Any], *, of: str = "") -> ShownList:
    """The list as the address chooses it. `of`: names the list on a page of several.

    Raises:
        StoreError: it names a column that there is not.
    """
    names = functools.cache(lambda: ctx.read(plant_names))
    columns = [replace(column, names=names) if column.kind == "plant" else column for column in columns]
    prefix, language = f"{of}." if of else "", ctx.language
    asked = [(k.removeprefix(prefix), v) for k, v in ctx.request.query_params.multi_items() if k.startswith(prefix)]
    query = dict(asked)
    by_key = {column.key: column for column in columns if column.kind != "own"}
    sort, q = query.get("sort", "")[:65], query.get("q", "")[:200]
    chosen = {key[3:]: value for key, value in query.items() if key.startswith("is.") and value}
    wanted = [value for key, value in asked if key == "cols"]
    for key in (*chosen, *wanted, *([sort.lstrip("-")] if sort else [])):
        if key not in by_key:
            raise StoreError(tr("there is no such column"), subject=key[:40])
    found = [row for row in rows if all(str(by_key[key].of(row)) == value for key, value in chosen.items())]
    if q:
        needle = q.casefold()
        found = [row for row in found if any(needle in c.said(row, language).casefold() for c in by_key.values())]
    if sort:
        found = _sorted(found, by_key[sort.lstrip("-")], language, down=sort.startswith("-"))
    cursor, size = _cursor(query.get("cursor", "")), ctx.settings.web.page_rows
    others = _others(ctx, prefix)
    shown = [c for c in columns if (c.key in wanted if wanted and c.kind != "own" else not c.off)]
    return ShownList(
        columns=shown,
        every=list(by_key.values()),
        rows=found[cursor : cursor + size],
        count=len(found),
        whole=len(rows),
        newer=max(cursor - size, 0) if cursor else None,
        older=cursor + size if cursor + size < len(found) else None,
        sort=sort,
        q=q,
        chosen=chosen,
        choices={c.key: _choices(c, rows, language) for c in by_key.values() if c.choose},
        others=others,
        kept_columns=[(f"{prefix}cols", key) for key in wanted],
        kept_filters=[(f"{prefix}{k}", v) for k, v in asked if k in ("sort", "q") or k[:3] == "is."],
        bare=f"{ctx.request.url.path}?{urlencode(others)}" if others else ctx.request.url.path,
        found=found,
        sums={c.key: _sum(c, found) for c in shown if c.total},
        prefix=prefix,
        anchor=f"#{of}" if of else "",
    )


def _others(ctx: Context, prefix: str) -> list[tuple[str, str]]:
    """The part of the address that is not of this list: of the page, and of its other lists."""
    mine = {f"{prefix}{name}" for name in _MINE} | {"notice", "lang"}
    items = ctx.request.query_params.multi_items()
    return [(k, v) for k, v in items if k not in mine and not k.startswith(f"{prefix}is.")]


def _sum(column: ListColumn, rows: Sequence[Any]) -> Decimal:
    """The sum of the known values. A line that is not settled adds nothing yet."""
    return sum((Decimal(value) for row in rows if (value := column.of(row)) not in (None, "")), Decimal("0.00"))


def _cursor(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise StoreError(tr("expected a whole number"), subject="cursor")
    return int(text)


def _sorted(rows: Sequence[Any], column: ListColumn, language: str, *, down: bool) -> list[Any]:
    """Sort by number or time where the column has them, else by words. Rows without a value always come last."""
    numbers = column.kind in _NUMBERS or column.kind == "time"

    def key(row: Any) -> Any:
        value = column.of(row)
        return Fraction(value) if numbers else column.said(row, language)

    known = [row for row in rows if column.of(row) not in (None, "")]
    unknown = [row for row in rows if column.of(row) in (None, "")]
    return [*sorted(known, key=key, reverse=down), *unknown]


def _choices(column: ListColumn, rows: Sequence[Any], language: str) -> list[tuple[str, str]]:
    values: dict[str, str] = {}
    for row in rows:
        value = column.of(row)
        if value not in (None, "") and str(value) not in values:
            values[str(value)] = column.said(row, language)
    return sorted(values.items(), key=lambda each: each[1])[:_CHOICES]


def _exported(ctx: Context, listing: ShownList) -> tuple[list[ListColumn], list[str]]:
    columns = [part for c in listing.columns if c.kind != "own" for part in _with_name(c)]
    return columns, [str(into(c.title, ctx.language)) for c in columns]


def _with_name(column: ListColumn) -> list[ListColumn]:
    """A column of plants as one of ids and, where the register names any, one of their names; others as they are."""
    if column.names is None:
        return [column]
    names = column.names()
    ids = replace(column, kind="text", names=None)
    name = ListColumn(f"{column.key}_name", _NAME_OF_PLANT, value=lambda row: names.get(str(column.of(row)), ""))
    return [ids, name] if names else [ids]


def _csv(ctx: Context, listing: ShownList) -> bytes:
    columns, titles = _exported(ctx, listing)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(titles)
    for row in listing.found:
        writer.writerow([_plain(c, row, ctx.language) for c in columns])
    return text.getvalue().encode("utf-8-sig")


def _plain(column: ListColumn, row: Any, language: str) -> str:
    number = _number(column, row)
    if number is None:
        return plain_text(column.said(row, language))
    return format_fraction(number) if isinstance(number, Fraction) else str(number)


def _xlsx(ctx: Context, listing: ShownList, name: str) -> bytes:
    columns, titles = _exported(ctx, listing)
    target = io.BytesIO()
    book = Book(target, name)
    book.formats["number"] = book.book.add_format({"font_size": 10, "border": 1, "valign": "top"})
    kinds = {"yuan": "yuan", "percent": "percent", "quantity": "quantity", "n": "number", "digits": "number"}
    sheet = [SheetColumn(t, kinds.get(c.kind, "text"), 18) for c, t in zip(columns, titles, strict=True)]
    made = (
        [c.said(row, ctx.language) if (number := _number(c, row)) is None else number for c in columns]
        for row in listing.found
    )
    book.sheet(name, "", sheet, made)
    book.book.close()
    return target.getvalue()


def _number(column: ListColumn, row: Any) -> Decimal | Fraction | int | None:
    """The value of a column of numbers; None where it is none."""
    value = column.of(row) if column.kind in _NUMBERS else None
    if value is None or value == "":
        return None
    return value if isinstance(value, Decimal | Fraction | int) else Decimal(str(value))
