# SPDX-License-Identifier: GPL-3.0-or-later
"""Local time and half-open intervals: the only place that converts UTC milliseconds to local days.

Local time is Asia/Shanghai: UTC+8 without daylight saving since 1992. All settled months are later, so a constant is
exact and a gateway needs no time-zone database.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from collector.base.text import tr

LOCAL_OFFSET_MS: Final = 8 * 3_600_000
DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
QUARTER_HOUR_MS: Final = 900_000
YEARS: Final = range(2000, 2100)  # accepted in input; a year's neighbours are still valid dates
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """[start, end) in UTC ms."""

    start_ms: int
    end_ms: int

    def overlaps(self, other: Interval) -> bool:
        """True if the two intervals share an instant."""
        return self.start_ms < other.end_ms and other.start_ms < self.end_ms


def local_midnight_ms(day: date) -> int:
    """00:00 local of `day` as UTC ms."""
    return (day - _EPOCH).days * DAY_MS - LOCAL_OFFSET_MS


def local_day(time_utc_ms: int) -> date:
    """The local date of an instant."""
    return _EPOCH + timedelta(days=(time_utc_ms + LOCAL_OFFSET_MS) // DAY_MS)


def day_interval(day: date) -> Interval:
    """The local day as an interval."""
    start = local_midnight_ms(day)
    return Interval(start, start + DAY_MS)


def parse_day(text: str) -> date:
    """Parse a local day of the years 2000 to 2099, written like `2026-03-01`.

    Raises:
        ValueError: the text is not such a day.
    """
    day = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) else None
    if day is None:
        raise ValueError(tr("a day is written YYYY-MM-DD, got {text!r}", text=text))
    if day.year not in YEARS:
        raise ValueError(tr("no day of the years 2000 to 2099: {text!r}", text=text))
    return day


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A local calendar month."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Parse a month of the years 2000 to 2099, written like `2026-03`.

        Raises:
            ValueError: the text is not such a month.
        """
        if not re.fullmatch(r"\d{4}-\d{2}", text, re.ASCII):
            raise ValueError(tr("a month is written YYYY-MM, got {text!r}", text=text))
        year, month = int(text[:4]), int(text[5:])
        if year not in YEARS or not 1 <= month <= 12:
            raise ValueError(tr("no month of the years 2000 to 2099: {text!r}", text=text))
        return cls(year, month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def first_day(self) -> date:
        """The first local date of the month."""
        return date(self.year, self.month, 1)

    def next(self) -> Month:
        """The following month."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def interval(self) -> Interval:
        """The month as an interval."""
        return Interval(local_midnight_ms(self.first_day), local_midnight_ms(self.next().first_day))

    @property
    def days(self) -> tuple[date, ...]:
        """The local dates of the month, in order."""
        count = (self.next().first_day - self.first_day).days
        return tuple(self.first_day + timedelta(days=i) for i in range(count))


def is_covered(start_ms: int, end_ms: int, spans: Iterable[tuple[int, int]]) -> bool:
    """True if [start, end) lies wholly in the union of half-open spans."""
    for a, b in sorted(spans):
        if a <= start_ms < b:
            start_ms = b
    return start_ms >= end_ms


_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})\Z", re.ASCII)
_AT_24: Final = re.compile(r"(\d{4}-\d{2}-\d{2}[T ])24(:00(?::00(?:\.0{1,6})?)?(?:Z|[+-]\d{2}:?\d{2}))\Z", re.ASCII)
_INTEGER: Final = re.compile(r"-?\d{1,15}\Z", re.ASCII)
# A local instant as `format_time` writes one, inside a sentence.
_SAID_INSTANT: Final = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(?:\.\d{1,6})?\+08:00", re.ASCII)


_INSTANTS: Final = range(local_midnight_ms(date(1900, 1, 1)), local_midnight_ms(date(2200, 1, 1)))


def parse_time_ms(text: str) -> int:
    """Parse UTC ms from ISO 8601 with offset, or from an integer that is already UTC ms. 24:00 is the next midnight.

    Raises:
        ValueError: no offset, no such day, finer than a millisecond, or not of the years 1900 to 2199.
    """
    time_utc_ms = int(text) if _INTEGER.match(text) else _parse_iso_ms(text)
    if time_utc_ms not in _INSTANTS:
        raise ValueError(tr("no time of the years 1900 to 2199: {text!r}", text=text))
    return time_utc_ms


def _parse_iso_ms(text: str) -> int:
    if not _ISO.match(text):
        hint = tr("; add the offset, e.g. +08:00") if re.match(r"\d{4}-\d{2}-\d{2}", text) else ""
        raise ValueError(
            tr("a time is ISO 8601 with offset or integer UTC ms, got {text!r}{hint}", text=text, hint=hint)
        )
    late = _AT_24.match(text)
    moment = datetime.fromisoformat(f"{late[1]}00{late[2]}" if late else text)
    if late:
        moment += timedelta(days=1)
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if micros % 1000:
        raise ValueError(tr("finer than a millisecond: {text!r}", text=text))
    return micros // 1000


def local_time_text(moment: datetime) -> str:
    """Local clock time as ISO 8601 text with offset, e.g. of a date cell in a spreadsheet."""
    return moment.isoformat(timespec="milliseconds") + "+08:00"


def format_time(time_utc_ms: int) -> str:
    """ISO 8601 in local time with offset; milliseconds only where there are any."""
    moment = datetime(1970, 1, 1) + timedelta(milliseconds=time_utc_ms + LOCAL_OFFSET_MS)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds") + "+08:00"


def time_to_read(time_utc_ms: int) -> str:
    """Local time to the second as people read it, without the offset: 2026-03-01 08:00:00."""
    return format_time(time_utc_ms)[:19].replace("T", " ")


def instants_to_read(sentence: str) -> str:
    """A sentence of a file with its local instants as people read them, as `time_to_read` writes one."""
    return _SAID_INSTANT.sub(r"\1 \2", sentence)
