# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel and the slow reference, written apart from the same text, agree to the fen on folders made at random."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from agreement import assert_agrees
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_folders import make_folder
from reference.settle import settle_reference


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(min_value=0, max_value=2**40))
def test_every_line_and_plant_row_equals_the_reference(seed: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "folder"
        make_folder(random.Random(seed), folder)
        assert_agrees(folder, "2026-06", settle_reference(folder, "2026-06"))
