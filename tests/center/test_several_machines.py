# SPDX-License-Identifier: GPL-3.0-or-later
"""One center on three machines: receiver, pages and settling, each killed in the middle of its work.

The machines are network namespaces on a bridge, with PostgreSQL and the broker on the bridge itself; the state
directory is one folder that all see, as by NFS.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select

from collector import wire
from collector.base.clock import SystemClock
from collector.center.db import tables_receive
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import imported
from collector.center.operate.integrity import check_store
from collector.center.people import accounts, tokens
from collector.center.people.access import Actor, Role, scopes_of
from collector.center.people.passwords import hash_password
from collector.tables.folder import load_folder
from tests.center.center_batches import new_signer
from tests.center.center_process import CENTER, Plant, free_port, running_mosquitto, wait_for_through
from tests.center.db.postgresql_server import find_programs, plain_url, running_server
from tests.center.runs.center_months import JUNE, RULES, fill_store, new_store, records_of, settled
from tests.patience import HANG_S, wait_until

CASE = Path(__file__).parents[1] / "golden" / "records-across-the-months-end" / "when"
HUB = "198.51.100.1"  # addresses for documentation (RFC 5737): nobody's
MACHINES = {"receiver": "198.51.100.11", "pages": "198.51.100.12", "settling": "198.51.100.13"}
UNITS = ("U1", "U2")
RECORDS_A_BATCH = 2


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def three_machines() -> Iterator[dict[str, str]]:
    """The namespace of each machine, all on one bridge."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and `ip`: only then can three machines be made of network namespaces")
    if HUB.rpartition(".")[0] in subprocess.run(["ip", "route"], capture_output=True, check=True, text=True).stdout:
        pytest.skip(f"the network of {HUB} is in use here")
    number = os.getpid()
    bridge = f"cb{number}"
    spaces = {name: f"collector-{name}-{number}" for name in MACHINES}
    try:
        try:
            _ip("link", "add", bridge, "type", "bridge")
            _ip("addr", "add", f"{HUB}/24", "dev", bridge)
            _ip("link", "set", bridge, "up")
            for place, (name, space) in enumerate(spaces.items()):
                _ip("netns", "add", space)
                _ip("link", "add", f"cv{place}{number}", "type", "veth", "peer", "name", "up0", "netns", space)
                _ip("link", "set", f"cv{place}{number}", "master", bridge, "up")
                _ip("-n", space, "addr", "add", f"{MACHINES[name]}/24", "dev", "up0")
                _ip("-n", space, "link", "set", "up0", "up")
                _ip("-n", space, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this system makes no network namespaces or bridges: {error.stderr.decode().strip()}")
        yield spaces
    finally:
        for space in spaces.values():
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", bridge], capture_output=True, check=False)


@dataclass
class Center:
    """The three processes of one center."""

    folder: Path
    port: int
    spaces: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    token: str = ""

    def start(self, name: str) -> None:
        """`center run` on the machine of this name."""
        command = [*CENTER, "run", f"{self.folder}/{name}.toml", "--broker", f"{HUB}:{self.port}"]
        with (self.folder / f"{name}.log").open("ab") as log:
            inside = ["ip", "netns", "exec", self.spaces[name], *command]
            self.running[name] = subprocess.Popen(inside, stderr=log, stdout=log)

    def kill(self, name: str) -> None:
        """As when the power goes."""
        process = self.running.pop(name)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        """In good order."""
        for process in self.running.values():
            process.terminate()
        for name, process in self.running.items():
            assert process.wait(HANG_S) == 0, (self.folder / f"{name}.log").read_text("utf-8")

    def ask(self, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        """What the pages' machine answers by REST."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        url = f"http://{MACHINES['pages']}:8080/api/v1/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=HANG_S) as answer:
            return json.load(answer)

    def wait_for_pages(self) -> None:
        """Until they answer."""

        def answers() -> bool:
            try:
                self.ask("runs")
            except urllib.error.HTTPError:
                raise
            except OSError:
                return False
            return True

        wait_until(answers, "pages")

    def wait_for_run(self, number: int, state: str) -> None:
        """Until a run is in a state."""

        def now() -> str:
            return str(self.ask(f"runs/{number}")["state"])

        wait_until(lambda: now() == state, f"run {number} {state}")

    def said_inside(self, name: str, path: str) -> int:
        """The HTTP status of an address, asked on the machine itself."""
        code = (
            "import urllib.request as u, urllib.error as e, sys\n"
            f"try: print(u.urlopen('http://127.0.0.1:8080{path}').status)\n"
            "except e.HTTPError as error: print(error.code)"
        )
        inside = ["ip", "netns", "exec", self.spaces[name], sys.executable, "-c", code]
        return int(subprocess.run(inside, capture_output=True, check=True).stdout)


def configured(folder: Path, database_url: str) -> wire.Signer:
    """A file for each machine; returns the plant's key."""
    signer = new_signer(folder, "plant")
    wire.generate_key_pair(folder / "center.pem", folder / "center.pub")
    for name in MACHINES:
        listen = f"{MACHINES[name]}:8080" if name == "pages" else "127.0.0.1:8080"
        text = f"""
schema = 1
[center]
id = "{name}"
parts = ["{name}"]
state_dir = "state"
database_url = "{database_url}"
signing_key_file = "center.pem"
rulebook_dir = "{RULES}"
listen = "{listen}"
[receiver]
backoff_max_s = 0.5
max_age_days = 36500
max_future_s = 3e9
[lake]
seal_after_s = 0.0
check_every_s = 0.5
[[plant]]
id = "P1"
units = ["U1", "U2"]
public_key_files = ["plant.pub"]
"""
        (folder / f"{name}.toml").write_text(text, "utf-8")
    return signer


def payloads_of(signer: wire.Signer) -> dict[int, bytes]:
    """The month's records in many signed batches."""
    inputs, stream, size = load_folder(CASE), wire.Stream("P1", "g1", 1), RECORDS_A_BATCH
    made: dict[int, bytes] = {}
    for unit in UNITS:
        layout, records = records_of(inputs, unit)
        for start in range(0, len(records), size):
            number = len(made) + 1
            batch = wire.Batch(stream, number, (layout,), tuple(records[start : start + size]))
            made[number] = wire.encode_batch(batch, signer)
    return made


def new_token(state: Path, database_url: str) -> str:
    """A program's token of an operator."""
    with CenterStore.open(state, clock=SystemClock(), database_url=database_url) as store:
        now_ms, local = store.clock.now_utc_ms(), Actor.at_command_line("test")
        store.write(
            lambda c: accounts.create_account(
                c, actor=local, name="olga", full_name="Olga", role=Role.OPERATOR, plant=None,
                password_hash=hash_password("correct horse battery"), now_ms=now_ms,
            )
        ).result()  # fmt: skip
        olga = Actor("olga", Role.OPERATOR)
        return store.write(
            lambda c: tokens.create_token(
                c, actor=olga, account_name="olga", name="t", scope=scopes_of(olga.role), days=1, now_ms=now_ms
            )
        ).result()


@contextlib.contextmanager
def nobody_gets_at(table: str, database_url: str) -> Iterator[None]:
    """Whoever uses this table waits: so a process is in the middle of its work for as long as a test wants."""
    with psycopg.connect(plain_url(database_url)) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield
        connection.rollback()


def import_inputs(center: Center, database_url: str) -> None:
    """Each of the month's tables; the pages are killed in the middle of the first."""
    files = [("register", CASE / "register.toml"), *((path.stem, path) for path in sorted(CASE.glob("*.csv")))]
    failures: list[BaseException] = []

    def post() -> None:
        try:
            center.ask("imports/register?name=register.toml", files[0][1].read_bytes(), "text/csv")
        except OSError as error:
            failures.append(error)

    with nobody_gets_at("imported", database_url):
        posting = threading.Thread(target=post)
        posting.start()
        wait_for_waiting("pages", database_url)
        center.kill("pages")
        posting.join(HANG_S)
    assert failures
    center.start("pages")
    center.wait_for_pages()
    for kind, path in files:
        center.ask(f"imports/{kind}?name={path.name}", path.read_bytes(), "text/csv")


def wait_for_waiting(machine: str, database_url: str) -> None:
    """Until a process of a machine waits for a table."""
    query = b"""SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE NOT granted AND pg_locks.locktype = 'relation' AND client_addr = %s::inet"""

    def waits() -> bool:
        with psycopg.connect(plain_url(database_url)) as connection:
            row = connection.execute(query, (MACHINES[machine],)).fetchone()
            return bool(row and row[0])

    wait_until(waits, f"{machine} that waits")


async def send_with_a_kill(center: Center, plant: Plant, payloads: dict[int, bytes], database_url: str) -> None:
    """Half of everything, then all; the receiver dies while it commits some of the rest, and comes back."""
    plant.pending = {n: payload for n, payload in payloads.items() if n % 2}
    await plant.send_all()
    with nobody_gets_at("batch", database_url):
        plant.pending = dict(payloads)
        sending = asyncio.create_task(plant.send_all())
        await asyncio.to_thread(wait_for_waiting, "receiver", database_url)
        center.kill("receiver")
    center.start("receiver")
    await sending


@pytest.mark.crash
@pytest.mark.full
def test_one_center_on_three_machines_each_killed_settles_the_same_bytes(tmp_path: Path) -> None:
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed: several machines need one")
    port = free_port()
    with (
        three_machines() as spaces,
        running_server(programs, also_at=HUB) as server,
        running_mosquitto(tmp_path, port, HUB),
    ):
        url = server.replace("127.0.0.1", HUB) + "postgres"
        signer = configured(tmp_path, url)
        payloads = payloads_of(signer)
        center = Center(tmp_path, port, spaces, token=new_token(tmp_path / "state", url))
        try:
            for name in MACHINES:
                center.start(name)
            center.wait_for_pages()
            plant = Plant(tmp_path, port, {})
            asyncio.run(send_with_a_kill(center, plant, payloads, url))
            assert not plant.pending
            assert not plant.refused
            wait_for_through(tmp_path, len(payloads), url)
            import_inputs(center, url)

            center.kill("settling")  # a request waits for a process that settles, whoever else dies
            number = center.ask(f"months/{JUNE}/settle", b'{"note": "by three"}')["id"]
            center.kill("pages")
            center.start("pages")
            center.wait_for_pages()
            assert center.ask(f"runs/{number}")["state"] == "queued"
            with nobody_gets_at("day_result", url):
                center.start("settling")
                center.wait_for_run(number, "running")
                wait_for_waiting("settling", url)
                center.kill("settling")
            center.start("settling")
            center.wait_for_run(number, "interrupted")
            assert center.ask(f"months/{JUNE}/settle", b'{"note": "by three"}')["id"] == number + 1
            center.wait_for_run(number + 1, "done")
            asked = tmp_path / "state" / "runs-asked"
            wait_until(lambda: not any(asked.iterdir()), "what was asked is taken away, just after a run is done")
            for name in ("receiver", "settling"):
                assert center.said_inside(name, "/readyz") == 200
                assert center.said_inside(name, "/api/v1/runs") == 404
        finally:
            center.end()
        with CenterStore.open(tmp_path / "state", clock=SystemClock(), database_url=url) as store:
            query = select(func.count(), func.sum(tables_receive.batch.c.record_count))
            inputs = load_folder(CASE)
            records = sum(len(records_of(inputs, unit)[1]) for unit in UNITS)
            assert tuple(store.read(lambda c: c.execute(query).one())) == (len(payloads), records)
            kinds = store.read(lambda c: c.execute(select(imported.c.kind)).scalars().all())
            assert sorted(kinds) == sorted(["register", *(path.stem for path in CASE.glob("*.csv"))])
            assert check_store(store) == []
            assert list(asked.iterdir()) == []
    with new_store(tmp_path / "one") as one:
        fill_store(one, CASE)
        # Papers name the run: the first is one more, as the killed one was.
        twin = [settled(one) for _ in range(number + 1)][-1]
        assert twin.row.id == number + 1
        alone = tmp_path / "one" / "runs" / twin.row.folder / "statement"
        shared = next((tmp_path / "state" / "runs").glob(f"{JUNE}-*-{number + 1}")) / "statement"
        names = sorted(path.name for path in alone.iterdir())
        assert names == sorted(path.name for path in shared.iterdir())
        for name in names:
            assert (shared / name).read_bytes() == (alone / name).read_bytes(), name
