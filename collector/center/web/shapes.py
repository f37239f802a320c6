# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes that several features of the REST interface take and give."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar.params import PathParameter

from collector.base.text import Language, into, tr
from collector.center.runs.run_list import RunRow, RunState

MonthPath = Annotated[str, PathParameter(description="YYYY-MM", max_length=7)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Instant = Annotated[int, msgspec.Meta(ge=0, le=4_102_444_800_000)]


class DoneOut(msgspec.Struct, frozen=True):
    """The answer to a change that was carried out."""

    done: bool = True


class DecisionIn(msgspec.Struct, frozen=True):
    """Granted or not, and why."""

    granted: bool
    note: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class NumberOut(msgspec.Struct, frozen=True):
    """The number of the object that was made."""

    id: int


class JobOut(msgspec.Struct, frozen=True):
    """A run that was asked for. `id`: its number, with which `/runs/{number}` tells more.

    `run_id`: the same once it has a statement; `error`: why it has none; `done`: whether it has ended, either way.
    `began_ms`: when it was asked for.
    """

    id: int
    month: str
    what: str
    who: str
    began_ms: int
    state: str
    done: bool
    run_id: int | None
    error: str


def job_out(row: RunRow, language: Language) -> JobOut:
    """A run as a job; why it has no statement, in a language."""
    run_id = row.id if row.state is RunState.DONE else None
    error = tr("interrupted") if row.state is RunState.INTERRUPTED else row.why
    return JobOut(
        row.id,
        row.month,
        row.kind,
        row.who,
        row.asked_ms,
        str(row.state),
        not row.is_open,
        run_id,
        into(error, language),
    )
