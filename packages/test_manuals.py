# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/install-gateway.md and docs/center.md by hand, word by word: from a checkout, in a bare root without a network.

Both manuals say how to install without a package. Each command of theirs that sets up, upgrades, moves or removes
something is typed here as it is printed, as root (packages/machine.py); what people edit is edited as the page says.
The wheels are those that `make deb` and `make bundle` have fetched: pip is told that they are its index.
TRANSCRIPTS: a folder for the commands, the wall time of each and what it printed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.machine import PASSWORD, Machine
from packages.roots import Root, bare_root, loopback_alone
from tests.docs.doc_commands import sections_of
from tests.patience import wait_until

REPOSITORY = Path(__file__).parents[1]
PENDING = "SELECT count(*) FROM batches WHERE state = 0"


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A checkout in /root/collector, the person in it, and an index of packages that is a folder."""
    transcript: list[str] = []
    with loopback_alone() as network, bare_root(network) as root:
        checkout = root.path("/root/collector")
        checkout.mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=REPOSITORY, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-C", str(checkout), "-x"], input=archive, check=True)
        shutil.copytree(REPOSITORY / "build/wheelhouse", root.path("/srv/wheels"))
        root.path("/etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /srv/wheels\n")
        root.path("/etc/hosts").write_text("127.0.0.1 localhost broker.dispatch.example\n")
        shutil.copy("/etc/resolv.conf", root.path("/etc/resolv.conf"))
        person = Machine(root, "gateway" if "gateway" in request.node.name else "center", transcript)
        person.folder = "/root/collector"
        try:
            yield person
        finally:
            person.end()
            if kept := os.environ.get("TRANSCRIPTS"):
                Path(kept, f"{request.node.name}.txt").write_text("\n".join(transcript) + "\n", "utf-8")


def edit(root: Root, name: str, **changes: str) -> None:
    """Set keys of a TOML file whose every key stands on a line of its own, as a person does."""
    path = root.path(name)
    text = path.read_text("utf-8")
    for key, value in changes.items():
        text, times = re.subn(rf"^(# )?{key} = .*$", f"{key} = {value}", text, count=1, flags=re.MULTILINE)
        assert times == 1, key
    path.write_text(text, "utf-8")


def pending(root: Root) -> int:
    """Batches of the gateway's buffer that the center has not acknowledged."""
    script = (
        "import sqlite3; store = sqlite3.connect('/var/lib/collector/gateway-1.buffer'); "
        f"print(store.execute({PENDING!r}).fetchone()[0])"
    )
    return int(root.run("python3", "-c", script))


def test_a_gateway_is_set_up_upgraded_moved_and_removed(machine: Machine) -> None:
    root, page = machine.root, sections_of(REPOSITORY / "docs/install-gateway.md")
    for line in page["2. User, program, directories"] + page["3. Configuration"]:
        machine.type(line)
    # What the center's people send.
    machine.type("/opt/collector/bin/collector agent keygen center --out .")
    for name in ("mqtt-password", "ca.pem", "gateway-1.pem", "gateway-1.key"):
        root.path(f"/root/collector/{name}").write_text("secret\n")
    for line in page["4. Keys"] + page["5. TLS to the broker"]:
        machine.type(line)
    edit(root, "/etc/collector/agent.toml", signing_key_file='"/etc/collector/P1.key"', batch_max_age_s="1",
         center_key_file='"/etc/collector/center.pub"', password_file='"/etc/collector/mqtt-password"')  # fmt: skip
    check, read, candidates, verify = page["6. Check, then read once"]
    assert "governor-1" in machine.type(check)
    # No device is there: every one is told as silent, and exit code 1 says so.
    assert "silent" in machine.type(read, good=False)
    assert "silent" in machine.type(candidates, good=False)
    assert "governor-1" in machine.type(verify, good=False)
    for line in page["7. The service"]:
        machine.type(line)
    wait_until(lambda: pending(root), "a sealed batch")
    doctor, status, watch, capacity = page["8. What to look at afterwards"]
    assert "governor-1" in machine.type(doctor, good=False)
    assert "gateway-1" in machine.type(status)
    assert "silent" in machine.type(watch)
    machine.type(capacity)
    for line in page["Upgrading"]:
        machine.type(line)
    stop, pack, unpack, own = page["Moving to another gateway"]
    machine.type(stop)
    moved = pending(root)
    machine.type(pack)
    for line in [*page["Removing"], "rm -r /etc/collector /var/lib/collector", "userdel collector"]:
        machine.type(line)
    assert "collector" not in root.path("/etc/passwd").read_text()
    assert not any(root.path("/etc/systemd/system").rglob("collector*"))
    # Another gateway: steps 2 and 7 as they are printed, between them what was carried over.
    for line in [*page["2. User, program, directories"], unpack, own, *page["7. The service"]]:
        machine.type(line)
    wait_until(lambda: pending(root) > moved, "a batch after those that were carried over")


