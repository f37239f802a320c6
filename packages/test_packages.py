# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages in a bare root of their release: installed, run as the unit's user, upgraded, removed, purged.

`make packages-test` builds what it needs and runs this; it takes minutes, so CI does not. DEBS: a folder with the
packages of today and, below `old/`, those of 0.1.0 made by the same recipe; ROOT_TAR: the bare root. No systemd runs
in a chroot: units are judged by systemd-analyze, and their ExecStart is run as their user with a NOTIFY_SOCKET.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import HANG_S, wait_until

DEBS = Path(os.environ.get("DEBS", "dist"))
ROOT_TAR = os.environ.get("ROOT_TAR", "")
# The recipe knows the center too, but its package has not been made yet: SIDES=agent,center does.
SIDES = tuple(os.environ.get("SIDES", "agent").split(","))
with_center = pytest.mark.skipif(
    "center" not in SIDES, reason="the center's package is not released: SIDES=agent,center"
)


class Root:
    """A bare root, and commands inside of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, user: str = "root", good: bool = True) -> str:
        """A command's output; `good`: it must end with 0."""
        inside = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *command]
        line = ["chroot", str(self.folder), *(command if user == "root" else inside)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=HANG_S, env=ENVIRONMENT)
        assert not good or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def install(self, package: Path) -> str:
        """What dpkg says."""
        shutil.copy(package, self.folder / "tmp")
        return self.run("dpkg", "--force-confold", "--install", f"/tmp/{package.name}")

    def path(self, name: str) -> Path:
        """A path of the root as this machine sees it."""
        return self.folder / name.lstrip("/")


ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


@pytest.fixture
def root() -> Iterator[Root]:
    """A fresh one with /proc and the devices every program expects."""
    folder = Path(tempfile.mkdtemp(prefix="collector-root-", dir="/var/tmp"))
    subprocess.run(["tar", "-C", str(folder), "--exclude=./dev/*", "-xf", ROOT_TAR], check=True)
    for name, minor in (("null", 3), ("zero", 5), ("urandom", 9)):
        os.mknod(folder / "dev" / name, 0o666 | 0o020000, os.makedev(1, minor))
        (folder / "dev" / name).chmod(0o666)
    subprocess.run(["mount", "-t", "proc", "proc", str(folder / "proc")], check=True)
    try:
        yield Root(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder / "proc")], check=True)
        shutil.rmtree(folder)


def package(side: str, folder: Path = DEBS) -> Path:
    (found,) = folder.glob(f"collector-{side}_*.deb")
    return found


def exec_start(root: Root, unit: str) -> list[str]:
    (line,) = re.findall(r"^ExecStart=(.*)$", root.path(f"/lib/systemd/system/{unit}").read_text(), re.MULTILINE)
    return str(line).split()


class Service:
    """A unit's ExecStart as its user, until it has said READY=1."""

    def __init__(self, root: Root, unit: str) -> None:
        place = root.path("/run/notify")
        place.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(str(place))
            place.chmod(0o777)
            ready.settimeout(HANG_S)
            command = ["chroot", str(root.folder), "setpriv", "--reuid=collector", "--regid=collector", "--init-groups"]
            environment = ENVIRONMENT | {"NOTIFY_SOCKET": "/run/notify"}
            self.log = root.path("/tmp/service.log")
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    [*command, *exec_start(root, unit)], env=environment, stdout=log, stderr=log
                )
            while b"READY=1" not in ready.recv(4096):
                assert self.process.poll() is None, self.log.read_text()

    def stop(self) -> None:
        """As systemd does."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(HANG_S) == 0, self.log.read_text()


def configure(root: Root, side: str) -> None:
    """What a person changes first: an agent that reads one device that is not there, a center for a trial."""
    file = root.path(f"/etc/collector/{side}.toml")
    if side == "center":
        text = re.sub(r'public_key_files = \["P1.pub"\]', "public_key_files = []", file.read_text())
        file.write_text(
            re.sub(r"^unsigned = false", "unsigned = true", text, flags=re.MULTILINE).replace('"127.0.0.1:8080"', '""')
        )
        return
    (root.path("/etc/collector/points") / "mine.csv").write_text(
        (root.path("/etc/collector/points") / "governor_modbus.csv").read_text()
    )
    file.write_text("""schema = 1
