# SPDX-License-Identifier: GPL-3.0-or-later
"""Each of the reference's cases, clause by clause, is settled by the kernel as well, and comes to the same figures.

A case builds a folder, has the reference settle it and checks the outcome against the text; here the same folder also
goes through `collector settle`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reference import build
from tests.reference.settle import Result, settle_reference
from tests.settlement.agreement import assert_agrees


@pytest.fixture(autouse=True)
def _the_kernel_settles_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(folder: Path, month: str) -> Result:
        result = settle_reference(folder, month)
        assert_agrees(folder, month, result)
        return result

    monkeypatch.setattr(build, "settle_reference", both)
