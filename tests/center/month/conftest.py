# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the folders whose helpers are used here on the path, so that this one can be run alone."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
for folder in (TESTS, TESTS / "center", TESTS / "settlement"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
