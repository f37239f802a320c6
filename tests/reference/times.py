# SPDX-License-Identifier: GPL-3.0-or-later
"""UTC milliseconds and the local calendar (Asia/Shanghai)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

LOCAL = ZoneInfo("Asia/Shanghai")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
QUARTER_MS = 15 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open stretch of time, UTC ms."""

    start: int
    end: int


def parse_time(text: str) -> int:
    """ISO 8601 with offset, or integer UTC ms, to UTC ms."""
    text = text.strip()
    if text.lstrip("-").isdigit():
        return int(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without offset: {text}")
    return (moment - EPOCH) // MS


def local_midnight(day: date) -> int:
    """00:00 local of a day, UTC ms."""
    return (datetime.combine(day, time(0), LOCAL) - EPOCH) // MS


def local_day(time_ms: int) -> date:
    """The local day an instant lies in."""
    return (EPOCH + time_ms * MS).astimezone(LOCAL).date()


def local_minute(time_ms: int) -> int:
    """The whole local minute of the day an instant lies in, 0 to 1439."""
    moment = (EPOCH + time_ms * MS).astimezone(LOCAL)
    return moment.hour * 60 + moment.minute


def month_span(month: str) -> Span:
    """A month "YYYY-MM" from 00:00 local of its first day to 00:00 local of the next month's."""
    first = date.fromisoformat(f"{month}-01")
    following = (first + timedelta(days=31)).replace(day=1)
    return Span(local_midnight(first), local_midnight(following))


def days_of(span: Span) -> Iterator[date]:
    """Every local day that a stretch touches."""
    day = local_day(span.start)
    while local_midnight(day) < span.end:
        yield day
        day += timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DailyHours:
    """Local hours of every day, in minutes after midnight: "22:00-06:00" crosses midnight and is 1320 to 360."""

    from_minute: int
    to_minute: int

    @classmethod
    def parse(cls, text: str) -> DailyHours:
        """Reads "HH:MM-HH:MM"; "24:00" is allowed as an end."""
        start, end = text.split("-")
        return cls(_minute(start), _minute(end))

    def holds(self, minute: int) -> bool:
        """Whether a minute of the day lies inside."""
        if self.from_minute < self.to_minute:
            return self.from_minute <= minute < self.to_minute
        return minute >= self.from_minute or minute < self.to_minute


def _minute(text: str) -> int:
    hour, minute = text.strip().split(":")
    return int(hour) * 60 + int(minute)
