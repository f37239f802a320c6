# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector quickstart` as a newcomer runs it: to the first record on the page, again, and for two machines."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store

from collector.base.clock import SystemClock
from collector.center.db.store import CenterStore
from collector.center.people.accounts import list_accounts
from collector.center.settings import load_center
from collector.cli.quickstart.layout import Wish, lay_out
from collector.cli.quickstart.run import ACCOUNT, prepare_store
from collector.points.agent_config import load_agent
from simulators.plant.scenario import free_ports
from tests.patience import HANG_S, run_watched, wait_until

PROGRAM = [sys.executable, "-m", "collector.cli.main", "quickstart"]


@contextmanager
def started(folder: Path, *options: str) -> Iterator[str]:
    """What a running quick start has printed once the first record is there; ended by Ctrl-C."""
    screen = folder.with_name(folder.name + ".screen")
    with screen.open("wb") as out:
        process = subprocess.Popen([*PROGRAM, str(folder), *options], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   start_new_session=True)  # fmt: skip
    try:
        wait_until(lambda: "Ctrl-C" in screen.read_text() or process.poll() is not None, "the first record")
        assert process.poll() is None, screen.read_text()
        yield screen.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S) == 0, screen.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def page_shown(said: str) -> str:
    """The page whose address was printed, looked at with the account that was printed."""
    (address,) = re.findall(r"http://\S+", said)
    found = re.search(r"log in as (\S+), the password is in (\S+)", said)
    assert found
    site = address.removesuffix("/plants")
    with httpx.Client(base_url=site, follow_redirects=True, trust_env=False) as client:
        form = client.get("/login").text
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))
        assert hidden, form
        entered = {"name": found[1], "password": Path(found[2]).read_text().strip()}
        answer = client.post("/login", data=hidden | entered)
        assert answer.status_code == 200, answer.text
        return client.get("/plants").text


