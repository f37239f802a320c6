# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages and bundles in a bare root of their release: installed, run as the unit's user, upgraded, removed, purged.

`make packages-test` builds what it needs and runs this; it takes minutes, so CI does not. No systemd runs in a chroot:
units are judged by systemd-analyze, and their ExecStart is run as their user with a NOTIFY_SOCKET.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.roots import DEBS, Root, Service, bare_root
from tests.patience import wait_until

SIDES = ("agent", "center")
GOLDEN = Path(__file__).parents[1] / "tests/golden/deep-peak-shanghai-annual-plan/when"
CENTER_TOML = "/etc/collector/center.toml"


@pytest.fixture
def root() -> Iterator[Root]:
    with bare_root() as made:
        yield made


PLANTS = 20


def configure(root: Root, side: str) -> None:
    """What a person changes first: an agent of devices that are not there, a center for a trial.

    So many plants fill the smallest buffer in seconds: each has a batch of its own, and a batch a page.
    """
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
    file.write_text(
        """schema = 1
[gateway]
id = "gateway-1"
[mqtt]
host = "127.0.0.1"
port = 1
[buffer]
batch_max_age_s = 1
max_bytes = 1000000
"""
        + "".join(
            f"""[[plant]]
id = "P{n}"
[[unit]]
id = "U{n}"
plant = "P{n}"
[[device]]
id = "governor-{n}"
protocol = "modbus_tcp"
points = "points/mine.csv"
unit = "U{n}"
host = "127.0.0.1"
port = 2
"""
            for n in range(PLANTS)
        )
    )


def in_buffer(root: Root, what: str) -> int:
    """A number of the buffer, as SQLite counts it."""
    place = "file:/var/lib/collector/gateway-1.buffer?mode=ro"
    script = f"import sqlite3; print(sqlite3.connect({place!r}, uri=True).execute({'SELECT ' + what!r}).fetchone()[0])"
    return int(root.run("python3", "-c", script))


PENDING = "count(*) FROM batches WHERE state = 0"
EVICTED = "sum(evicted) FROM streams"


@pytest.mark.parametrize("side", SIDES)
def test_a_package_is_installed_started_removed_and_purged(root: Root, side: str) -> None:
    said = root.install(root.package(side))
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
    root.run("test", "-e", f"/usr/share/man/man1/collector-{side}.1.gz")
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
    root.install(root.package(side))
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
    done = subprocess.run(analyze, cwd=tmp_path, capture_output=True, text=True)
    assert not [line for line in (done.stdout + done.stderr).splitlines() if "collector-" in line]


@pytest.mark.parametrize("side", SIDES)
def test_a_package_depends_on_every_library_that_it_does_not_bring(root: Root, side: str) -> None:
    root.install(root.package(side))
    files = [path for path in root.path(f"/opt/collector-{side}/lib").rglob("*.so*") if path.is_file()]
    said = subprocess.run(["readelf", "--dynamic", *files], capture_output=True, text=True, check=True).stdout
    asked = set(re.findall(r"\(NEEDED\).*\[(.+)\]", said)) - {path.name for path in files}
    assert "libc.so.6" in asked
    owners = {root.run("dpkg", "--search", f"*/{name}").partition(":")[0] for name in asked}
    assert owners <= set(re.findall(r"[\w+.-]+", root.run("dpkg-query", "--showformat=${Depends}", "--show",
                                                          f"collector-{side}")))  # fmt: skip


@pytest.mark.parametrize("side", SIDES)
def test_the_manuals_of_a_package_have_what_they_show_and_link_to(root: Root, side: str) -> None:
    root.install(root.package(side))
    folder = root.path(f"/usr/share/doc/collector-{side}")
    pages = [page for page in folder.glob("*.md") if not page.name.startswith("README")]  # which is of a checkout
    assert len(pages) > 40
    links = {(page.name, link) for page in pages for link in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))}
    # A link out of docs/ leads into a checkout: samples and programs, which a package has elsewhere.
    inside = {(page, link) for page, link in links if not re.match(r"https?:|mailto:|\.\./", link)}
    assert {each for each in inside if not (folder / each[1]).exists()} == set()
    assert (folder / "monitoring/alerts.yml").exists()


def test_both_sides_live_on_one_machine(root: Root) -> None:
    root.install(root.package("agent"))
    root.install(root.package("center"))
    assert "store" in root.run("collector", "--version")  # the center's program knows every verb
    root.run("dpkg", "--purge", "collector-center")
    assert "store" not in root.run("collector", "--version")
    assert root.path("/etc/collector/agent.toml").exists()
    assert "collector" in root.path("/etc/passwd").read_text()


def test_a_quick_start_on_one_machine_names_the_broker_it_lacks_and_runs_once_it_is_there(root: Root) -> None:
    root.install(root.package("center"))
    start = ("collector", "quickstart", "/root/trial", "--plant", "P1", "--units", "U1", "--seconds", "1")
    said = root.run(*start, good=False)
    assert "apt install mosquitto" in said
    assert not root.path("/root/trial").exists()
    root.path("/etc/hosts").write_text("127.0.0.1 localhost\n")  # which Debian's installer writes
    shutil.copy("/etc/resolv.conf", root.path("/etc/resolv.conf"))
    root.run("apt", "update")
    root.run("apt", "install", "--yes", "--no-install-recommends", "mosquitto")
    said = root.run(*start)
    assert "the first record is at the center: http://127.0.0.1:" in said
    assert "client certificates and the ACL" in said


