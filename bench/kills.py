# SPDX-License-Identifier: GPL-3.0-or-later
"""Records lost or doubled over 200 kills of the agent: the test of the soak at its full size, and what it compared.

The test fails at the first record that is neither stored once nor named by a gap record; this module then is not
measured, and its log has the record.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.figure import Figure

KILLS: Final = 200
_TEST: Final = "tests/crash/test_agent_kill.py"


def measure() -> list[Figure]:
    """0, or a failure."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=0", _TEST]
    subprocess.run(command, cwd=Path(__file__).parents[1], env={**os.environ, "KILLS": str(KILLS)}, check=True)
    return [Figure.absolute(f"records lost or doubled over {KILLS} kills of the agent", 0.0, "records", 0.0)]
