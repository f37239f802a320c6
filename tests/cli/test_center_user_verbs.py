# SPDX-License-Identifier: GPL-3.0-or-later
"""`center user` and `center token`: the first administrator, made on the command line, can log in."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from collector.base.clock import SystemClock
from collector.center.db.store import CenterStore
from collector.center.people.audit import list_entries
from collector.center.people.sessions import log_in
from collector.center.people.tokens import token_actor
from collector.cli.main import app

SECRET = "correct horse battery"


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["center", *words])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.stdout


def test_the_first_administrator_is_made_on_the_command_line_and_logs_in(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(SECRET + "\n", "utf-8")
    state = str(tmp_path / "state")
    made = run("user", "add", "wang", "--role", "administrator", "--password-file", str(tmp_path / "password"),
               "--state", state)  # fmt: skip
    assert made == "wang: administrator\n"
    assert [row["name"] for row in json.loads(run("user", "list", "--state", state, "--json"))] == ["wang"]
    token = run("token", "add", "wang", "nightly export", "--state", state).strip()
    with CenterStore.open(tmp_path / "state", clock=SystemClock()) as store:
        assert log_in(store, "wang", SECRET, address="127.0.0.1")
        actor = token_actor(store, token)
        assert actor is not None
        assert (actor.name, actor.local) == ("wang", False)
    run("token", "revoke", "1", "--state", state)
    assert "revoked" in run("token", "list", "--state", state)
    run("token", "add", "wang", "weekly export", "--state", state)
    run("user", "role", "wang", "king", "--state", state, code=2)
    said = run("user", "role", "wang", "plant", "--plant", "P1", "--state", state)
    assert said == "wang: plant of P1; sessions ended, tokens revoked\n"
    assert [bool(row["revoked_ms"]) for row in json.loads(run("token", "list", "--state", state, "--json"))] == [
        True
    ] * 2
    run("user", "disable", "wang", "--state", state)
    with CenterStore.open(tmp_path / "state", clock=SystemClock()) as store:
        assert log_in(store, "wang", SECRET, address="127.0.0.1") is None
        actions = [entry["action"] for entry in store.read(list_entries)]
        assert actions[:2] == ["account.disable", "account.role"]
        assert SECRET not in json.dumps(store.read(list_entries))


def test_a_password_is_never_an_argument(tmp_path: Path) -> None:
    # Without a terminal there is nobody to ask: a file must be named.
    run("user", "add", "li", "--role", "auditor", "--state", str(tmp_path), code=2)


def test_a_short_password_and_an_unknown_role_are_refused(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("short", "utf-8")
    file = str(tmp_path / "password")
    run("user", "add", "li", "--role", "auditor", "--password-file", file, "--state", str(tmp_path), code=1)
    run("user", "add", "li", "--role", "king", "--password-file", file, "--state", str(tmp_path), code=2)
