# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pyproject.toml requires for a side, for commits from before the lock files: requirements_of.py FILE SIDE."""

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

declared = tomllib.loads(Path(sys.argv[1]).read_text("utf-8"))
own, side = declared["project"], sys.argv[2]
texts = own["dependencies"] + declared["build-system"]["requires"]
texts += own["optional-dependencies"]["center"] if side == "center" else []
for requirement in map(Requirement, texts):
    if requirement.marker is None or requirement.marker.evaluate():
        requirement.marker = None
        print(str(requirement).replace(" ", ""))
