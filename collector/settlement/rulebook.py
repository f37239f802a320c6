# SPDX-License-Identifier: GPL-3.0-or-later
"""Dated values of the rule."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rulebook:
    """All of a rule's values."""


def load_rulebook(directory: Path) -> Rulebook:
    """From config/rules/<rule>/."""
    raise NotImplementedError