[gateway]
id = "gateway-1"
[mqtt]
host = "127.0.0.1"
port = 1
[buffer]
batch_max_age_s = 2
[[plant]]
id = "P1"
[[unit]]
id = "U1"
plant = "P1"
[[device]]
id = "governor-1"
protocol = "modbus_tcp"
points = "points/mine.csv"
unit = "U1"
host = "127.0.0.1"
port = 2
""")


def pending(root: Root) -> int:
    """Sealed batches in the buffer, as SQLite counts them."""
    count = root.run("python3", "-c", "import sqlite3; print(sqlite3.connect('file:/var/lib/collector/gateway-1.buffer?"
                     "mode=ro', uri=True).execute('SELECT count(*) FROM batches').fetchone()[0])")  # fmt: skip
    return int(count)


@pytest.mark.parametrize("side", SIDES)
def test_a_package_is_installed_started_removed_and_purged(root: Root, side: str) -> None:
    said = root.install(package(side))
    assert f"systemctl enable --now collector-{side}" in said
    state = root.path("/var/lib/collector" if side == "agent" else "/var/lib/collector-center")
    owner = int(root.run("id", "-u", "collector"))
    assert (state.stat().st_uid, state.stat().st_mode & 0o777) == (owner, 0o750)
    assert root.path("/etc/collector").stat().st_mode & 0o777 == 0o750
    version = root.run("collector", "--version")
    assert re.match(r"collector \S+ \(commit [0-9a-f]{12}\)\nwire \d+, buffer \d+(, store \d+, kernel \d+)?\n", version)
    assert ("store" in version) == (side == "center")
    conffiles = root.run("dpkg-query", "--showformat=${Conffiles}", "--show", f"collector-{side}")
    assert f"/etc/collector/{side}.toml" in conffiles
    assert root.path(f"/usr/share/man/man1/collector-{side}.1.gz").exists()
    configure(root, side)
    Service(root, f"collector-{side}.service").stop()
    assert any(state.iterdir())
    root.run("dpkg", "--remove", f"collector-{side}")
    assert not root.path(f"/opt/collector-{side}").exists()
    assert not root.path("/usr/bin/collector").is_symlink()
    assert root.path(f"/etc/collector/{side}.toml").exists()
    assert any(state.iterdir())
    root.run("dpkg", "--purge", f"collector-{side}")
    assert not root.path(f"/etc/collector/{side}.toml").exists()
    assert state.exists() == (side == "center")  # months of money are not deleted by a package
    assert ("collector" in root.path("/etc/passwd").read_text()) == (side == "center")


@pytest.mark.parametrize("side", SIDES)
def test_systemd_finds_no_mistake_in_the_units_of_a_package(root: Root, side: str, tmp_path: Path) -> None:
    root.install(package(side))
    units = list(root.path("/lib/systemd/system").glob("collector-*"))
    assert units
    for unit in units:
        for program in re.findall(r"/opt/\S+/bin/collector", unit.read_text()):
            assert os.access(root.path(program), os.X_OK)
        (documentation,) = re.findall(r"^Documentation=file:(.*)$", unit.read_text(), re.MULTILINE)
        assert root.path(documentation).exists()
    # The root has no systemd; this machine's judges the units, with a stand-in for programs that lie in the root.
    for unit in units:
        (tmp_path / unit.name).write_text(re.sub(r"/opt/\S+/bin/collector", "/bin/true", unit.read_text()))
    analyze = ["systemd-analyze", "--man=no", "verify", *(f"./{unit.name}" for unit in units)]
    done = subprocess.run(analyze, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_S)
    assert not [line for line in (done.stdout + done.stderr).splitlines() if "collector-" in line]


@with_center
def test_both_sides_live_on_one_machine(root: Root) -> None:
    root.install(package("agent"))
    root.install(package("center"))
    assert "store" in root.run("collector", "--version")  # the center's program knows every verb
    root.run("dpkg", "--purge", "collector-center")
    assert "store" not in root.run("collector", "--version")
    assert root.path("/etc/collector/agent.toml").exists()
    assert "collector" in root.path("/etc/passwd").read_text()


def test_an_upgrade_from_0_1_0_keeps_a_full_buffer(root: Root) -> None:
    root.install(package("agent", DEBS / "old"))
    configure(root, "agent")
    service = Service(root, "collector-agent.service")
    wait_until(lambda: pending(root) >= 3, "batches in the buffer", progress=lambda: pending(root))
    service.stop()
    before = pending(root)
    root.install(package("agent"))
    assert "batch_max_age_s = 2" in root.path("/etc/collector/agent.toml").read_text()
    Service(root, "collector-agent.service").stop()
    assert pending(root) >= before
    assert not list(root.path("/var/lib/collector").glob("*damaged*"))


@with_center
def test_an_upgrade_from_0_1_0_keeps_the_store(root: Root) -> None:
    root.install(package("center", DEBS / "old"))
    configure(root, "center")
    root.path("/etc/collector/password").write_text("correct horse battery\n")
    add = "user add li --role auditor --password-file /etc/collector/password --config /etc/collector/center.toml"
    root.run("collector", "center", *add.split(), user="collector")
    Service(root, "collector-center.service").stop()
    root.install(package("center"))
    Service(root, "collector-center.service").stop()
    listed = root.run("collector", "center", "user", "list", "--config", "/etc/collector/center.toml", user="collector")
    assert "li" in listed
    root.run("collector", "center", "check", "--config", "/etc/collector/center.toml", user="collector")


def unpacked_bundle(root: Root) -> Path:
    """The agent's bundle in the root's /tmp."""
    (bundle,) = DEBS.glob(f"collector-agent-*-{os.uname().machine}-py3.11.tar.gz")
    subprocess.run(["tar", "-C", str(root.path("/tmp")), "-xzf", str(bundle)], check=True)
    return root.path("/tmp") / bundle.name.removesuffix(".tar.gz")


def test_a_bundle_is_installed_twice_without_a_network_and_keeps_the_configuration(root: Root) -> None:
    inside = f"/tmp/{unpacked_bundle(root).name}/install.sh"
    command = ["unshare", "--net", "chroot", str(root.folder), "/bin/sh", inside]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=4 * HANG_S, env=ENVIRONMENT)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"collector \S+ \(commit [0-9a-f]{12}\+?\)", done.stdout)
        file = root.path("/etc/collector/agent.toml")
        file.write_text(file.read_text().replace('id = "gateway-1"', 'id = "mine"'))
    assert 'id = "mine"' in file.read_text()
    assert root.path("/etc/systemd/system/collector-agent.service").exists()
    checked = root.run("/opt/collector/bin/collector", "agent", "check", "/etc/collector/agent.toml", user="collector")
    assert "governor-1" in checked


def test_a_bundle_changed_on_the_way_installs_nothing(root: Root) -> None:
    bundle = unpacked_bundle(root)
    wheel = next((bundle / "wheels").glob("numpy-*.whl"))
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    said = root.run("/bin/sh", f"/tmp/{bundle.name}/install.sh", good=False)
    assert "FAILED" in said
    assert not root.path("/opt/collector").exists()
