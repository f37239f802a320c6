# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs from the moment they are asked for, as the month's page and REST show them, on a real socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.base.errors import ConfigError, Problem
from collector.center.people.access import Actor
from collector.center.runs.asking.run_queue import Asking, RunUnderWay, ask
from collector.center.runs.run_list import list_asked
from collector.model.interval import Month
from tests.center.runs.center_months import take
from tests.center.runs.late_changes import register
from tests.center.web.web_browser import site
from tests.center.web.web_world import World, world
from tests.patience import HANG_S, wait_until

JUNE = Month(2026, 6)
PROBLEMS = tuple(Problem("plan.csv", row, "unit", f"unknown unit 'X{row}'") for row in range(2, 32))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """A center without inputs."""
    with world(tmp_path) as made:
        yield made


def get(address: str, own: World, path: str, name: str = "olga", *, language: str = "en") -> Any:
    headers = {**own.token_of(name), "accept-language": language}
    answer = httpx.get(f"{address}/api/v1{path}", headers=headers, timeout=HANG_S)
    assert answer.status_code == 200, answer.text
    return answer.json()


def page(address: str, own: World, language: str) -> str:
    cookies = {"collector_session": own.session_of("olga"), "collector_language": language}
    answer = httpx.get(f"{address}/months/{JUNE}", cookies=cookies, timeout=HANG_S)
    assert answer.status_code == 200, answer.text
    return answer.text


def settle(address: str, own: World, note: str = "") -> Any:
    path = f"{address}/api/v1/months/{JUNE}/settle"
    answer = httpx.post(path, json={"note": note}, headers=own.token_of("olga"), timeout=HANG_S)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def test_a_run_of_another_process_is_seen_with_its_progress_and_its_problems(own: World) -> None:
    """Asked for at the command line: the pages know of it by the store alone."""
    begun, may_end = threading.Event(), threading.Event()

    def work(run: RunUnderWay) -> None:
        run.tell("measuring", 12, 60)
        begun.set()
        assert may_end.wait(HANG_S)
        raise ConfigError(PROBLEMS)

    asked = ask(own.store, Asking(JUNE, Actor.at_command_line("li"), ()), work)
    with site(own) as address, ThreadPoolExecutor(1) as terminal:
        [row] = get(address, own, "/runs")["items"]
        assert (row["id"], row["state"], row["progress"], row["began_ms"]) == (1, "queued", None, None)
        for language, told in (("zh", "排队中"), ("en", "queued")):
            assert told in page(address, own, language)
        made = terminal.submit(asked.carry_out)
        begun.wait(HANG_S)
        own.store.write(lambda _: None).result()  # what was told before is written now
        [row] = get(address, own, "/runs?state=running")["items"]
        # Sealing, laying out and reading take 45 % of a run, measuring another 45, of which a fifth is done: 54 %.
        now = {"doing": "measuring", "done": 12, "of": 60, "share": "0.540"}
        assert row["progress"] == now | {"left_ms": None}
        own.clock.now_ms += 270_000  # so far 4.5 min for 54 %: the other 46 % take 230 s
        [row] = get(address, own, "/runs?state=running")["items"]
        assert row["progress"] == now | {"left_ms": 230_000}
        behind = settle(address, own)
        assert (behind["id"], behind["state"], behind["done"], behind["run_id"]) == (2, "queued", False, None)
        assert settle(address, own) == behind  # pressed twice
        for language, told in (
            ("zh", "运行 1（li，"),
            ("zh", "计量"),
            ("en", "Run 1 (li,"),
            ("en", "measuring plant-days"),
        ):
            assert told in page(address, own, language)
        assert '<progress max="100" value="54"' in page(address, own, "en")
        assert "12 / 60" in page(address, own, "en")
        assert "about 4 min left" in page(address, own, "en")
        assert "54 % · 约剩 4 分钟" in page(address, own, "zh")
        may_end.set()
        with pytest.raises(ConfigError):
            made.result()
        wait_until(lambda: not own.store.read(list_asked)[1].is_open, "the run behind it")
        failed = get(address, own, "/runs/1")
        assert (failed["state"], failed["error"], failed["problem_count"]) == ("failed", "30 problems", 30)
        assert [(p["row"], p["message"]) for p in failed["problems"]] == [(p.row, p.message) for p in PROBLEMS]
        listed = get(address, own, "/runs?state=failed")["items"]
        assert [(row["id"], row["problem_count"], len(row["problems"])) for row in listed] == [(2, 0, 0), (1, 30, 5)]
        for language, told in (("zh", "运行 2（"), ("en", "Run 2, asked for")):
            html = page(address, own, language)
            assert told in html
            assert all(f"unknown unit &#39;X{p.row}&#39;" in html for p in PROBLEMS)
        assert httpx.get(f"{address}/api/v1/runs/1/lines", headers=own.token_of("olga")).status_code == 404
        assert get(address, own, "/runs", "paul")["total"] == 0
        hidden = httpx.get(f"{address}/api/v1/runs/1", headers=own.token_of("paul"), timeout=HANG_S)
        assert hidden.status_code == 404


def test_a_settlement_that_is_refused_says_why_after_a_restart_too(own: World) -> None:
    with site(own) as address:
        job = settle(address, own)
        wait_until(lambda: get(address, own, f"/months/{JUNE}/job")["done"], "the run")
        told = get(address, own, f"/months/{JUNE}/job")
        assert (told["id"], told["run_id"], told["state"]) == (job["id"], None, "failed")
        assert "no register yet" in told["error"]
    take(own.store, "register", register())
    with site(own) as address:  # another process, as far as the pages know
        assert "no register yet" in get(address, own, f"/months/{JUNE}/job")["error"]
        assert "no register yet" in page(address, own, "en")
        assert "尚无台账" in page(address, own, "zh")
        for path in (f"/months/{JUNE}/job", "/runs/1"):
            assert "尚无台账" in get(address, own, path, language="zh-CN")["error"]
        settle(address, own)
        wait_until(lambda: get(address, own, f"/months/{JUNE}/job")["done"], "the run")
        made = get(address, own, f"/months/{JUNE}/job")
        assert (made["id"], made["run_id"], made["error"]) == (2, 2, "")
        assert [row["state"] for row in get(address, own, "/runs")["items"]] == ["done", "failed"]
        csv = httpx.get(f"{address}/api/v1/runs?format=csv", headers=own.token_of("olga"), timeout=HANG_S).text
        assert ",state,asked,began,ended,progress,error,problem_count,problems" in csv.splitlines()[0]
