# SPDX-License-Identifier: GPL-3.0-or-later
"""What the container files say, instruction by instruction."""

from __future__ import annotations

from pathlib import Path
from typing import Final

CONTAINERS: Final = Path(__file__).parent / "containers"


def instructions(image: str) -> list[tuple[str, str]]:
    """(instruction, the rest), comments taken out, continued lines joined."""
    lines = (CONTAINERS / f"{image}.Containerfile").read_text("utf-8").splitlines()
    whole = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("\\\n", " ")
    return [
        (word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in whole.splitlines() if line)
    ]
