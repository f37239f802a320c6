# SPDX-License-Identifier: GPL-3.0-or-later
"""A large file is taken while its sender does other things: how far it is, what was wrong, and that it was cut off."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from collector.center.db.store import CenterStore
from collector.center.inputs.imports import list_imports, take_tables
from collector.center.inputs.pending import keep_pending
from collector.center.inputs.service import delivered_of
from collector.center.inputs.under_way import (
    AT_ONCE_BYTES,
    INTERRUPTED,
    TIME_OF_STEPS,
    FileUnderWay,
    list_takings,
    taking_of,
)
from collector.center.people import audit
from collector.center.web.routes import API
from collector.model.interval import QUARTER_HOUR_MS, parse_time_ms
from tests.center.center_batches import FixedClock
from tests.center.web.web_world import World, world
from tests.patience import HANG_S, wait_until

REGISTER = """[[area]]
id = "jiangsu"
dispatch_mode = "annual_plan"
valley_hours = []
peak_hours = []
[[plant]]
id = "P0"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
[[unit]]
id = "U0"
plant = "P0"
kind = "coal"
rated_mw = "330"
"""
ROWS = 60_000
BEGIN_MS = parse_time_ms("2026-01-01T00:00:00+08:00")


def plan(rows: int = ROWS) -> bytes:
    """Quarter hours one after the other, more bytes than are taken at once."""
    ends = range(BEGIN_MS, BEGIN_MS + (rows + 1) * QUARTER_HOUR_MS, QUARTER_HOUR_MS)
    lines = (f"U0,{start},{end},{200 + start // QUARTER_HOUR_MS % 100}" for start, end in pairwise(ends))
    return ("unit,start,end,power_mw\n" + "\n".join(lines) + "\n").encode()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def own(directory: Path) -> Iterator[World]:
    with world(directory) as made:
        take_register(made.store)
        yield made


def take_register(store: CenterStore) -> None:
    register = delivered_of("register.toml", REGISTER.encode())
    take_tables(store, ["register"], register, who="li", replace=False, rules=None)


def test_a_large_file_is_taken_in_the_background_and_its_page_leads_on_when_it_is(own: World) -> None:
    data = plan()
    assert len(data) > AT_ONCE_BYTES
    with own.browser("olga", "en") as browser:
        sent = browser.post("/imports/check", data={"csrf": own.csrf_of("olga")}, files={"file": ("plan.csv", data)})
        page = sent.headers["location"]
        asked = browser.post(page, data={"csrf": own.csrf_of("olga"), "kind": "plan", "do": "take"})
        assert (asked.status_code, asked.headers["location"]) == (303, page)

        def led_on() -> bool:
            answer = browser.get(page)
            if answer.status_code == 200:  # said to be under way until then, with its share
                assert "<progress" in answer.text
                assert 'http-equiv="refresh"' in answer.text
            return answer.status_code == 303

        wait_until(led_on, "the end of the import")
        [number] = [each["id"] for each in own.store.read(list_imports) if each["kind"] == "plan"]
        assert browser.get(page).headers["location"] == f"/imports?done={number}"
        assert f"{ROWS} rows added" in browser.get(f"/imports?done={number}").text
    last = own.store.read(lambda c: audit.list_entries(c, action="import.take"))
    assert [entry["subject"] for entry in last][:1] == [f"import {number}"]
    assert not list((own.store.directory / "pending").iterdir())


def test_a_program_is_told_how_far_it_is_and_everything_that_is_wrong(own: World) -> None:
    wrong = plan().replace(b"U0,", b"U9,", 1)
    with own.browser() as client:
        token = own.token_of("olga")
        asked = client.post(f"{API}/imports/plan/later?name=plan.csv", content=wrong, headers=token).json()
        assert (asked["state"], asked["step"], asked["share"]) == ("running", "waiting", 0.0)
        place = f"{API}/imports/takings/{asked['token']}"
        wait_until(lambda: client.get(place, headers=token).json()["state"] != "running", "the end of the import")
        told = client.get(place, headers=token).json()
        assert told["state"] == "failed"
        assert [(each["row"], each["key"]) for each in told["problems"]] == [(2, "unit")]
        assert client.get(f"{API}/imports/takings", headers=token).json()["items"] == [told]
        assert client.get(place, headers=own.token_of("paul")).status_code == 403
    with own.browser("olga", "zh") as browser:
        assert "U9" in browser.get("/imports").text
    assert [each["kind"] for each in own.store.read(list_imports)] == ["register"]


KILLED = """
import os, signal, sys, time
from pathlib import Path
from collector.base.clock import SystemClock
from collector.center.db.store import CenterStore
from collector.center.inputs.under_way import TakingsInBackground, taking_of
from collector.center.people.access import Actor, Role
with CenterStore.open(Path(sys.argv[1]), clock=SystemClock()) as store:
    TakingsInBackground().start(
        store, sys.argv[2], ["plan"], actor=Actor("olga", Role.OPERATOR), replace=False, rules=None
    )
    while taking_of(store, sys.argv[2]).step == "waiting":
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_cut_off_is_said_so_counts_for_nothing_and_is_taken_again(directory: Path) -> None:
    with world(directory) as made:
        take_register(made.store)
        token = keep_pending(made.store, "plan.csv", plan(), actor=made.actor("olga"))
    died = subprocess.run([sys.executable, "-c", KILLED, str(directory), token], timeout=HANG_S, check=False)
    assert died.returncode == -signal.SIGKILL
    with CenterStore.open(directory, clock=FixedClock(), create=False) as store:
        found = taking_of(store, token)
        assert found is not None
        assert found.state == INTERRUPTED
        assert [each["kind"] for each in store.read(list_imports)] == ["register"]


def test_the_share_grows_and_says_how_long_is_left() -> None:
    steps = [FileUnderWay("", "olga", "plan.csv", ["plan"], 0, step=step, began_ms=1000) for step in TIME_OF_STEPS]
    assert [int(each.share * 100) for each in steps] == [0, 0, 25, 35]
    assert [each.left_ms(22_000) for each in steps] == [None, None, 63_000, 39_000]


def test_only_who_imports_sees_what_is_being_taken(own: World) -> None:
    assert list_takings(own.store, actor=own.actor("olga")) == []
    with own.browser("aldo") as browser:
        assert browser.get("/imports").status_code == 200
