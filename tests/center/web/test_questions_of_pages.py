# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a page asks the store: held for every page as each role opens it, and the same with many more units."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from collector.center.inputs.imports import current_register
from collector.center.lake.seal import enrol
from collector.center.runs.settle_month import settle_month
from collector.model.interval import Month
from tests.center.runs.center_months import RULES, take
from tests.center.web.conftest import june_world
from tests.center.web.web_world import OTHER_PAGES, PEOPLE, World, pages_of_month, unseen_pages
from tests.size import sized

MOST = 50  # a fifth of them hold rows that decide against their seals, each once a page
UNITS, PLANTS = 60, 12
# Not looked at: files, ways that only lead on, what a program of this machine asks, and what is there for minutes.
NO_PAGES = re.compile(
    r"/|/go|/months|/this/.*|/static/.*|/healthz|/readyz|/metrics|.*/runs|.*/files/.*|.*/own/.*|.*/packages/.*"
    r"|/filings/.*|.*/evidence/.*|.*/reviews/new|/imports/(pending|templates)/.*|.*/(reviews|questions)/\{number:int\}"
)


@contextmanager
def counted() -> Iterator[list[str]]:
    """The questions that are sent to the database meanwhile."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement != "BEGIN":
            sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def questions_of(own: World, who: str) -> dict[str, int]:
    """How often each page asks that this person may open; what is read of a run once is kept."""
    asked: dict[str, int] = {}
    with own.browser(who) as browser:
        for address in (*pages_of_month(own), *OTHER_PAGES):
            if browser.get(address).status_code != 200:
                continue
            with counted() as sent:
                assert browser.get(address).status_code == 200, address
            asked[address] = len(sent)
    return asked


@pytest.mark.parametrize("who", list(PEOPLE)[:: sized(2, 1)])
def test_no_page_asks_the_store_more_often_than_this(worked: World, who: str) -> None:
    asked = questions_of(worked, who)
    assert {address: count for address, count in asked.items() if count > MOST} == {}
    assert len(asked) > 20
    assert min(count for address, count in asked.items() if address != "/login") > 0  # they were counted


def test_every_page_is_among_those_that_are_counted(worked: World) -> None:
    unseen = unseen_pages((*pages_of_month(worked), *OTHER_PAGES))
    assert [path for path in unseen if not NO_PAGES.fullmatch(path)] == []


def test_more_units_are_no_more_questions(worked: World, tmp_path: Path) -> None:
    """The same month with twelve plants and sixty units more, settled; each page asks as often as without them."""
    with june_world(tmp_path) as own:
        register = own.store.read(current_register)
        assert register is not None
        text = register.decode()
        area = re.findall(r'\[\[area\]\]\s+id = "(\w+)"', text)[0]
        more = "".join(
            f'[[plant]]\nid = "Q{n}"\nname = "Q{n}"\narea = "{area}"\nrevenue_basis = "on_grid"\nshares = true\n'
            for n in range(PLANTS)
        ) + "".join(
            f'[[unit]]\nid = "V{n}"\nplant = "Q{n % PLANTS}"\nkind = "coal"\nrated_mw = "600"\n' for n in range(UNITS)
        )
        take(own.store, "register", text + "\n" + more, replace=True)
        plants = {f"Q{n}": ([f"V{k}" for k in range(n, UNITS, PLANTS)], ()) for n in range(PLANTS)}
        own.store.write(lambda c: enrol(c, plants)).result()
        run = settle_month(own.store, Month(2026, 6), rulebook=RULES, actor=own.actor("olga"))
        crowded = replace(own, run_id=run.id)
        few, many = questions_of(worked, "olga"), questions_of(crowded, "olga")

        def of_no_run(found: dict[str, int]) -> dict[str, int]:
            return {re.sub(r"(runs/|run=|[ab]=)\d+", r"\1N", address): count for address, count in found.items()}

        before, after = of_no_run(few), of_no_run(many)
        assert before.keys() == after.keys()
        # A run more than before, of which the board and what compares runs ask a little more.
        assert {a: (before[a], after[a]) for a in before if after[a] > before[a] + 6} == {}
