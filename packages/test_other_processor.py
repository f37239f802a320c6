# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages and bundles for the processor this machine does not have: what is in them, and the program under qemu-user.

`make packages-test` builds them for both processors. OTHER_ROOT_TAR: a root of that processor with Debian's Python,
whose packages were unpacked and not configured (mmdebstrap --variant=extract), since nothing of it can run here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from packages.roots import DEBS, ENVIRONMENT, ROOT_TAR

SIDES: Final = ("agent", "center")
SUITE: Final = Path(ROOT_TAR).name.partition("-")[0]
RELEASE, PYTHON = {"bookworm": ("12", "3.11"), "trixie": ("13", "3.13")}.get(SUITE, ("", ""))
MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
ELF_MACHINE: Final = {"amd64": 62, "arm64": 183}  # e_machine in elf.h: EM_X86_64, EM_AARCH64
OWN: Final = next(arch for arch, machine in MACHINES.items() if machine == os.uname().machine)
OTHER: Final = next(arch for arch in MACHINES if arch != OWN)


def package(side: str, arch: str) -> Path:
    """The package built last."""
    found = DEBS.glob(f"collector-{side}_*+deb{RELEASE}_{arch}.deb")
    return max(found, key=lambda path: path.stat().st_mtime)


def unpacked(side: str, arch: str, folder: Path) -> Path:
    """What the package holds, its control files in DEBIAN/."""
    subprocess.run(["dpkg-deb", "--raw-extract", package(side, arch), folder], check=True)
    return folder


@pytest.fixture(scope="module", params=SIDES)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """A side, its package for this processor and the one for the other, unpacked."""
    side = str(request.param)
    place = tmp_path_factory.mktemp(side)
    return side, unpacked(side, OWN, place / OWN), unpacked(side, OTHER, place / OTHER)


def elf_machines(folder: Path) -> dict[str, int]:
    """Each ELF file's e_machine (little-endian halfword at 18), by its path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                head = file.read(20)
            if head.startswith(b"\x7fELF"):
                found[str(path.relative_to(folder))] = int.from_bytes(head[18:20], "little")
    return found


def distributions(folder: Path) -> list[str]:
    """Name and version of everything in the package's environment."""
    return sorted(path.name.removesuffix(".dist-info") for path in folder.glob("opt/*/lib/*/site-packages/*.dist-info"))


def test_control_names_the_processor_and_differs_in_nothing_else(both: tuple[str, Path, Path]) -> None:
    def fields(folder: Path) -> dict[str, str]:
        text = (folder / "DEBIAN/control").read_text("utf-8")
        return dict(re.findall(r"^([A-Z][\w-]*): (.*)$", text, re.MULTILINE))

    own, other = (fields(folder) for folder in both[1:])
    assert other.pop("Architecture") == OTHER
    assert own.pop("Architecture") == OWN
    for sized in (own, other):
        del sized["Installed-Size"]
    assert own == other


def test_every_program_and_library_is_for_the_other_processor(both: tuple[str, Path, Path]) -> None:
    _, own, other = both
    machines = elf_machines(other)
    assert set(machines.values()) == {ELF_MACHINE[OTHER]}
    # Wheels bundle a library more or less by processor; what Python imports is the same.
    imported = [
        {re.sub(rf"[-.]?(cpython-\d+-)?({'|'.join(MACHINES.values())})-linux-gnu", "", name) for name in found
         if ".libs/" not in name} for found in (elf_machines(own), machines)
    ]  # fmt: skip
    assert imported[0] == imported[1]
    left = MACHINES[OWN]
    assert not list(other.rglob(f"*{left}-linux*"))
    for wheel in other.glob("opt/*/lib/*/site-packages/*.dist-info/WHEEL"):
        assert not re.search(rf"^Tag: .*{left}$", wheel.read_text(), re.MULTILINE), wheel