def contents(folder: Path) -> dict[str, bytes]:
    """What was laid out: no state, no logs."""
    files = [p for p in folder.rglob("*") if p.is_file() and not {"state", "logs"} & set(p.relative_to(folder).parts)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
def test_the_first_record_is_on_the_page_whose_address_is_printed(tmp_path: Path, broker: str) -> None:
    if broker == "mosquitto" and shutil.which("mosquitto", path="/usr/bin:/usr/sbin") is None:
        pytest.skip("mosquitto is not installed here (Debian: apt-get install mosquitto)")
    folder = tmp_path / "trial"
    options = ["--plant", "Nanhe", "--units", "N1,N2", "--gateway", "nanhe-1"]
    options += ["--broker", f"localhost:{free_ports(1)[0]}", "--listen", f"127.0.0.1:{free_ports(1)[0]}"]
    options += ["--embedded-broker"] if broker == "embedded" else []
    with started(folder, *options) as said:
        shown = page_shown(said)
        assert "Nanhe" in shown
        assert "nanhe-1" in shown
        before = contents(folder)
    assert ("the embedded one" in said) == (broker == "embedded")
    # Again: nothing is written over, and what is there is used.
    if broker == "mosquitto":
        with started(folder) as said:
            assert "is there already" in said
            assert contents(folder) == before


def test_what_is_carried_fits_together_and_nothing_is_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "two machines"
    options = ["--plant", "P7", "--units", "U1,U2", "--device", "10.0.0.11:502", "--device", "10.0.0.12:502",
               "--broker", "broker.dispatch.example:8883", "--write-only"]  # fmt: skip
    done = run_watched([*PROGRAM, str(folder), *options], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for place in ("gateway", "broker", "center", "ca"):
        assert str(folder / place) in done.stdout
    assert "systemctl enable --now collector-center" in done.stdout
    assert "simulate" not in done.stdout
    agent, center = load_agent(folder / "gateway" / "agent.toml"), load_center(folder / "center" / "center.toml")
    assert [device.host for device in agent.settings.device] == ["10.0.0.11", "10.0.0.12"]
    assert center.plant[0].units == ["U1", "U2"]
    assert (agent.settings.gateway.state_dir, center.center.state_dir) == (
        "/var/lib/collector", "/var/lib/collector-center",
    )  # fmt: skip
    check = [*PROGRAM[:-1], "agent", "check", str(folder / "gateway" / "agent.toml")]
    checked = subprocess.run(check, capture_output=True, text=True, timeout=HANG_S)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    authority = x509.load_pem_x509_certificate((folder / "ca" / "ca.pem").read_bytes())
    policy = PolicyBuilder().store(Store([authority]))
    broker = x509.load_pem_x509_certificate((folder / "broker" / "broker.pem").read_bytes())
    policy.build_server_verifier(x509.DNSName("broker.dispatch.example")).verify(broker, [])
    for file in ("center/broker-center.pem", "gateway/gateway-1.pem"):
        client = x509.load_pem_x509_certificate((folder / file).read_bytes())
        policy.build_client_verifier().verify(client, [])
        key = load_pem_private_key((folder / file).with_suffix(".key").read_bytes(), None)
        assert key.public_key() == client.public_key()
    assert "topic write collector/v1/P7/gateway-1/batch" in (folder / "broker" / "collector.acl").read_text()
    assert {oct(p.stat().st_mode & 0o077) for p in folder.rglob("*.key")} == {"0o0"}
    assert not list((folder / "gateway").glob("center.key")) + list((folder / "center").glob("P7.key"))
    (folder / "gateway" / "agent.toml").write_text("# mine\n" + (folder / "gateway" / "agent.toml").read_text())
    before = contents(folder)
    again = run_watched([*PROGRAM, str(folder), "--plant", "other", "--write-only"], tmp_path)
    assert again.returncode == 0
    assert contents(folder) == before


@pytest.mark.parametrize(("options", "told"), [
    (["--plant", "a b"], "'a b' is no name"),
    (["--units", "U1,U1"], "name each unit once"),
    (["--units", "U1,U2", "--device", "10.0.0.1:502"], "2 units and 1 devices"),
    (["--units", "U1", "--device", "10.0.0.1"], "expected HOST:PORT"),
])  # fmt: skip
def test_a_wish_that_cannot_be_is_told_and_nothing_is_written(tmp_path: Path, options: list[str], told: str) -> None:
    done = run_watched([*PROGRAM, str(tmp_path / "trial"), *options, "--write-only"], tmp_path)
    assert done.returncode == 2
    assert told in " ".join(re.sub(r"[│\s]+", " ", done.stderr + done.stdout).split())
    assert not (tmp_path / "trial").exists()


def test_without_a_broker_nothing_is_asked_or_written_and_the_package_is_named(tmp_path: Path) -> None:
    # As from the package of the center, which does not carry the embedded broker; Mosquitto, if here, is unwanted.
    hidden = "import sys; sys.modules['amqtt'] = None; from collector.cli.main import main; main()"
    program = [sys.executable, "-c", hidden, "quickstart", str(tmp_path / "trial"), "--embedded-broker"]
    done = run_watched(program, tmp_path)
    assert done.returncode == 1
    assert "apt install mosquitto" in done.stderr
    assert not (tmp_path / "trial").exists()
    written = run_watched([*program, "--write-only"], tmp_path)
    assert written.returncode == 0, written.stderr
    again = run_watched(program, tmp_path)  # for the folder that is there now too: its files are for services
    assert again.returncode == 0, again.stderr


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    done = run_watched([*PROGRAM, str(tmp_path), "--write-only"], tmp_path)
    assert done.returncode == 1
    assert "not a quick start's" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_an_account_whose_making_was_killed_is_made_at_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    lay_out(folder, Wish(plant="P1", units=["U1"], gateway="gateway-1", broker_host="localhost", broker_port=1,
                         listen="127.0.0.1:2", devices=["127.0.0.1:3"], simulator_ports=[], points=None,
                         month="2026-03", for_services=False))  # fmt: skip
    password = folder / "center" / "password"
    password.write_text("nobody's\n", "utf-8")  # the kill came between the file and the account
    assert prepare_store(folder) == password
    made = password.read_text("utf-8")
    assert made != "nobody's\n"
    state = Path(load_center(folder / "center" / "center.toml").center.state_dir)
    with CenterStore.open(state, clock=SystemClock(), create=False) as store:
        assert [each["name"] for each in store.read(list_accounts)] == [ACCOUNT]
    prepare_store(folder)
    assert password.read_text("utf-8") == made, "an account that is there keeps its password"
