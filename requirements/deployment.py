# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment installs: the requirements of pyproject.toml and all that these require, at the tested versions.

`python -m requirements.lock` writes the files with hashes (network), `requirements.sbom` and `requirements.licences`
describe them. All read the metadata of the environment they run in, which holds the versions of constraints.txt.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import metadata, requires
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from collector import __version__

ROOT: Final = Path(__file__).parents[1]
# Extras of each deployment, as docs/install-gateway.md and docs/center.md install it.
DEPLOYMENTS: Final[dict[str, tuple[str, ...]]] = {"agent": (), "center": ("center",)}
# c104 2.2 has no wheel for 3.14.
PYTHONS: Final = ("3.11", "3.12", "3.13")
MACHINES: Final = ("x86_64", "aarch64")
# Each package with the names of those it requires. Names are normalised (PEP 503).
Graph = dict[str, set[str]]

# Metadata written before License-Expression (PEP 639): the words of the old fields, and the SPDX identifier meant.
_SPDX_OF_WORDS: Final = {
    "Apache License, Version 2.0": "Apache-2.0",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Public Domain": "LicenseRef-Public-Domain",
}
# Where the fields say "BSD" without a number or give the whole text: read in the licence file or the source installed.
_READ_IN_PACKAGE: Final = {
    "aiomqtt": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "pyserial": "BSD-3-Clause",
    "rich-click": "MIT",
}


def project() -> dict[str, str]:
    """Name, version and licence of our own, from pyproject.toml and `collector`."""
    own = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {"name": own["name"], "version": __version__, "license": own["license"]}


def pinned() -> dict[str, str]:
    """Version of each package in constraints.txt."""
    pins = (line.partition("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if "==" in line)
    return {canonicalize_name(name): version for name, _, version in pins}


def closure(deployment: str) -> Graph:
    """All packages of a deployment, on any Python and processor served; our own name is the root.

    What builds the checkout (setuptools) is among them, so that installation needs nothing that is not locked.
    """
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    own = declared["project"]
    texts = own["dependencies"] + declared["build-system"]["requires"]
    texts += [text for extra in DEPLOYMENTS[deployment] for text in own["optional-dependencies"][extra]]
    roots = [r for r in map(Requirement, texts) if any(_applies(r, ""))]
    graph: Graph = {own["name"]: {canonicalize_name(r.name) for r in roots}}
    todo, seen = roots, set[tuple[str, str]]()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                found = [r for r in map(Requirement, requires(name) or ()) if any(_applies(r, extra))]
                graph.setdefault(name, set()).update(canonicalize_name(r.name) for r in found)
                todo += found
    return graph


def _applies(requirement: Requirement, extra: str) -> Iterator[bool]:
    for python in PYTHONS:
        for machine in MACHINES:
            place = {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": machine,
                     "platform_system": "Linux", "sys_platform": "linux", "os_name": "posix",
                     "implementation_name": "cpython", "platform_python_implementation": "CPython",
                     "extra": extra}  # fmt: skip
            yield requirement.marker is None or requirement.marker.evaluate(place)


def locked(deployment: str) -> dict[str, tuple[str, list[str]]]:
    """Version and SHA-256 digests of each package in the deployment's lock file."""
    text = (ROOT / "requirements" / f"{deployment}.txt").read_text("utf-8").replace("\\\n", " ")
    found = re.finditer(r"^([\w.-]+)==(\S+)(.*)$", text, re.MULTILINE)
    return {name: (version, re.findall(r"--hash=sha256:([0-9a-f]{64})\b", rest)) for name, version, rest in
            (match.groups() for match in found)}  # fmt: skip


def licence_of(name: str) -> str:
    """SPDX expression of an installed package's licence.

    Raises:
        ValueError: the metadata does not say it in words known here.
    """
    if name in _READ_IN_PACKAGE:
        return _READ_IN_PACKAGE[name]
    fields = metadata(name)
    expression, old = ((fields.get_all(key) or [""])[0] for key in ("License-Expression", "License"))
    if expression:
        return str(expression)
    classifiers = [c.rpartition(" :: ")[2] for c in fields.get_all("Classifier") or () if c.startswith("License ::")]
    for words in (old, *classifiers):
        if words in _SPDX_OF_WORDS:
            return _SPDX_OF_WORDS[words]
        if re.fullmatch(r"[A-Za-z0-9.-]+( (AND|OR) [A-Za-z0-9.-]+)*", words):
            return str(words)
    raise ValueError(f"{name}: licence {old!r}, {classifiers}; read its licence file, enter it here")