def test_a_center_is_set_up_backed_up_restored_upgraded_and_removed(machine: Machine) -> None:
    root, page = machine.root, sections_of(REPOSITORY / "docs/center.md")

    def do(line: str) -> str:
        # "Here and below `collector` stands for …"
        return machine.type(re.sub("^collector ", "runuser -u collector -- /opt/collector/bin/collector ", line))

    machine.type("apt update")
    machine.type("apt install --no-install-recommends mosquitto openssl postgresql")
    for line in page["Install"] + page["The broker"]:
        machine.type(line)
    machine.type("/opt/collector/bin/collector agent keygen P1 --out .")  # what the plant sends
    for line in page["Keys, and enrolling a plant"][:4]:
        machine.type(line)
    edit(root, "/etc/collector/center.toml", signing_key_file='"/etc/collector/center.key"', ca_file='"broker-ca.pem"',
         cert_file='"broker-center.pem"', key_file='"broker-center.key"', port="8883",
         host='"broker.dispatch.example"')  # fmt: skip
    start, accounts = page["Start"], page["Pages and accounts"]
    for line in start[:4]:
        machine.type(line)
    root.path("/root/cron.password").write_text(f"{PASSWORD}\n")
    machine.type("install -o root -g collector -m 0640 /root/cron.password /etc/collector/cron.password")
    for line in accounts[:6]:
        do(line)
    for line in page["Watching"][:2] + page["Alarms and metrics"]:
        do(line)
    ask = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:8080/readyz').status)"
    assert root.run("python3", "-c", ask).strip() == "200"
    backup, check, check_backup = page["Backup, restore, check"][:3]
    restore = page["Backup, restore, check"][-5:]
    for line in (backup, check, check_backup, *restore):
        do(line)
    assert "wang" in do("collector center user list")
    for line in page["A new version"]:
        machine.type(line)
    assert "wang" in do("collector center user list")
    # "That is also the way from SQLite to PostgreSQL."
    version = root.run("ls", "/etc/postgresql").split()[0]
    root.run("pg_ctlcluster", version, "main", "start")
    try:
        for line in start[4:]:
            machine.type(line)
        stop, aside, folder, put_back, begin = restore
        machine.type(stop)
        do(backup.replace("2026-04-01", "2026-05-01"))
        edit(root, "/etc/collector/center.toml",
             database_url='"postgresql+psycopg:///collector?host=/var/run/postgresql"')  # fmt: skip
        for line in (aside.replace(".before", ".sqlite"), folder, put_back.replace("2026-04-01", "2026-05-01"), begin):
            machine.type(line)
        assert "wang" in do("collector center user list")
        assert {unit["unit"] for unit in json.loads(do("collector center status --json"))["units"]} == {"U1", "U2"}
        for line in page["Removing"]:
            machine.type(line)
    finally:
        root.run("pg_ctlcluster", version, "main", "stop", "--mode", "immediate")
    assert not root.path("/opt/collector").exists()
    assert not any(root.path("/etc/systemd/system").glob("collector*"))
