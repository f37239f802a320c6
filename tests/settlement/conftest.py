# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts tests/ on the path, so that the reference (tests/reference) can be imported when only this folder is run."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = str(Path(__file__).resolve().parent.parent)
if TESTS not in sys.path:
    sys.path.insert(0, TESTS)
