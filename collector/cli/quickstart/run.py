# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick start's processes: broker, center, simulated devices and agent, until the first record is stored.

The broker is Mosquitto with TLS, client certificates and the ACL where it is installed; else the embedded one, which
speaks TLS and knows no ACL. Packages for production don't carry the embedded one.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from collector.base.clock import SystemClock
from collector.base.errors import CollectorError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.operate.status import latest_month, read_gateways
from collector.center.settings import load_center
from collector.cli.quickstart.layout import SIMULATED
from collector.points.agent_config import load_agent
from collector.trial.processes import Processes, wait_for_port, wait_until

FIRST_RECORD_S: Final = 300.0
ACCOUNT: Final = "quickstart"
_PASSWORD_FILE: Final = "password"


@dataclass(frozen=True, slots=True)
class Place:
    """The page of the first record, and an account for it. `broker`: the one that runs."""

    address: str
    account: str
    password_file: Path
    broker: str


def find_broker(*, embedded: bool) -> str:
    """Path of Mosquitto; empty: the embedded broker is here and is used.

    Raises:
        CollectorError: this machine has neither.
    """
    found = None if embedded else shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None and find_spec("amqtt") is None:
        raise CollectorError(tr(
            "no broker is installed here, and nothing was written or started: as root, apt install mosquitto, then the "
            "same command again; --write-only writes the files without starting anything"
        ))  # fmt: skip
    return found or ""


@contextmanager
def running(folder: Path, *, embedded: bool) -> Iterator[tuple[Processes, Place]]:
    """Run everything that was written below a folder; all of it ends with the block.

    Raises:
        CollectorError: a part ended by itself, or no record came; the logs are in `logs/`.
    """
    center = load_center(folder / "center" / "center.toml")
    password_file = prepare_store(folder)
    with Processes(folder / "logs") as processes:
        broker = _start_broker(folder, center.mqtt.port, processes, embedded=embedded)
        processes.start("center", "collector.cli.main", "center", "run", str(folder / "center" / "center.toml"))
        if (folder / "gateway" / SIMULATED).exists():
            scenario = str(folder / "gateway" / SIMULATED)
            processes.start("simulators", "collector.cli.main", "simulate", scenario, "--time", "real")
            for device in load_agent(folder / "gateway" / "agent.toml").settings.device:
                wait_for_port(device.port or 0, processes=processes)
        processes.start("agent", "collector.cli.main", "agent", "run", str(folder / "gateway" / "agent.toml"))
        with CenterStore.open(Path(center.center.state_dir), clock=SystemClock(), create=False) as store:
            wait_until(
                lambda: store.read(latest_month) is not None and any(g.records for g in store.read(read_gateways)),
                processes=processes, timeout_s=FIRST_RECORD_S, what="the first record at the center",
            )  # fmt: skip
        yield processes, Place(f"http://{center.center.listen}/plants", ACCOUNT, password_file, broker)


def prepare_store(folder: Path) -> Path:
    """Import the register and make an account, where the store has none yet; returns the password's file."""
    from collector.base.resources import config_path
    from collector.center.inputs.imports import REGISTER, list_imports
    from collector.center.inputs.service import deliver, delivered_of
    from collector.center.people.access import Role
    from collector.center.people.accounts import create_account, list_accounts
    from collector.center.people.passwords import hash_password
    from collector.center.runs.rulebooks import input_rules
    from collector.cli.center.screen import actor_of
    from collector.cli.settle.command import RULEBOOK

    actor, password_file = actor_of(ACCOUNT), folder / "center" / _PASSWORD_FILE
    settings = load_center(folder / "center" / "center.toml")
    with CenterStore.open(Path(settings.center.state_dir), clock=SystemClock(), database_url="") as store:
        now_ms = store.clock.now_utc_ms()
        if not store.read(list_imports):
            data = (folder / "center" / "register.toml").read_bytes()
            deliver(store, REGISTER, delivered_of("register.toml", data), actor=actor, replace=False,
                    rules=input_rules(config_path(RULEBOOK)))  # fmt: skip
        # The file comes first: after a kill in between, its password is not used yet, and a new one is made.
        if ACCOUNT not in {account["name"] for account in store.read(list_accounts)}:
            password = secrets.token_urlsafe(12)
            password_file.touch(mode=0o600)
            password_file.write_text(password + "\n", "utf-8")
            hashed = hash_password(password)
            store.write(
                lambda c: create_account(
                    c, actor=actor, name=ACCOUNT, full_name="Quick start", role=Role.ADMINISTRATOR, plant=None,
                    password_hash=hashed, now_ms=now_ms,
                )
            ).result()  # fmt: skip
    return password_file


def _start_broker(folder: Path, port: int, processes: Processes, *, embedded: bool) -> str:
    """Start the broker on this machine's own address; returns its kind, in words."""
    broker, found = folder / "broker", find_broker(embedded=embedded)
    if not found:
        arguments = ["--listen", f"127.0.0.1:{port}", "--tls", str(broker)]
        words = tr("the embedded one, with TLS and without an ACL; Mosquitto would be used where it is installed")
    else:
        # with paths of this machine: written anew; the file to carry stays as it is
        here = folder / "logs" / "mosquitto.conf"
        here.parent.mkdir(exist_ok=True)
        here.write_text(_mosquitto_here(broker, port), "utf-8")
        arguments = ["--mosquitto", found, "--config", str(here)]
        words = tr("Mosquitto, with TLS, client certificates and the ACL")
    processes.start("broker", "collector.trial.broker", *arguments)
    wait_for_port(port, processes=processes)
    return words


def _mosquitto_here(broker: Path, port: int) -> str:
    """The shipped configuration with files and user of this machine, and without persistence."""
    lines = (broker / "collector.conf").read_text("utf-8").splitlines()
    own = {"listener": f"{port} 127.0.0.1", "cafile": broker / "ca.pem", "certfile": broker / "broker.pem",
           "keyfile": broker / "broker.key", "acl_file": broker / "collector.acl", "persistence": "false"}  # fmt: skip
    kept = [f"{word} {own[word]}" if (word := line.partition(" ")[0]) in own else line for line in lines]
    return "\n".join([*kept, f"user {pwd.getpwuid(os.geteuid()).pw_name}"]) + "\n"


def wait_for_the_end(processes: Processes, seconds: float) -> None:
    """Wait for Ctrl-C or SIGTERM, or for `seconds`; 0: without end.

    Raises:
        CollectorError: a part ended by itself.
    """
    deadline = time.monotonic() + seconds
    while not seconds or time.monotonic() < deadline:
        processes.check()
        time.sleep(0.2)