def test_an_upgrade_from_0_1_0_keeps_a_full_buffer(root: Root) -> None:
    root.install(root.package("agent", DEBS / "old"))
    configure(root, "agent")
    service = Service(root, "collector-agent.service")
    wait_until(lambda: root.path("/var/lib/collector/gateway-1.buffer").exists(), "a buffer")
    wait_until(lambda: in_buffer(root, EVICTED), "a full buffer", progress=lambda: in_buffer(root, PENDING))
    service.stop()
    oldest = "min(id) FROM batches WHERE state = 0"
    before, newest = in_buffer(root, PENDING), in_buffer(root, "max(id) FROM batches")
    kept = in_buffer(root, f"sum(records) FROM batches WHERE state = 0 AND id > {newest} - {before // 2}")
    root.install(root.package("agent"))
    assert "batch_max_age_s = 1" in root.path("/etc/collector/agent.toml").read_text()
    Service(root, "collector-agent.service").stop()
    # It goes on filling: the oldest may have gone, by the books, and nothing else.
    assert in_buffer(root, "max(id) FROM batches") >= newest
    assert in_buffer(root, oldest) <= newest - before // 2
    half = f"sum(records) FROM batches WHERE state = 0 AND id > {newest - before // 2} AND id <= {newest}"
    assert in_buffer(root, half) == kept
    assert in_buffer(root, "sum(sealed - freed - evicted) FROM streams") == in_buffer(root, PENDING)
    assert not list(root.path("/var/lib/collector").glob("*damaged*"))


def center(root: Root, *words: str) -> str:
    return root.run("collector", "center", *words, "--config", CENTER_TOML, user="collector")


def test_an_upgrade_from_0_1_0_keeps_a_settled_store(root: Root) -> None:
    root.install(root.package("center", DEBS / "old"))
    configure(root, "center")
    root.path("/etc/collector/password").write_text("correct horse battery\n")
    root.path("/etc/collector/password").chmod(0o644)
    center(root, "user", "add", "li", "--role", "auditor", "--password-file", "/etc/collector/password")
    shutil.copytree(GOLDEN, root.path("/tmp/when"))
    root.path("/tmp/when/revenue.csv").write_text("plant,month,kind,amount_yuan\nP1,2026-06,energy,1000\n")
    for kind in ("register.toml", "plan.csv", "orders.csv", "revenue.csv", "exclusions.csv"):
        center(root, "import", kind.partition(".")[0], f"/tmp/when/{kind}")
    center(root, "import", "records", "/tmp/when/records/records.csv")
    center(root, "settle", "2026-06")
    Service(root, "collector-center.service").stop()
    runs = root.path("/var/lib/collector-center/runs")
    (statement,) = runs.glob("*/statement/lines.csv")
    before = statement.read_bytes()
    (listed,) = center(root, "runs").splitlines()
    assert before.count(b"\n") > 1
    root.install(root.package("center"))
    Service(root, "collector-center.service").stop()
    assert "li" in center(root, "user", "list")
    center(root, "check")
    assert listed.split()[:6] == center(root, "runs").splitlines()[-1].split()[:6]
    assert statement.read_bytes() == before
    center(root, "settle", "2026-06")  # the new kernel measures anew, to the same fen
    assert "0 lines and 0 plants differ" in center(root, "compare", "1", "2")
    center(root, "check")


def unpacked_bundle(root: Root, side: str) -> Path:
    """A side's bundle in the root's /tmp."""
    version = root.run("python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    found = DEBS.glob(f"collector-{side}-*-{os.uname().machine}-py{version}.tar.gz")
    bundle = max(found, key=lambda path: path.stat().st_mtime)
    subprocess.run(["tar", "-C", str(root.path("/tmp")), "-xzf", str(bundle)], check=True)
    return root.path("/tmp") / bundle.name.removesuffix(".tar.gz")


@pytest.mark.parametrize("side", SIDES)
def test_a_bundle_is_installed_twice_without_a_network_and_keeps_the_configuration(root: Root, side: str) -> None:
    root.network = ["unshare", "--net"]
    inside = f"/tmp/{unpacked_bundle(root, side).name}/install.sh"
    file = root.path(f"/etc/collector/{side}.toml")
    for _ in range(2):
        said = root.run("/bin/sh", inside)
        assert re.search(r"collector \S+ \(commit [0-9a-f]{12}\+?\)", said)
        file.write_text(file.read_text().replace("# The dispatch side.", "# Mine.").replace('"gateway-1"', '"mine"'))
    assert ("# Mine." if side == "center" else 'id = "mine"') in file.read_text()
    assert root.path(f"/etc/systemd/system/collector-{side}.service").exists()
    if side == "agent":
        assert "governor-1" in root.run("collector", "agent", "check", "/etc/collector/agent.toml", user="collector")
    configure(root, side)
    root.network = []
    Service(root, f"collector-{side}.service", folder="/etc/systemd/system").stop()


def test_a_bundle_changed_on_the_way_installs_nothing(root: Root) -> None:
    bundle = unpacked_bundle(root, "agent")
    wheel = next((bundle / "wheels").glob("numpy-*.whl"))
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    said = root.run("/bin/sh", f"/tmp/{bundle.name}/install.sh", good=False)
    assert "FAILED" in said
    assert not root.path("/opt/collector").exists()
