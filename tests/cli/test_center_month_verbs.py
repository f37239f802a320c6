# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole month at the command line, from disclosure to the bill, by two people and the regulator's letter."""

from __future__ import annotations

import csv
import json
import os
import pwd
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from collector.base.errors import CollectorError, Denied
from collector.base.resources import config_path
from collector.center.lake.seal import enrol
from collector.cli.center.commands import app
from collector.cli.login import system_login, system_user
from tests.center.center_batches import FixedClock, new_store
from tests.center.made_month import add_run, on

Run = Callable[..., Result]
LATE_NOTE = ("--note", "made up for later")
LATE = ("--reason", "made up for later")  # the verbs take the machine's own clock


@pytest.fixture
def state(tmp_path: Path) -> Path:
    with new_store(tmp_path / "state", FixedClock(on(1))) as store:
        add_run(store)
        store.write(lambda c: enrol(c, {"P1": (["U1"], [])})).result()
    return tmp_path / "state"


@pytest.fixture
def run(state: Path) -> Run:
    def call(*words: str, code: int = 0) -> Result:
        # The tests' people share one user of the system, and the center's file says so.
        result = CliRunner().invoke(app, [*words, "--config", str(center_toml(state, shared=True))])
        assert result.exit_code == code, result.output + str(result.exception)
        return result

    return call


def center_toml(state: Path, *, shared: bool) -> Path:
    path = state.parent / f"center-{shared}.toml"
    path.write_text(
        f'schema = 1\n[center]\nstate_dir = "{state}"\nshared_login = {str(shared).lower()}\n'
        '[[plant]]\nid = "P1"\nunits = ["U1"]\nunsigned = true\n',
        "utf-8",
    )
    return path


