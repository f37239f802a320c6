# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of a month that was settled and disclosed: what each person finds on them, in both languages."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from datetime import date
from decimal import Decimal

import pytest

from collector.center.runs.stored_run import open_run
from collector.center.web import render
from collector.report.evidence import TITLES
from collector.report.words import SERVICES
from tests.center.web.web_world import JUNE as HERE
from tests.center.web.web_world import World, pages_of_month


def text_of(page: str) -> str:
    """What a reader sees of a page."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def test_the_questions_the_text_leaves_open_are_asked_in_the_reader_s_language(worked: World) -> None:
    chinese, english = "AVC指令怎样才算完成?", "When is an AVC order fulfilled?"
    for language, shown, hidden in (("zh", chinese, english), ("en", english, chinese)):
        with worked.browser("olga", language) as browser:
            page = text_of(browser.get(f"{HERE}/rulebook").text)
            assert shown in page
            assert hidden not in page


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_page_opens_for_staff(worked: World, language: str) -> None:
    with worked.browser("olga", language) as browser:
        for address in pages_of_month(worked):
            # A review is a plant's to ask for.
            assert browser.get(address).status_code == (403 if "/reviews/new" in address else 200), address


def test_every_template_can_be_read() -> None:
    for path in sorted(render.TEMPLATES.glob("*.html")):
        render.environment().get_template(path.name)


def test_every_line_opens_and_says_its_amount(worked: World) -> None:
    run = open_run(worked.store, worked.run_id)
    with worked.browser("olga") as browser:
        for line in run.lines:
            found = browser.get(f"{HERE}/runs/{worked.run_id}/lines/{line.unit}/{line.service}")
            assert found.status_code == 200, line
            if line.amount_yuan is not None:
                digits = re.sub(r"[^0-9.\-]", "", text_of(found.text))
                assert str(line.amount_yuan) in digits, line


def test_the_totals_of_the_page_are_those_of_the_lines(worked: World) -> None:
    """Summed here from lines.csv, as anybody could."""
    with worked.browser("olga") as browser:
        rows = list(csv.DictReader(io.StringIO(browser.get(f"{HERE}/runs/{worked.run_id}/files/lines.csv").text)))
        page = browser.get(f"{HERE}/runs/{worked.run_id}").text
        as_e_text = browser.get(f"{HERE}/runs/{worked.run_id}/files/statement.e").text
    assert len(re.findall(r"^# ", as_e_text.split("</lines::")[0], re.MULTILINE)) == len(rows)
    total = sum((Decimal(row["amount_yuan"]) for row in rows if row["amount_yuan"]), Decimal(0))
    assert str(total) in re.sub(r"[^0-9.\-]", "", text_of(page))


def test_a_plants_user_sees_its_own_lines_and_of_others_only_the_totals(worked: World) -> None:
    run = open_run(worked.store, worked.run_id)
    mine = {line.unit for line in run.lines if line.plant == "P1"}
    others = {line.unit for line in run.lines if line.plant != "P1"}
    assert mine
    assert others
    with worked.browser("paul", "en") as browser:
        lines = text_of(browser.get(f"{HERE}/runs/{worked.run_id}/lines").text)
        assert all(f" {unit} " in lines for unit in mine)
        assert not any(f" {unit} " in lines for unit in others)
        for unit in others:
            service = next(line.service for line in run.lines if line.unit == unit)
            for part in (f"lines/{unit}/{service}", f"days/{unit}/2026-06-03", f"records/{unit}?from=0&to=1"):
                assert browser.get(f"{HERE}/runs/{worked.run_id}/{part}").status_code == 404
        page = text_of(browser.get(f"{HERE}/runs/{worked.run_id}").text)
        assert " P0 " not in page
        for area in run.areas:
            assert str(area.compensation_yuan) in re.sub(r"[^0-9.\-]", "", page)
        assert browser.get(f"{HERE}/runs/{worked.run_id}/files/lines.csv").status_code == 403
        assert browser.get(f"{HERE}/compare?a={worked.run_id}&b={worked.run_id}").status_code == 403
        assert browser.get(f"{HERE}/completeness/2026-06-03/P0/U0").status_code == 403
        assert " P0 " not in text_of(browser.get(f"{HERE}/completeness").text)
        assert " U0 " not in text_of(browser.get(f"{HERE}/completeness/2026-06-03").text)


def test_a_day_is_drawn_from_its_records(worked: World) -> None:
    """The curve's first value is the record's that holds at midnight or comes first after it."""
    run = open_run(worked.store, worked.run_id)
    with worked.browser("olga", "en") as browser:
        page = browser.get(f"{HERE}/runs/{worked.run_id}/days/U0/2026-06-03").text
    found = re.search(r'<script type="application/json" id="drawing-day">(.*?)</script>', page, re.DOTALL)
    assert found
    drawing = json.loads(found[1])
    begin = run.month.interval.start_ms + 2 * 86_400_000
    first = next(
        value.value
        for row in run.records("U0", begin, begin + 86_400_000)
        if (value := row.values.get("active_power_mw")) is not None and value.value is not None and value.quality < 2
    )
    assert first in {Decimal(step[2]) / 1000 for step in drawing["power"][:3]}
    assert all(0 <= a <= b <= 86_400_000 for a, b, _ in drawing["power"])
    drawn = set(run.segments("U0", day=date(2026, 6, 3))["service"].to_pylist())
    assert drawn
    assert {lane["name"] for lane in drawing["lanes"]} >= {SERVICES[service][1] for service in drawn}


@pytest.mark.parametrize(
    "address",
    [
        "/months/2026-13",
        "/months/garbage/rulebook",
        "/months/2026-05/runs/1",
        f"{HERE}/runs/424242",
        f"{HERE}/runs/1/lines/U0/nothing",
        f"{HERE}/runs/1/lines/nobody/deep_peak",
        f"{HERE}/runs/1/days/U0/2026-07-01",
        f"{HERE}/runs/1/days/U0/yesterday",
        f"{HERE}/runs/1/files/..%2F..%2Fcenter.sqlite",
        f"{HERE}/completeness/2026-07-01",
    ],
)
def test_what_is_not_there_is_said_so(worked: World, address: str) -> None:
    with worked.browser("olga") as browser:
        assert browser.get(address).status_code == 404


def test_a_form_without_its_button_decides_nothing(worked: World) -> None:
    """A proposal is refused by a button, never by a form that lost its data."""
    with worked.browser("anna") as browser:
        answer = browser.post("/proposals/1/decide", data={"csrf": worked.csrf_of("anna"), "note": "x"})
    assert answer.status_code == 409


@pytest.mark.parametrize("language", ["zh", "en"])
def test_evidence_shows_a_plant_s_user_its_own_units_and_staff_all(worked: World, language: str) -> None:
    run = open_run(worked.store, worked.run_id)
    with worked.browser("olga", language) as browser:
        for name in TITLES:
            if f"{name}.csv" in run.manifest["files"]:
                page = browser.get(f"{HERE}/runs/{worked.run_id}/evidence/{name}")
                assert page.status_code == 200
                # What a file says in both languages, a page says in the reader's.
                other = {"zh": ("假定(英文)", "英文说明"), "en": ("assumption, in Chinese", "in Chinese")}[language]
                assert not any(f">{heading}<" in page.text for heading in other)
        everything = browser.get(f"/api/v1/runs/{worked.run_id}/evidence/deep_peak").text
    assert everything.encode() == run.statement_file("deep_peak.csv")
    mine = {line.unit for line in run.lines if line.plant == "P1"}
    with worked.browser("paul", language) as browser:
        for name in TITLES:
            if f"{name}.csv" in run.manifest["files"] and name not in ("findings", "left_totals"):
                rows = csv.DictReader(io.StringIO(browser.get(f"/api/v1/runs/{worked.run_id}/evidence/{name}").text))
                assert {row["unit"] for row in rows} <= mine
        totals = browser.get(f"/api/v1/runs/{worked.run_id}/evidence/left_totals").text
        assert {row["plant"] for row in csv.DictReader(io.StringIO(totals))} == {"P1"}
        assert browser.get(f"{HERE}/runs/{worked.run_id}/evidence/findings").status_code == 404
        assert browser.get(f"/api/v1/runs/{worked.run_id}/evidence/findings").status_code == 404


@pytest.mark.parametrize("language", ["zh", "en"])
def test_what_was_found_is_said_in_sentences_and_has_its_code_in_files_only(worked: World, language: str) -> None:
    run = open_run(worked.store, worked.run_id)
    codes = {f.code for f in run.findings}
    assert codes
    line = next(line for line in run.lines if any(f.subject == f"{line.unit}/{line.service}" for f in run.findings))
    top = f"{HERE}/runs/{worked.run_id}"
    with worked.browser("olga", language) as browser:
        for address in (top, f"{top}/evidence/findings", f"{top}/lines/{line.unit}/{line.service}"):
            shown = text_of(browser.get(address).text)
            assert codes.isdisjoint(re.findall(r"[a-z_]+_[a-z_]+", shown)), address
            assert f"{line.unit}/{line.service}" not in shown, address
            assert f"{line.unit} {SERVICES[line.service][language == 'en']}" in shown, address
            if "/lines/" in address and language == "zh":  # names of values and of what was measured, units
                assert not re.search(r"[a-z]+_[a-z_]+|policy\.|t_[A-Z]|E_deep|yuan|MWh| h ", shown)
        rows = csv.DictReader(io.StringIO(browser.get(f"/api/v1/runs/{worked.run_id}/evidence/findings").text))
        assert {row["code"] for row in rows} == codes
