# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's month at the center: inputs imported, month settled, an account to see it in the browser."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from collector.base.resources import config_path
from collector.model.interval import Month

ACCOUNT = "demo"


@dataclass(frozen=True, slots=True)
class CenterResult:
    """The center's result, and the log-in to see it."""

    result_hash: str
    name: str
    password: str


def settle_at_center(center_dir: Path, data: Path, month: Month) -> CenterResult:
    """Import a settlement folder's tables into the center's store and settle the month from what it received.

    Raises:
        CollectorError: an input or the month was refused.
    """
    from collector.base.clock import SystemClock
    from collector.center.db.store import CenterStore
    from collector.center.inputs.imports import ALL_KINDS, REGISTER
    from collector.center.inputs.service import deliver, delivered_of
    from collector.center.people import accounts
    from collector.center.people.access import Role
    from collector.center.people.passwords import hash_password
    from collector.center.runs.rulebooks import input_rules
    from collector.center.runs.settle_month import settle_month
    from collector.cli.center.screen import actor_of
    from collector.cli.settle.command import RULEBOOK

    actor, rules = actor_of(ACCOUNT), input_rules(config_path(RULEBOOK))
    with CenterStore.open(center_dir, clock=SystemClock(), create=False) as store:
        now_ms = store.clock.now_utc_ms()
        for kind in ALL_KINDS:
            path = data / ("register.toml" if kind == REGISTER else f"{kind}.csv")
            if not path.exists():
                continue
            delivered = delivered_of(path.name, path.read_bytes())
            deliver(store, kind, delivered, actor=actor, replace=False, rules=rules)
        row = settle_month(store, month, rulebook=config_path(RULEBOOK), actor=actor, note="demo")
        password = secrets.token_urlsafe(9)
        hashed = hash_password(password)
        store.write(
            lambda c: accounts.create_account(
                c, actor=actor, name=ACCOUNT, full_name="Demo", role=Role.OPERATOR, plant=None,
                password_hash=hashed, now_ms=now_ms,
            )
        ).result()  # fmt: skip
    return CenterResult(row.result_hash, ACCOUNT, password)
