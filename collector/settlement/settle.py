# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps 7 to 10 in one call: a month's inputs and a rulebook become a statement."""

from __future__ import annotations

from concurrent.futures import Executor

from collector.model.interval import Month
from collector.settlement.inputs import Inputs
from collector.settlement.rulebook import Rulebook
from collector.settlement.statement import Statement


def settle(month: Month, inputs: Inputs, rulebook: Rulebook, *, executor: Executor | None = None) -> Statement:
    """The statement of a month; the same inputs give the same bits whatever the executor."""
    raise NotImplementedError