def test_it_holds_the_same_distributions_scripts_manuals_and_settings(both: tuple[str, Path, Path]) -> None:
    side, own, other = both
    assert distributions(other) == distributions(own)
    for script in sorted((other / f"opt/collector-{side}/bin").iterdir()):
        if not script.is_symlink() and script.read_bytes().startswith(b"#!"):
            assert script.read_text().splitlines()[0] == f"#!/opt/collector-{side}/bin/python{PYTHON}"
            assert script.read_text() == (own / f"opt/collector-{side}/bin" / script.name).read_text()
    for part in ("etc", "usr", f"opt/collector-{side}/share/man"):
        files = sorted(str(path.relative_to(own)) for path in (own / part).rglob("*") if path.is_file())
        assert files == sorted(str(path.relative_to(other)) for path in (other / part).rglob("*") if path.is_file())
        assert [name for name in files if (own / name).read_bytes() != (other / name).read_bytes()] == []
    for script in ("postinst", "prerm", "postrm", "conffiles"):
        assert (own / "DEBIAN" / script).read_bytes() == (other / "DEBIAN" / script).read_bytes()
    subprocess.run(["md5sum", "--quiet", "--check", "DEBIAN/md5sums"], cwd=other, check=True)


@pytest.mark.parametrize("side", SIDES)
def test_a_bundle_holds_a_wheel_of_the_other_processor_for_every_locked_package(side: str, tmp_path: Path) -> None:
    names = []
    for arch in (OWN, OTHER):
        found = DEBS.glob(f"collector-{side}-*-{MACHINES[arch]}-py{PYTHON}.tar.gz")
        bundle = max(found, key=lambda path: path.stat().st_mtime)
        subprocess.run(["tar", "-C", tmp_path, "-xzf", bundle], check=True)
        folder = tmp_path / bundle.name.removesuffix(".tar.gz")
        subprocess.run(["sha256sum", "--quiet", "--check", "SHA256SUMS"], cwd=folder, check=True)
        assert (folder / "made-for").read_text() == f"{side} {PYTHON}\n"
        platforms = {wheel.stem.rpartition("-")[2] for wheel in (folder / "wheels").glob("*.whl")}
        assert all(part == "any" or part.endswith(MACHINES[arch]) for each in platforms for part in each.split("."))
        names.append(sorted(wheel.name.split("-")[:2] for wheel in (folder / "wheels").glob("*.whl")))
    assert names[0] == names[1]


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A root of the other processor, and the path in it of the program that interprets this processor's orders."""
    interpreter = shutil.which(f"qemu-{MACHINES[OTHER]}-static")
    if interpreter is None:
        pytest.skip(f"qemu-{MACHINES[OTHER]}-static is not here (Debian: qemu-user-static)")
    root = tmp_path_factory.mktemp("root")
    subprocess.run(["tar", "-C", root, "--exclude=./dev/*", "-xf", os.environ["OTHER_ROOT_TAR"]], check=True)
    shutil.copy(interpreter, root / "usr/bin")
    yield root, f"/usr/bin/{Path(interpreter).name}"
    shutil.rmtree(root)


@pytest.mark.parametrize("side", SIDES)
def test_the_program_runs_on_the_other_processor(interpreted: tuple[Path, str], side: str) -> None:
    root, interpreter = interpreted
    subprocess.run(["dpkg-deb", "--extract", package(side, OTHER), root], check=True)

    def said(*words: str) -> str:
        # Named for Python itself, not for the script: without binfmt the kernel would not know what to do with it.
        program = [f"/opt/collector-{side}/bin/python{PYTHON}", f"/opt/collector-{side}/bin/collector", *words]
        done = subprocess.run(["chroot", str(root), interpreter, *program], capture_output=True, text=True,
                              env=ENVIRONMENT)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert re.match(r"collector \S+ \(commit [0-9a-f]{12}\)\n", said("--version"))
    if side == "agent":
        sample = (root / "etc/collector/agent.toml").read_text("utf-8")
        devices = sample.count("\n[[device]]\n")
        assert devices > 1
        assert f"ok: {devices} devices" in said("agent", "check", "/etc/collector/agent.toml")
        said("agent", "keygen", "P1", "--out", "/tmp")
        assert (root / "tmp/P1.pub").exists()
        return
    # A store of its own: SQLite, Argon2, SQLAlchemy and Arrow of that processor.
    (root / "tmp/center.toml").write_text(
        (root / "etc/collector/center.toml").read_text().replace("/var/lib/collector-center", "/tmp/center")
    )
    (root / "tmp/password").write_text("correct horse battery\n")
    config = ("--config", "/tmp/center.toml")
    said("center", "user", "add", "li", "--role", "auditor", "--password-file", "/tmp/password", *config)
    assert "li" in said("center", "user", "list", *config)
    assert json.loads(said("center", "status", "--json", *config))["units"] == []
