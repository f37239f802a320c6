# SPDX-License-Identifier: GPL-3.0-or-later
"""A center in which a month was received, imported, settled and disclosed, for the tests that only look at it."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from collector.center.month.transitions import approve_step, propose_step
from collector.center.runs.month_state import State
from collector.center.runs.settle_month import settle_month
from collector.model.interval import Month, parse_time_ms
from tests.center.made_month import DAYS
from tests.center.runs.center_months import RULES, fill_store
from tests.center.web.web_world import World, world
from tests.settlement.made_folders import make_folder

SEED = 3116  # P0 with U0 and U1, P1 with U2; orders over the month's edge, every kind of row
JUNE = Month(2026, 6)


@pytest.fixture(scope="session")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """June 2026, disclosed; shared by all tests, so nothing may be changed in it that another one counts on."""
    root = tmp_path_factory.mktemp("worked")
    make_folder(random.Random(SEED), root / "folder")
    with world(root / "state") as made:
        fill_store(made.store, root / "folder")
        made.clock.now_ms = parse_time_ms("2026-07-06T10:00:00+08:00")
        olga, anna, now_ms = made.actor("olga"), made.actor("anna"), made.clock.now_ms
        run = settle_month(made.store, JUNE, rulebook=RULES, actor=olga)
        number = made.store.write(
            lambda c: propose_step(c, JUNE, State.DISCLOSED, actor=olga, run_id=run.id, now_ms=now_ms, days=DAYS)
        ).result()
        made.store.write(lambda c: approve_step(c, number, actor=anna, now_ms=now_ms, days=DAYS)).result()
        made.run_id = run.id
        yield made
