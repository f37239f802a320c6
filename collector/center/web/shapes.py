# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes that several features of the REST interface take and give."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar.params import PathParameter

MonthPath = Annotated[str, PathParameter(description="YYYY-MM", max_length=7)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Instant = Annotated[int, msgspec.Meta(ge=0, le=4_102_444_800_000)]


class DoneOut(msgspec.Struct, frozen=True):
    """It is done."""

    done: bool = True


class DecisionIn(msgspec.Struct, frozen=True):
    """Granted or not, and why."""

    granted: bool
    note: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class NumberOut(msgspec.Struct, frozen=True):
    """The number of what was made."""

    id: int


class JobOut(msgspec.Struct, frozen=True):
    """A run under way or ended. `run_id`: what came of it; `error`: why nothing did."""

    month: str
    what: str
    who: str
    began_ms: int
    done: bool
    run_id: int | None
    error: str
