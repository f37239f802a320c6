# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command of the documentation is run, or the list beside this test says why not and what tries it instead."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from collector.center.lake.seal import enrol
from tests.center.runs.center_months import new_store, take
from tests.center.runs.late_changes import PLAN, at, fill, plan_rows, register
from tests.center.web.web_browser import site
from tests.center.web.web_world import world
from tests.docs.command_list import commands_and_tests
from tests.docs.doc_commands import ROOT, Scratch, commands_of, every_command, pages
from tests.patience import HANG_S

LIST: Final[dict[str, Any]] = tomllib.loads((ROOT / "tests/docs/commands.toml").read_text("utf-8"))
NOT_RUN: Final = {command for each in LIST["not_run"] for command in each["commands"]}
CODES: Final = {command: each["code"] for each in LIST["ends"] for command in each["commands"]}
BEFORE: Final = {each["command"]: each["do"] for each in LIST["before"]}
CENTER = """schema = 1
[center]
state_dir = "{root}/var/lib/collector-center"
signing_key_file = "{root}/etc/collector/center.key"
shared_login = true
[mqtt]
port = 1
[[plant]]
id = "P1"
units = ["U1", "U2"]
unsigned = true
[[plant]]
id = "P2"
units = ["V1"]
unsigned = true
"""


def is_run(command: str) -> bool:
    return command not in NOT_RUN and not command.startswith("curl ")


WITH_COMMANDS: Final = [page for page in pages() if any(map(is_run, commands_of(page)))]


def test_the_list_names_commands_of_the_pages_and_tests_that_exist() -> None:
    shown = {command for _, command in every_command()}
    assert len(shown) > 150  # the pattern that finds them has not gone blind
    assert NOT_RUN | set(CODES) | set(BEFORE) <= shown
    assert not NOT_RUN & (set(CODES) | set(BEFORE))
    assert [each["held_by"] for each in LIST["not_run"] if not (ROOT / each["held_by"]).exists()] == []
    assert all(each["why"] for each in LIST["not_run"] + LIST["ends"])
    rows = list(commands_and_tests())
    assert {(page, command) for page, command, _ in rows} == {
        (page, " ".join(command.split())) for page, command in every_command()
    }
    assert all((ROOT / test).exists() for _, _, test in rows)


def scratch_for(page: str, root: Path) -> Scratch:
    """A root with what the readers of a page have before them."""
    for name in ("config", "docs", "requirements", "systemd", "Makefile"):
        (root / name).symlink_to(ROOT / name)
    for name in ("etc/collector", "etc/mosquitto/conf.d", "etc/systemd/system", "var/lib", "backup", "packages"):
        (root / name).mkdir(parents=True)
    if page in ("docs/center.md", "docs/month.md"):
        with new_store(root / "var/lib/collector-center") as store:
            fill(store)
            store.write(lambda c: enrol(c, {"P1": (["U1", "U2"], []), "P2": (["V1"], [])})).result()
        (root / "center.toml").write_text(CENTER.format(root=root), "utf-8")
        (root / "plan.csv").write_text(PLAN + "".join(plan_rows("U2", range(1, 3))), "utf-8")
        (root / "late.csv").write_text(PLAN + f"U1,{at(12, 6)},{at(12, 12)},300,{at(12, 5)}\n", "utf-8")
        (root / "granted.csv").write_text(f"unit,service,start,end,reason\nU1,*,{at(7, 3)},{at(7, 4)},grid\n", "utf-8")
        (root / "register.toml").write_text(register(), "utf-8")
        (root / "revenue.csv").write_text("plant,month,kind,amount_yuan\nP1,2026-07,energy,1000\n", "utf-8")
        records = f"time,unit,active_power_mw,on_grid\n{at(8, 1)},U1,400,1\n"
        (root / "archive-2026-06.csv").write_text(records, "utf-8")
    if page == "docs/settle.md":
        shutil.copytree(ROOT / "tests/golden/deep-peak-shanghai-annual-plan/when", root / "march")
    return Scratch(root)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_of_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    scratch, failed = scratch_for(name, tmp_path), []
    changes = [
        pair for each in LIST["changed"] if each["page"] == name for pair in zip(each["from"], each["to"], strict=True)
    ]
    for command in filter(is_run, commands_of(page)):
        changed = command
        for old, new in changes:
            changed = changed.replace(old, new)
        for first in BEFORE.get(command, ()):
            code, said = scratch.run(first)
            assert code == 0, f"{first}: {said}"
        code, said = scratch.run(changed)
        expected = CODES.get(command, 0)
        if code not in (expected if isinstance(expected, list) else [expected]):
            failed.append(f"{changed}: exit code {code}\n{said[-1500:]}")
    assert not failed, "\n\n".join(failed)


def test_certificates_of_the_manual_pass_the_strict_checks_of_newer_pythons(tmp_path: Path) -> None:
    """From 3.13 on Python has OpenSSL refuse an authority that does not say that it signs certificates."""
    scratch = Scratch(tmp_path)
    made = [command for command in commands_of(ROOT / "docs/center.md") if "openssl" in command]
    assert len(made) == 2
    for command in made:
        assert scratch.run(command)[0] == 0
    for name, shown_as in (("broker.dispatch.example", "server"), ("center", "client"), ("gateway-1", "client")):
        code, said = scratch.run(f"openssl verify -x509_strict -purpose ssl{shown_as} -CAfile ca.pem {name}.pem")
        assert code == 0, said


def test_every_curl_line_is_answered_by_the_pages(tmp_path: Path) -> None:
    lines = [command for _, command in every_command() if command.startswith("curl ") and command not in NOT_RUN]
    assert lines
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "plan.csv").write_text(PLAN + "".join(plan_rows("U2", range(1, 3))), "utf-8")
    with world(tmp_path / "state") as made, site(made) as address:
        take(made.store, "register", register())
        token = made.token_of("olga")["authorization"].removeprefix("Bearer ")
        for line in lines:
            command = line.replace("http://127.0.0.1:8080", address).replace("https://center.example:8080", address)
            command = command.replace("plants/coal/units/coal-1/", "plants/P0/units/U0/")
            done = subprocess.run(
                ["bash", "-c", command.replace("curl ", "curl --fail --silent --show-error ", 1)], cwd=tmp_path,
                env={**os.environ, "TOKEN": token}, capture_output=True, text=True, timeout=HANG_S,
            )  # fmt: skip
            assert done.returncode == 0, f"{command}: {done.stderr}"