def test_a_month_from_disclosure_to_the_bill(run: Run, tmp_path: Path) -> None:
    shown_first = run("month", "show", "2026-05").output
    assert "waits for approval" not in shown_first
    assert ("needs --reason" in shown_first) == (date.today() > date(2026, 6, 10))
    assert "proposal 1" in run("month", "propose", "2026-05", "disclosed", "--run", "1", *LATE, "--who", "li").output
    assert "proposal 1 by li: to disclosed, run 1" in run("month", "show", "2026-05").output
    assert "is disclosed, edition 1, run 1" in run("month", "approve", "1", "--who", "wang").output
    run("filings", "2026-05", "--make", "1", "--who", "li", "--out", str(tmp_path / "filings"))
    assert len(list((tmp_path / "filings").iterdir())) == 6
    assert (tmp_path / "filings/2026-05-edition-1-run-1-scheme.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    run("month", "propose", "2026-05", "filed", *LATE, "--who", "li")
    run("month", "refuse", "2", "--note", "等待复核", "--who", "wang")
    run("month", "propose", "2026-05", "filed", *LATE, "--who", "li")
    run("month", "approve", "3", "--who", "wang")
    run("month", "propose", "2026-05", "effective", "--who", "li")
    run("month", "approve", "4", "--document", "华东监能市场〔2026〕5号", "--who", "sun")
    shown = json.loads(run("summary", "2026", "--json", "--out", str(tmp_path / "summary.csv"), "--who", "li").output)
    written = list(csv.DictReader((tmp_path / "summary.csv").read_text("utf-8-sig").splitlines()))
    assert written
    # A share of nothing is empty in both, never 0.
    assert [(r["period"], r["service"], r["share"]) for r in shown] == [
        (r["period"], r["service"], r["share"]) for r in written
    ]
    run("bills", "2026-05", "--out", str(tmp_path / "bill"))
    rows = list(csv.DictReader((tmp_path / "bill/bill-2026-05.csv").read_text("utf-8-sig").splitlines()))
    assert [(r["plant"], r["signed_yuan"], r["document"]) for r in rows] == [
        ("P1", "-4200.00", "华东监能市场〔2026〕5号"),
        ("P2", "27600.00", "华东监能市场〔2026〕5号"),
        ("P3", "-23400.00", "华东监能市场〔2026〕5号"),
    ]
    months = json.loads(run("month", "show", "--json").output)
    assert months[0] | {"since": ""} == {
        "month": "2026-05",
        "状态": "已生效",
        "state": "effective",
        "edition": 1,
        "run": 1,
        "since": "",
    }
    shown = json.loads(run("month", "show", "2026-05", "--json").output)
    assert [s["state"] for s in shown["steps"]] == ["disclosed", "filed", "effective"]
    assert (shown["state"]["month"], shown["open"]) == ("2026-05", [])
    found = json.loads(run("decisions", "--json", "--out", str(tmp_path / "decisions.csv")).output)
    assert [d["outcome"] for d in found if d["kind"] == "month_step"] == ["granted", "refused", "granted"]
    assert "month_filing" in (tmp_path / "decisions.csv").read_text("utf-8-sig")


def test_the_regulators_own_acts_from_its_letter(run: Run, tmp_path: Path) -> None:
    run("month", "propose", "2026-05", "disclosed", "--run", "1", *LATE, "--who", "li")
    run("month", "approve", "1", "--who", "wang")
    run("filings", "2026-05", "--make", "1", "--who", "li", "--out", str(tmp_path / "filings"))
    run("month", "propose", "2026-05", "filed", *LATE, "--who", "li")
    run("month", "approve", "2", "--who", "wang")
    run("regulate", "2026-05", "--approve", "--return", "--who", "sun", code=2)
    run("regulate", "2026-05", "--publish", "--who", "sun", code=1)  # it has not taken effect
    run("regulate", "2026-05", "--approve", "--document", "5号", "--who", "li", code=1)  # who prepared the filing
    approved = run("regulate", "2026-05", "--approve", "--document", "5号", "--who", "sun").output
    assert "is effective, edition 1, run 1" in approved
    assert "is published" in run("regulate", "2026-05", "--publish", *LATE_NOTE, "--who", "sun").output
    assert json.loads(run("month", "show", "2026-05", "--json").output)["open"] == []


def test_a_question_from_paper_to_its_review(run: Run, tables: str) -> None:
    assert "question 1 is taken down" in run(
        "question", "ask", "U1", "2026-05-03", "--text", "少计两小时", "--who", "one"
    ).output  # fmt: skip
    run("question", "ask", "U1", "2026-05-33", "--text", "x", code=2)
    assert "question 1 is answered" in run("question", "answer", "1", "--text", "核查中", "--who", "li").output
    run("question", "ask", "U1", "2026-05-04", "--text", "误登", "--who", "one")
    assert "question 2 is withdrawn" in run("question", "withdraw", "2", "--who", "one").output
    run("month", "propose", "2026-05", "disclosed", "--run", "1", *LATE, "--who", "li")
    run("month", "approve", "1", "--who", "wang")
    claim = ("--run", "1", "--service", "deep_peak", "--from", "2026-05-03T12:00:00+08:00",
             "--to", "2026-05-03T14:00:00+08:00", "--text", "少计两小时")  # fmt: skip
    run("question", "confirm", "1", *claim, "--tables", tables, code=2)  # how much is claimed is not said
    confirmed = run("question", "confirm", "1", *claim, "--yuan", "3660.01", "--tables", tables, "--who", "one").output
    assert "question 1 is review 1 now" in confirmed
    found = json.loads(run("question", "list", "2026-05", "--json").output)
    assert [each["events"][-1]["kind"] for each in found] == ["confirmed", "withdrawn"]
    assert json.loads(run("question", "list", "--open", "--json").output) == []
    assert "少计两小时" in run("review", "show", "1").output
    run("question", "answer", "1", "--text", "x", "--who", "li", code=1)  # closed


@pytest.fixture
def tables(tmp_path: Path) -> str:
    """The shipped calendar, and years around today's without holidays: the verbs take the machine's own clock."""
    folder = Path(shutil.copytree(config_path("calendar"), tmp_path / "calendar"))
    for year in range(date.today().year, date.today().year + 2):
        if not (folder / f"{year}.toml").exists():
            (folder / f"{year}.toml").write_text(
                f'year = {year}\nnotice = "x"\nnotice_date = {year}-01-01\nholiday = []\n'
            )
    return str(folder)


def test_a_review_from_paper_to_ruling(run: Run, tables: str, tmp_path: Path) -> None:
    run("month", "propose", "2026-05", "disclosed", "--run", "1", *LATE, "--who", "li")
    run("month", "approve", "1", "--who", "wang")
    said = run(
        *("review", "submit", "--run", "1", "--unit", "U1", "--service", "deep_peak", "--yuan", "3660.01"),
        *("--from", "2026-05-03T12:00:00+08:00", "--to", "2026-05-03T14:00:00+08:00", "--text", "少计", "--who", "one"),
        *("--tables", tables),
    ).output
    # The tests' machine may have any day: past the 15th it is late, and admitted.
    if "late" in said:
        run("review", "admit", "1", "--text", "补办", "--who", "li", "--tables", tables)
    run("review", "answer", "1", "--text", "核查中", "--who", "li")
    evidence = tmp_path / "证据.pdf"
    evidence.write_bytes(b"%PDF-1.7")
    run("review", "attach", "1", str(evidence), "--who", "li")
    run("review", "decide", "1", "--refuse", "--text", "数据无误", "--who", "li")
    assert "review 1 is refused" in run("review", "decide", "1", "--approve", "--who", "wang").output
    run("review", "escalate", "1", "--text", "仍有异议", "--who", "one")
    ruling = ("--grant", "--text", "裁决", "--document", "裁〔2026〕1号")
    assert "is ruled_granted" in run("review", "decide", "1", *ruling, "--who", "jianguan").output
    run("review", "link", "1", "--run", "1", "--who", "li")
    shown = json.loads(run("review", "show", "1", "--json").output)
    assert [a["name"] for a in shown["attachments"]] == ["证据.pdf"]
    assert (shown["month"], shown["line_value"], shown["state"]) == ("2026-05", "3600.00", "ruled_granted")
    assert json.loads(run("review", "list", "2026-05", "--open", "--json").output) == []
    assert "all" in run("audit", "--verify").output
    assert "review.ruled_granted" in run("audit", "--subject", "review 1", "--json").output
    run("review", "withdraw", "1", "--who", "one", code=1)


def test_duties_of_a_day_and_what_is_late(run: Run) -> None:
    assert "披露统计结果" in run("duties", "2026-05", "--on", "2026-06-05").output
    board = json.loads(run("duties", "2026-05", "--on", "2026-06-11", "--json", code=1).output)
    assert [(r["id"], r["status"], r["due"]) for r in board["rows"]][:2] == [
        ("disclosure", "late", "2026-06-10"),
        ("review", "open", "2026-06-15"),
    ]
    # Without a month: the last one; one that took a step stays until it is published.
    boards = json.loads(run("duties", "--on", "2026-07-05", "--json").output)
    assert [b["month"] for b in boards] == ["2026-06"]
    run("month", "propose", "2026-05", "disclosed", "--run", "1", *LATE, "--who", "li")
    run("month", "approve", "1", "--who", "wang")
    boards = json.loads(run("duties", "--on", "2026-07-05", "--json", code=1).output)
    assert [b["month"] for b in boards] == ["2026-05", "2026-06"]


def test_duties_go_by_the_rulebook_that_center_toml_names(state: Path) -> None:
    rules = Path(shutil.copytree(config_path("rules/east-china-trial"), state.parent / "rules"))
    file = rules / "article-28.toml"
    file.write_text(file.read_text("utf-8").replace('value = "20"', 'value = "19"'), "utf-8")
    config = center_toml(state, shared=True)
    config.write_text(config.read_text("utf-8").replace("[center]\n", '[center]\nrulebook_dir = "rules"\n'), "utf-8")
    words = ["duties", "2026-05", "--on", "2026-06-05", "--json", "--config", str(config)]
    board = json.loads(CliRunner().invoke(app, words).output)
    assert {r["id"]: r["due"] for r in board["rows"]}["filing"] == "2026-06-19"
    file.unlink()
    assert "filing.day: the calendar needs it" in str(CliRunner().invoke(app, words).exception)


def test_another_name_is_not_another_person_at_the_command_line(run: Run, state: Path) -> None:
    run("month", "propose", "2026-05", "disclosed", "--run", "1", *LATE, "--who", "li")
    for place in (("--state", str(state)), ("--config", str(center_toml(state, shared=False)))):
        result = CliRunner().invoke(app, ["month", "approve", "1", "--who", "wang", *place])
        assert (result.exit_code, type(result.exception)) == (1, Denied)
        assert "as the same user of the system" in str(result.exception)
    run("month", "approve", "1", "--who", "wang")
    entries = json.loads(run("audit", "--subject", "2026-05", "--json").output)
    assert {(e["who"], e["role"], e["detail"]["login"]) for e in entries} == {
        ("li", "local", system_login()),
        ("wang", "local", system_login()),
    }


def test_the_system_s_user_is_who_logged_in_else_the_process_s(tmp_path: Path) -> None:
    login_uid = tmp_path / "loginuid"
    mine = pwd.getpwuid(os.getuid()).pw_name
    assert system_user(tmp_path / "nothing") == mine
    login_uid.write_text("4294967295")
    assert system_user(login_uid) == mine
    login_uid.write_text("1999999999")  # nobody's
    assert system_user(login_uid) == "1999999999"


def test_who_prepared_cannot_approve_at_the_command_line_either(run: Run) -> None:
    run("month", "propose", "2026-05", "disclosed", "--run", "1", *LATE, "--who", "li")
    result = run("month", "approve", "1", "--who", "li", code=1)
    assert isinstance(result.exception, CollectorError)
    assert "another person must" in str(result.exception)


@pytest.mark.parametrize(
    "words",
    [
        ("month", "propose", "2026-05", "paid"),
        ("month", "propose", "May", "disclosed"),
        ("duties", "2026-05", "--on", "tomorrow"),
        ("review", "decide", "1"),
        ("review", "decide", "1", "--grant", "--approve"),
    ],
)
def test_a_wrong_command_is_a_usage_error(run: Run, words: tuple[str, ...]) -> None:
    run(*words, code=2)
