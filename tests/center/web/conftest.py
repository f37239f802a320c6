# SPDX-License-Identifier: GPL-3.0-or-later
"""A center in which a month was received, imported, settled and disclosed, for the tests that only look at it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from collector.center.month.transitions import approve_step, propose_step
from collector.center.runs.month_state import MonthStage
from collector.center.runs.settle_month import settle_month
from collector.model.interval import Month, parse_time_ms
from tests.center.center_batches import FixedClock
from tests.center.made_month import DAYS
from tests.center.runs.center_months import RULES, fill_store
from tests.center.runs.kept_months import copy_state
from tests.center.web.web_world import World, world, world_over
from tests.made_once import made_once
from tests.settlement.made_folders import make_folder

SEED = 3116  # P0 with U0 and U1, P1 with U2; orders over the month's edge, every kind of row
JUNE = Month(2026, 6)
FIRST_RUN = 1
SIXTH_OF_JULY_MS = parse_time_ms("2026-07-06T10:00:00+08:00")


@pytest.fixture(scope="session")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """June 2026, disclosed; shared by all tests, so nothing may be changed in it that another one counts on."""
    with june_world(tmp_path_factory.mktemp("worked")) as made:
        yield made


@contextmanager
def june_world(root: Path, *, disclosed: bool = True, names: Mapping[str, str] | None = None) -> Iterator[World]:
    """A world in which June 2026 was received, imported, settled on the 6th of July and, unless said, disclosed.

    `names`: of plants, else each is called by its id.
    """
    if names:
        make_june(root, disclosed=disclosed, names=names)
    else:
        kept = made_once("june disclosed" if disclosed else "june settled", partial(make_june, disclosed=disclosed))
        copy_state(kept / "state", root / "state")
    with world_over(root / "state", FixedClock(SIXTH_OF_JULY_MS)) as made:
        made.run_id = FIRST_RUN
        yield made


def make_june(root: Path, *, disclosed: bool, names: Mapping[str, str] | None = None) -> None:
    """Make that world's state in `root`."""
    make_folder(random.Random(SEED), root / "folder")
    register = root / "folder/register.toml"
    for plant, name in (names or {}).items():
        text = register.read_text("utf-8")
        assert f'name = "{plant}"' in text
        register.write_text(text.replace(f'name = "{plant}"', f'name = "{name}"'), "utf-8")
    with world(root / "state") as made:
        fill_store(made.store, root / "folder")
        made.clock.now_ms = SIXTH_OF_JULY_MS
        made.run_id = settle_month(made.store, JUNE, rulebook=RULES, actor=made.actor("olga")).id
        assert made.run_id == FIRST_RUN
        if disclosed:
            disclose_june(made)


def disclose_june(made: World) -> None:
    """Disclose the run of June, by two people."""
    olga, anna, now_ms = made.actor("olga"), made.actor("anna"), made.clock.now_ms
    number = made.store.write(
        lambda c: propose_step(
            c, JUNE, MonthStage.DISCLOSED, actor=olga, run_id=made.run_id, now_ms=now_ms, days=DAYS,
            reason="有区域待定",
        )
    ).result()  # fmt: skip
    made.store.write(lambda c: approve_step(c, number, actor=anna, now_ms=now_ms, days=DAYS)).result()
