# SPDX-License-Identifier: GPL-3.0-or-later
"""The commit this program was built from. `setup.py` writes it into the package; a checkout asks git."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BUILT_FROM: Final = Path(__file__).with_name("commit.txt")


def commit() -> str:
    """The first 12 digits, with `+` where the checkout differs from that commit; `unknown` where there is no git."""
    if BUILT_FROM.is_file():
        return BUILT_FROM.read_text("utf-8").strip()
    if not (ROOT / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):  # no git, or a checkout of another user
        return "unknown"
    return told.stdout.strip()
