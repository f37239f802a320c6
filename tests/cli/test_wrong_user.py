# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that another user made: every verb says whose they are and what to do, and none ends in a traceback."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from collector.base.ownership import first_closed
from tests.center.db.postgresql_server import find_programs, plain_url, running_server
from tests.patience import HANG_S

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")
ROOT = Path(__file__).parents[2]

CENTER = """schema = 1
[center]
state_dir = "{folder}/state"
listen = ""
[[plant]]
id = "P1"
units = ["U1"]
unsigned = true
"""
AGENT = """schema = 1
[gateway]
id = "gateway-1"
state_dir = "{folder}/agent"
[[plant]]
id = "P1"
[[unit]]
id = "U1"
plant = "P1"
[[device]]
id = "governor-1"
protocol = "modbus_tcp"
points = "governor_modbus.csv"
unit = "U1"
host = "127.0.0.1"
port = 1502
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A center's folder with a store and a backup of it; not below pytest's folder, which is root's alone."""
    place = Path(tempfile.mkdtemp(prefix="collector-users-"))
    (place / "agent").mkdir()
    shutil.copy(ROOT / "config/points/governor_modbus.csv", place)
    (place / "password").write_text("correct horse battery\n")
    write_settings(place)
    make = [sys.executable, "-m", "collector.cli.main", "center"]
    config = ["--config", str(place / "center.toml")]
    add = ["user", "add", "li", "--role", "auditor", "--password-file", str(place / "password")]
    subprocess.run([*make, *add, *config], check=True, capture_output=True, timeout=HANG_S)
    subprocess.run([*make, "backup", str(place / "backup"), *config], check=True, capture_output=True, timeout=HANG_S)
    for path in place.iterdir():
        path.chmod(0o644 if path.is_file() else 0o700)
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def write_settings(place: Path) -> None:
    for file, text in (("center.toml", CENTER), ("agent.toml", AGENT)):
        (place / file).write_text(text.format(folder=place))


@pytest.fixture
def folder(made: Path) -> Iterator[Path]:
    """`root/` and `wrong/` with the same store, both made by root."""
    top = Path(tempfile.mkdtemp(prefix="collector-users-"))
    top.chmod(0o755)
    for name in ("root", "wrong"):
        shutil.copytree(made, top / name)
        write_settings(top / name)
    yield top
    shutil.rmtree(top)


def told_to_nobody(verbs: list[list[str]], *, cwd: Path = ROOT) -> list[tuple[int, str]]:
    script = Path(__file__).with_name("as_another_user.py")
    done = subprocess.run([sys.executable, str(script)], input=json.dumps(verbs), capture_output=True, text=True,
                          cwd=cwd, timeout=HANG_S)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [(code, words) for code, words in json.loads(done.stdout)]


@needs_root
def test_every_verb_names_the_owner_and_the_remedy(folder: Path) -> None:
    wrong = folder / "wrong"
    config = ["--config", str(wrong / "center.toml")]
    center = ["status", "check", "doctor", "runs", "alarms", "imports", "measure", "asks", "user list", "token list",
              "key list", "settle 2026-03", f"backup {wrong}/another"]  # fmt: skip
    verbs = [["center", *verb.split(), *config] for verb in center]
    verbs += [["agent", verb, str(wrong / "agent.toml")] for verb in ("doctor", "capacity")]
    for verb, (code, words) in zip(verbs, told_to_nobody(verbs), strict=True):
        closed = wrong / ("agent" if verb[0] == "agent" else "state")
        assert code == 1, (verb, words)
        assert f"{closed} belongs to root, and nobody may not use it: as root, chown -R nobody: {closed}" in words, verb
        assert "Traceback" not in words


@needs_root
def test_the_callers_own_folder_is_not_looked_into_where_it_is_closed(folder: Path) -> None:
    """`runuser -u collector -- collector center …` from root's own folder means /etc/collector, and says no more."""
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    ((code, words),) = told_to_nobody([["center", "status"]], cwd=closed)
    assert "center.toml, or the state directory" in words or "/etc/collector" in words, words
    assert code != 0


