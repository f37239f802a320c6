# SPDX-License-Identifier: GPL-3.0-or-later
"""The table *why not paid*, also as a file: unpaid time inside each scope, and time outside it, with reasons."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from collector.report.numbers import format_seconds
from collector.report.segments import UnpaidTime
from collector.settlement.outside_scope import OUTSIDE, outside_ms
from collector.settlement.statement import Statement

NOT_PAID_COLUMNS: Final = ("unit", "service", "class", "reason", "duration_s")


def with_outside_time(statement: Statement, unpaid: Iterable[UnpaidTime]) -> tuple[UnpaidTime, ...]:
    """The unpaid time of the segments and, as a class of its own, the time outside each scope; sorted."""
    outside = [UnpaidTime(unit, service, OUTSIDE, reason, ms) for unit, service, reason, ms in outside_ms(statement)]
    return tuple(sorted([*unpaid, *outside]))


def not_paid_csv(unpaid: Sequence[UnpaidTime]) -> bytes:
    """not_paid.csv: unpaid seconds by unit, service, class and reason."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(NOT_PAID_COLUMNS)
    writer.writerows((u.unit, u.service, u.cause, u.reason, format_seconds(u.duration_ms)) for u in unpaid)
    return text.getvalue().encode("utf-8")
