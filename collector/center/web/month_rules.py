# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules a page judges a month by: its working days, its hold limit; and what inputs are judged by."""

from __future__ import annotations

from collector.center.runs.data_policy import hold_limit_s
from collector.center.runs.rulebooks import duty_days, input_rules, rulebook_of, rulebook_path
from collector.center.web.context import Context
from collector.model.interval import Month
from collector.settlement.rulebook.calendar import DutyDays
from collector.tables.limits import InputRules


def days_of(ctx: Context) -> DutyDays:
    """The working days shipped, and the rulebook months are settled by.

    Raises:
        ConfigError: everything wrong in the rulebook.
    """
    return duty_days(rulebook_path(ctx.settings))


def rules_of_inputs(ctx: Context) -> InputRules:
    """What the rulebook says about inputs. Raises as `days_of`."""
    return input_rules(rulebook_path(ctx.settings))


def hold_of(ctx: Context, month: Month) -> int:
    """How long a record counts in a month, s: register and rulebook say so."""
    rulebook = rulebook_of(rulebook_path(ctx.settings))
    return ctx.read(lambda c: hold_limit_s(c, month, rulebook))