@needs_root
def test_a_path_named_on_the_command_line_is_told_like_any_other(folder: Path) -> None:
    backup = folder / "wrong" / "backup"
    ((code, words),) = told_to_nobody([["center", "restore", str(backup), "--state", "/tmp/never-made/state"]])
    assert code == 2, words
    assert f"chown -R nobody: {backup}" in words


@needs_root
@pytest.mark.parametrize("place", ["/root/password", "/var/cache/of-root/password"])
def test_nobody_is_told_to_give_a_folder_of_the_system_away(folder: Path, place: str) -> None:
    state = folder / "wrong" / "state"
    shutil.chown(state, "nobody")
    verb = ["center", "user", "add", "li", "--role", "auditor", "--password-file", place, "--state", str(state)]
    ((code, words),) = told_to_nobody([verb])
    assert code != 0
    assert "chown -R nobody: /root" not in words
    assert "chown -R nobody: /var/cache" not in words
    # /root is closed to others on Debian; below /var/cache the file is just not there.
    assert ("-m 0640" in words) == place.startswith("/root")


@needs_root
def test_one_file_left_by_root_in_the_services_folder_is_named(folder: Path) -> None:
    state = folder / "wrong" / "state"
    shutil.chown(state, "nobody")
    database = state / "center.sqlite"
    database.chmod(0o644)  # it can be read, and written by root only
    ((code, words),) = told_to_nobody([["center", "user", "disable", "li", "--state", str(state)]])
    assert code == 1
    assert f"{database} belongs to root and not to nobody: as root, chown -R nobody: {database}" in words


@needs_root
@pytest.mark.skipif(find_programs() is None, reason="no PostgreSQL here (Debian: apt-get install postgresql)")
def test_a_restore_into_postgresql_works_as_the_services_user_and_tells_root_how(folder: Path) -> None:
    """As docs/center.md has it: the database knows people by the system's user, and root is none of its people."""
    programs, top = find_programs(), folder / "wrong"
    assert programs is not None
    sockets, state = folder / "sockets", top / "pg-state"
    sockets.mkdir()
    sockets.chmod(0o777)
    with running_server(programs, socket_folder=str(sockets)) as server:
        with psycopg.connect(plain_url(server) + "postgres", autocommit=True) as connection:
            connection.execute("CREATE ROLE nobody LOGIN")
            connection.execute("CREATE DATABASE collector OWNER nobody TEMPLATE template0 ENCODING 'UTF8'")
        port = server.rstrip("/").rpartition(":")[2]
        url = f"postgresql+psycopg:///collector?host={sockets}&port={port}"
        for place in (folder / "root", top):
            config = CENTER.format(folder=place).replace(f"{place}/state", f"{place}/pg-state")
            config = config.replace("[center]", f'[center]\ndatabase_url = "{url}"', 1)
            (place / "pg.toml").write_text(config)
        restore = ["center", "restore", str(top / "backup"), "--config", str(top / "pg.toml")]
        done = subprocess.run([sys.executable, "-m", "collector.cli.main", *restore], capture_output=True, text=True,
                              cwd=ROOT, timeout=HANG_S)  # fmt: skip
        assert done.returncode == 1
        assert "as root, runuser -u collector --" in done.stderr
        assert not state.exists()  # what a failed try left would block the next
        state.mkdir(mode=0o750)
        for path in (state, top / "backup", *(top / "backup").rglob("*")):
            shutil.chown(path, "nobody")
        elsewhere = [*restore[:3], "--state", str(state / "elsewhere")]  # as root first: loads what a restore needs
        restored, again, _ = told_to_nobody([restore, restore, elsewhere])
        assert restored[0] == 0, restored[1]
        assert "restored as store" in restored[1]
        assert again[0] == 1
        assert "never writes over a store" in again[1]
        with psycopg.connect(plain_url(server) + "collector") as connection:
            assert connection.execute("SELECT name FROM account").fetchall() == [("li",)]
        assert not (state / ".restoring").exists()


def test_what_one_may_use_is_not_blamed(tmp_path: Path) -> None:
    assert first_closed(tmp_path) is None
    assert first_closed(tmp_path / "not there") is None
    assert pwd.getpwuid(tmp_path.stat().st_uid).pw_uid == os.geteuid()
