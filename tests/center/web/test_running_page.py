# SPDX-License-Identifier: GPL-3.0-or-later
"""The running month as a page and by REST: hand workings, the same days of last month, and what a plant may see.

Every coal unit is of 600 MW at P1 and P0, by annual plan (10 yuan/MWh), lower limit 354 MW (59 %), gate 240 MW; eight
valley hours a night, one record a day that holds. U2 of P1: 200 MW in June, 220 MW in May; U0 of P0: 300 MW, never
below the gate. So a night of June is 8 h · 154 MW · 10 = 12 320 yuan, one of May 8 h · 134 MW · 10 = 10 720.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from collector.center.runs.run_list import list_runs
from collector.center.runs.variants.running_month import ask_to_settle_running
from collector.center.web.app import build_app
from collector.model.interval import local_midnight_ms
from collector.model.record import Quality, UnitLayout, UnitRecord
from tests.center.runs.center_months import JUNE, RULES, Gateway, take
from tests.center.web.web_browser import log_in, site, tab
from tests.center.web.web_world import World, world
from tests.headless import chromium
from tests.patience import wait_until

HERE = f"/months/{JUNE}/running"
REGISTER = """
[policy]
hold_limit_s = 90000

[[area]]
id = "jiangsu"
name = "江苏"
dispatch_mode = "annual_plan"
valley_hours = ["00:00-08:00"]
peak_hours = ["08:00-11:00"]
hours_filing = "filed"
""" + "".join(
    f"""
[[plant]]
id = "{plant}"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true

