# SPDX-License-Identifier: GPL-3.0-or-later
"""What is locked, listed and licensed is what the deployments install; no network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from requirements.deployment import DEPLOYMENTS, ROOT, closure, locked, pinned, project
from requirements.licences import PAGE, is_compatible, page
from requirements.lock import serves
from requirements.sbom import bill, write

each_deployment = pytest.mark.parametrize("deployment", DEPLOYMENTS)


@each_deployment
def test_the_lock_holds_all_that_is_required_at_the_tested_versions_and_nothing_else(deployment: str) -> None:
    required = {name: pinned()[name] for name in closure(deployment).keys() - {project()["name"]}}
    assert {name: version for name, (version, _) in locked(deployment).items()} == required, "make lock"


@each_deployment
def test_every_line_of_the_lock_is_read_and_has_digests(deployment: str) -> None:
    text = (ROOT / "requirements" / f"{deployment}.txt").read_text("utf-8")
    lock = locked(deployment)
    assert text.count("==") == len(lock)
    assert text.count("--hash=") == sum(len(digests) for _, digests in lock.values())
    assert all(digests for _, digests in lock.values())


@each_deployment
def test_the_lock_names_no_host_and_lets_pip_take_nothing_unlocked(deployment: str) -> None:
    lines = (ROOT / "requirements" / f"{deployment}.txt").read_text("utf-8").splitlines()
    pin, digest = r"[a-z0-9-]+==[a-z0-9.]+ \\", r"    --hash=sha256:[0-9a-f]{64}( \\)?"
    options = [line for line in lines[1:] if not re.fullmatch(f"{pin}|{digest}", line)]
    assert options == ["--only-binary :all:", "--require-hashes"]


def test_the_agent_has_nothing_of_the_center() -> None:
    agent, center = locked("agent"), locked("center")
    assert agent.items() < center.items()
    assert not {"sqlalchemy", "litestar", "pyarrow", "psycopg"} & agent.keys()


@pytest.mark.parametrize(("wheel", "expected"), [
    ("rich-15.0.0-py3-none-any.whl", True),
    ("six-1.17.0-py2.py3-none-any.whl", True),
    ("cryptography-50.0.2-cp39-abi3-manylinux_2_28_x86_64.whl", True),
    ("numpy-2.4.6-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", True),
    ("uvloop-0.23.0-cp312-cp312-musllinux_1_2_x86_64.whl", True),
    ("cffi-2.1.1-cp311-cp311-manylinux_2_17_x86_64.whl", False),
    ("cffi-2.1.1-cp312-cp312t-manylinux_2_17_x86_64.whl", False),
    ("cryptography-50.0.2-cp313-abi3-manylinux_2_28_x86_64.whl", False),
    ("cryptography-50.0.2-cp39-abi3-manylinux_2_28_aarch64.whl", False),
    ("cffi-2.1.1-cp312-cp312-win_amd64.whl", False),
    ("cffi-2.1.1-cp312-cp312-macosx_11_0_x86_64.whl", False),
    ("zstandard-0.25.0-pp312-pypy312_pp73-manylinux_2_17_x86_64.whl", False),
])  # fmt: skip
def test_a_wheel_for_python_3_12_on_x86_64_is_told_by_its_name(wheel: str, expected: bool) -> None:
    assert serves(wheel, "3.12", "x86_64") is expected


def check_component(component: dict[str, Any]) -> None:
    assert component["type"] in ("application", "library")
    assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"
    assert [list(choice) for choice in component["licenses"]] == [["expression"]]
    for entry in component.get("hashes", ()):
        assert entry["alg"] == "SHA-256"
        assert re.fullmatch("[a-f0-9]{64}", entry["content"])


@each_deployment
def test_the_bill_of_materials_is_cyclonedx_and_complete(deployment: str) -> None:
    bom = bill(deployment)
    # The fields and patterns that the schema of CycloneDX 1.6 requires.
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch("urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bom["serialNumber"])
    for component in [bom["metadata"]["component"], *bom["components"]]:
        check_component(component)
    assert [c["name"] for c in bom["components"]] == sorted(locked(deployment))
    assert all(c["hashes"] for c in bom["components"])
    refs = [bom["metadata"]["component"]["bom-ref"], *(c["bom-ref"] for c in bom["components"])]
    assert len(refs) == len(set(refs))
    assert sorted(d["ref"] for d in bom["dependencies"]) == sorted(refs)
    assert {other for d in bom["dependencies"] for other in d["dependsOn"]} <= set(refs)


def test_the_same_lock_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = write(tmp_path / "one"), write(tmp_path / "two")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert [json.loads(path.read_bytes())["bomFormat"] for path in first] == ["CycloneDX"] * len(DEPLOYMENTS)
    assert not any(b"://" in path.read_bytes() for path in first)


def test_the_page_of_licences_is_what_is_installed() -> None:
    assert PAGE.read_text("utf-8") == page(), "make lock"


@pytest.mark.parametrize(("expression", "expected"), [
    ("MIT", True), ("EPL-2.0", False), ("EPL-2.0 OR BSD-3-Clause", True), ("MIT AND EPL-2.0", False),
    ("GPL-2.0-only", False), ("MIT AND Zlib OR GPL-2.0-only", True), ("LicenseRef-Proprietary", False),
])  # fmt: skip
def test_compatibility_with_our_licence_is_read_from_the_expression(expression: str, expected: bool) -> None:
    assert is_compatible(expression) is expected
