# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that pages need: working days and hold limit of a month, and the rules for inputs."""

from __future__ import annotations

from collector.center.runs.data_policy import hold_limit_s
from collector.center.runs.rulebooks import duty_days, input_rules, rulebook_of, rulebook_path
from collector.center.web.context import Context
from collector.model.interval import Month
from collector.settlement.rulebook.calendar import DutyDays
from collector.tables.limits import InputRules


def days_of(ctx: Context) -> DutyDays:
    """Working days, from the calendar shipped and the rulebook in force.

    Raises:
        ConfigError: all errors of the rulebook.
    """
    return duty_days(rulebook_path(ctx.settings))


def rules_of_inputs(ctx: Context) -> InputRules:
    """The rules of the rulebook for inputs. Raises as `days_of`."""
    return input_rules(rulebook_path(ctx.settings))


def hold_of(ctx: Context, month: Month) -> int:
    """The hold limit of a month in s (how long a record counts), by register and rulebook."""
    rulebook = rulebook_of(rulebook_path(ctx.settings))
    return ctx.read(lambda c: hold_limit_s(c, month, rulebook))
