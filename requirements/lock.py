# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes agent.txt and center.txt: each package of a deployment at its tested version, the digests of its wheels.

`python -m requirements.lock` (make lock) asks the index that pip is configured for; its address is written nowhere.
Linux wheels for x86-64 and arm64 only, no source archives: a gateway has no compiler, and what a source archive needs
for building would come unlocked.
"""

from __future__ import annotations

import json
import re
import ssl
import urllib.request
from typing import Final

from packaging.utils import canonicalize_name
from pip._internal.commands import create_command  # the only place that resolves pip's files, environment and defaults

from requirements.deployment import DEPLOYMENTS, MACHINES, PYTHONS, ROOT, closure, pinned, project

_HEAD: Final = """\
# Tested versions and SHA-256 of their wheels (Linux, x86-64 and arm64); `make lock` writes this file.
--only-binary :all:
--require-hashes
"""


def files_of(name: str) -> list[dict[str, object]]:
    """Every file the index has of a package (simple API, PEP 691)."""
    options, _ = create_command("download").parser.parse_args([])
    request = urllib.request.Request(
        f"{options.index_url.rstrip('/')}/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    context = ssl.create_default_context(cafile=options.cert)
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:
        found: list[dict[str, object]] = json.load(answer)["files"]
    return found


def serves(wheel: str, python: str, machine: str) -> bool:
    """Whether a wheel, by its file name (PEP 425), can be installed on a Python and a processor, under Linux."""
    tags, abi, platform = wheel.removesuffix(".whl").split("-")[-3:]
    minor, compiled = int(python.partition(".")[2]), [int(n) for n in re.findall(r"\bcp3(\d+)", tags)]
    exact = minor in compiled and not abi.endswith("t")
    fits = "py3" in tags.split(".") or exact or ("abi3" in abi.split(".") and any(n <= minor for n in compiled))
    return fits and (platform == "any" or ("linux" in platform and platform.endswith(machine)))


def digests_of(name: str, version: str) -> list[str]:
    """SHA-256 of each wheel that serves.

    Raises:
        ValueError: a Python or processor has none.
    """
    wheels: dict[str, str] = {}
    for file in files_of(name):
        parts, hashes = str(file["filename"]).split("-"), file["hashes"]
        if parts[-1].endswith(".whl") and (canonicalize_name(parts[0]), parts[1]) == (name, version):
            assert isinstance(hashes, dict)
            wheels |= {str(file["filename"]): hashes["sha256"]}
    places = [(python, machine) for python in PYTHONS for machine in MACHINES]
    served = {place: {wheel for wheel in wheels if serves(wheel, *place)} for place in places}
    if lacking := [place for place, found in served.items() if all("musllinux" in wheel for wheel in found)]:
        raise ValueError(f"{name} {version}: the index has no wheel for {lacking}")
    return sorted({wheels[wheel] for found in served.values() for wheel in found})


def main() -> None:
    pins = pinned()
    digests: dict[str, list[str]] = {}
    for deployment in DEPLOYMENTS:
        names = sorted(closure(deployment).keys() - {project()["name"]})
        digests |= {name: digests_of(name, pins[name]) for name in names if name not in digests}
        rows = [" \\\n    ".join([f"{n}=={pins[n]}", *(f"--hash=sha256:{d}" for d in digests[n])]) for n in names]
        (ROOT / "requirements" / f"{deployment}.txt").write_text(_HEAD + "\n".join(rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()
