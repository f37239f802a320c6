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
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """[start, end) in UTC ms."""

    start_ms: int
    end_ms: int

    def overlaps(self, other: Interval) -> bool:
        """Whether the two intervals share an instant."""
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


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A local calendar month."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Parse a month written like `2026-03`.

        Raises:
            ValueError: the text is not such a month.
        """
        if not re.fullmatch(r"\d{4}-\d{2}", text, re.ASCII):
            raise ValueError(tr("a month is written YYYY-MM, got {text!r}", text=text))
        date(int(text[:4]), int(text[5:]), 1)
        return cls(int(text[:4]), int(text[5:]))

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def first_day(self) -> date:
        """The first local date of the month."""
        return date(self.year, self.month, 1)

    def next(self) -> Month:
        """The month after."""
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
    """Whether [start, end) lies wholly in the union of half-open spans."""
    for a, b in sorted(spans):
        if a <= start_ms < b:
            start_ms = b
    return start_ms >= end_ms


_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})\Z", re.ASCII)
_INTEGER: Final = re.compile(r"-?\d{1,15}\Z", re.ASCII)


def parse_time_ms(text: str) -> int:
    """Parse UTC ms from ISO 8601 with offset, or from an integer that is already UTC ms.

    Raises:
        ValueError: no offset, no such day, or finer than a millisecond.
    """
    if _INTEGER.match(text):
        return int(text)
    if not _ISO.match(text):
        hint = tr("; add the offset, e.g. +08:00") if re.match(r"\d{4}-\d{2}-\d{2}", text) else ""
        raise ValueError(
            tr("a time is ISO 8601 with offset or integer UTC ms, got {text!r}{hint}", text=text, hint=hint)
        )
    moment = datetime.fromisoformat(text)
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if micros % 1000:
        raise ValueError(tr("finer than a millisecond: {text!r}", text=text))
    return micros // 1000


def format_time(time_utc_ms: int) -> str:
    """ISO 8601 in local time with offset; milliseconds only where there are any."""
    moment = datetime(1970, 1, 1) + timedelta(milliseconds=time_utc_ms + LOCAL_OFFSET_MS)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds") + "+08:00"