[[unit]]
id = "{unit}"
plant = "{plant}"
kind = "coal"
rated_mw = "600"
"""
    for plant, unit in (("P0", "U0"), ("P1", "U2"))
)


def send(own: World, plant: str, unit: str, first: date, days: int, power_mw: int, sent: int = 0) -> None:
    """A record at the start of each day: on grid at an output."""
    gateway = Gateway(own.store, plant, [unit], sent=sent)
    for number in range(days):
        time_ms = local_midnight_ms(first + timedelta(days=number))
        record = UnitRecord(unit, time_ms, (power_mw * 1000, 1), (Quality.GOOD, Quality.GOOD))
        gateway.send([UnitLayout(unit, ("active_power_mw", "on_grid"))], [record])


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """On the 13th of June at noon, all sealed up to the 12th; May whole; revenue of May."""
    with world(tmp_path / "state") as made:
        made.clock.now_ms = local_midnight_ms(date(2026, 6, 13)) + 12 * 3_600_000
        take(made.store, "register", REGISTER)
        take(made.store, "revenue", "plant,month,kind,amount_yuan\nP0,2026-05,energy,1\nP1,2026-05,energy,3\n")
        send(made, "P1", "U2", date(2026, 5, 1), 31, 220)
        send(made, "P1", "U2", date(2026, 6, 1), 12, 200, sent=31)
        send(made, "P0", "U0", date(2026, 5, 1), 43, 300)
        yield made


def test_the_month_so_far_by_service_against_the_same_days_and_as_a_forecast(own: World) -> None:
    with chromium() as browser, site(own) as address, tab(browser, address) as (page, seen):
        log_in(page, "olga")
        page.goto(HERE)
        expect(page.locator("main")).to_contain_text("尚未结算至今")
        page.get_by_role("button", name="结算至最近封存日").click()
        wait_until(lambda: len(own.store.read(list_runs)) == 1, "the run")
        page.goto(HERE)
        cells = page.locator("#services tr", has_text="深度调峰").locator("td")
        expect(cells.nth(2)).to_have_text("147 840.00")  # 12 nights
        expect(cells.nth(1)).to_have_text("+12 320.00")
        expect(cells.nth(4)).to_contain_text("369 600.00")  # 12 nights as 30
        expect(cells.nth(3)).to_have_text("未定")
        expect(page.locator("main")).to_contain_text("暂定：截至 2026-06-13 00:00:00，30 天中的 12 天")
        expect(page.locator("main")).to_contain_text("分摊按 2026-05 的电费收入估算")
        page.get_by_role("button", name="结算 2026-05 同期以作比较").click()
        wait_until(lambda: len(own.store.read(list_runs)) == 2, "the run to compare with")
        page.goto(HERE)
        expect(cells.nth(3)).to_have_text("128 640.00")  # 12 of the 31 nights
        assert seen.complaints == []
    with own.browser() as client:
        said = client.get(f"/api/v1{HERE}", headers=own.token_of("olga")).json()
    (deep,) = [each for each in said["services"] if each["service"] == "deep_peak"]
    assert (deep["amount_yuan"], deep["before_yuan"], deep["forecast_yuan"]) == ("147840.00", "128640.00", "369600.00")
    assert said["elapsed_days"] == 12


def test_a_plant_sees_its_own_figures_or_what_the_setting_says(own: World) -> None:
    ask_to_settle_running(own.store, JUNE, rulebook=RULES, actor=own.actor("olga")).carry_out()
    for name, mine, other in (("paul", "P1", "P0"), ("petra", "P0", "P1")):
        with own.browser(name, "en") as client:
            page = client.get(HERE).text
            said = client.get(f"/api/v1{HERE}?plant={other}", headers=own.token_of(name)).json()
        assert f"<td>{mine}</td>" in page
        # A token of a form may hold any two letters.
        assert other not in re.sub(r'value="[^"]{16,}"', "", page)
        assert {each["plant"] for each in [*said["units"], *said["left"]]} == {mine}
        # The compensation of the other plant is not to be had by subtraction either.
        assert "Areas:" not in page
    amounts = {"nothing": (404, False), "own_and_areas": (200, True)}
    for setting, (status, areas) in amounts.items():
        web = own.settings.web.model_copy(update={"plants_see_running": setting})
        settings = own.settings.model_copy(update={"web": web})
        there = replace(own, app=build_app(own.store, settings), settings=settings)
        with there.browser("petra", "en") as client:
            answer = client.get(HERE)
            assert (answer.status_code, "147\u202f840.00" in answer.text) == (status, areas)
            assert client.get(f"/api/v1{HERE}", headers=there.token_of("petra")).status_code == status


def test_each_table_is_a_list_of_its_own_in_the_address_and_as_a_file(own: World) -> None:
    """By hand, of June: P1 is paid 12 nights of 12 320.00, all of the deep peak; each bears by its revenue of May."""
    take(own.store, "register", REGISTER.replace('id = "P1"', 'id = "P1"\nname = "演示燃煤电厂"', 1), replace=True)
    ask_to_settle_running(own.store, JUNE, rulebook=RULES, actor=own.actor("olga")).carry_out()

    def file(name: str, query: str) -> list[dict[str, str]]:
        with own.browser(name, "en") as client:
            answer = client.get(f"{HERE}?{query}")
        assert answer.headers["content-disposition"].startswith("attachment")
        return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))

    paid = [(row["Plant"], row["Name of the plant"], row["Compensation"]) for row in file("olga", "plants.export=csv")]
    assert paid == [("P0", "", "0.00"), ("P1", "演示燃煤电厂", "147840.00")]
    # What is chosen of one list is not chosen of another.
    query = "units.sort=-unit&units.q=u&left.is.plant=P1&plants.q=演示燃煤"
    assert [row["Unit"] for row in file("olga", f"{query}&units.export=csv")] == ["U2", "U0"]
    assert [row["Plant"] for row in file("olga", f"{query}&plants.export=csv")] == ["P1"]
    assert {row["Plant"] for row in file("olga", f"{query}&left.export=csv")} <= {"P1"}
    # A plant's file is of its own rows.
    assert [row["Plant"] for row in file("petra", "plants.export=csv")] == ["P0"]
    assert [row["Unit"] for row in file("petra", "units.export=csv")] == ["U0"]
    with chromium() as browser, site(own) as address, tab(browser, address) as (page, seen):
        log_in(page, "olga")
        page.goto(HERE)
        page.locator("input[name='units.q']").fill("U2")
        page.get_by_role("search", name="AGC与AVC").get_by_role("button", name="应用").click()
        page.wait_for_url("**#units")
        table = page.get_by_role("region", name="AGC与AVC").locator("tbody tr")
        expect(table).to_have_count(1)
        expect(table).to_contain_text("演示燃煤电厂 P1")
        page.get_by_role("region", name="电厂").get_by_role("link", name="结算费用").click()
        expect(page.get_by_role("region", name="电厂").locator("tbody tr")).to_have_count(2)
        expect(table).to_have_count(1)
        assert "units.q=U2" in page.url
        assert seen.complaints == []
