# SPDX-License-Identifier: GPL-3.0-or-later
"""The bill of materials of each deployment as CycloneDX 1.6 JSON, from its lock file and the installed metadata.

`python -m requirements.sbom FOLDER` (make sbom). The same lock gives the same bytes: no time, and the serial number is
drawn from the content. A component's hashes are those of all its locked wheels; a machine has installed one of them.
"""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any, Final

from requirements.deployment import DEPLOYMENTS, closure, licence_of, locked, project

# Any fixed name space would do; this is that of names which are URLs (RFC 9562).
_SPACE: Final = uuid.NAMESPACE_URL


def bill(deployment: str) -> dict[str, Any]:
    """The document, without our own name among the components: that is the subject."""
    own, lock = project(), locked(deployment)
    refs = {name: f"pkg:pypi/{name}@{version}" for name, (version, _) in lock.items()}
    refs[own["name"]] = f"pkg:pypi/{own['name']}@{own['version']}"
    subject = _component("application", own["name"], own["version"], own["license"], [])
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": subject | {"description": f"deployment: {deployment}"},
            "lifecycles": [{"phase": "pre-build"}],
        },
        "components": [
            _component("library", name, version, licence_of(name), digests)
            for name, (version, digests) in sorted(lock.items())
        ],
        "dependencies": [
            {"ref": refs[name], "dependsOn": sorted(refs[other] for other in others)}
            for name, others in sorted(closure(deployment).items())
        ],
    }
    serial = uuid.uuid5(_SPACE, json.dumps(document, sort_keys=True))
    return document | {"serialNumber": f"urn:uuid:{serial}"}


def _component(kind: str, name: str, version: str, licence: str, digests: list[str]) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    found = {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl,
             "licenses": [{"expression": licence}]}  # fmt: skip
    return found | ({"hashes": [{"alg": "SHA-256", "content": digest} for digest in digests]} if digests else {})


def write(folder: Path) -> list[Path]:
    """Writes one file per deployment."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for deployment in DEPLOYMENTS:
        path = folder / f"collector-{project()['version']}-{deployment}.cdx.json"
        path.write_text(json.dumps(bill(deployment), indent=1, sort_keys=True) + "\n", "utf-8")
        paths.append(path)
    return paths


if __name__ == "__main__":
    write(Path(sys.argv[1]))
