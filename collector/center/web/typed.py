# SPDX-License-Identifier: GPL-3.0-or-later
"""Instants, days and intervals as a person types them or an address names them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final

from litestar.params import PathParameter

from collector.base.errors import Missing, StoreError
from collector.base.text import said_by, tr, tr_in
from collector.model.interval import Interval, parse_day, parse_time_ms

Day = Annotated[str, PathParameter(max_length=10, description="YYYY-MM-DD, local")]
MAX_ASK_MS: Final = 31 * 86_400_000
_ZONE: Final = "+08:00"  # what a browser's field for local time leaves out


def asked_interval(unit: str, from_ms: int, to_ms: int) -> Interval:
    """The interval of an ask.

    Raises:
        StoreError: it is empty or too long.
    """
    if not 0 < to_ms - from_ms <= MAX_ASK_MS:
        raise StoreError(tr("the end lies after the start, at most 31 days"), subject=unit)
    return Interval(from_ms, to_ms)


def day_of(text: str) -> date:
    """The local day an address names.

    Raises:
        Missing: it names none.
    """
    try:
        return parse_day(text)
    except ValueError as error:
        raise Missing(said_by(error), subject=text[:40]) from error


def instant_typed(text: str) -> int:
    """A local time as a browser's field gives it, or any instant with an offset."""
    try:
        return parse_time_ms(text if text[-6:-5] in ("+", "-") or text.isdecimal() else text + _ZONE)
    except ValueError as error:
        raise StoreError(said_by(error), subject=tr_in("subject", "time")) from error
