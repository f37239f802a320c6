# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference's own cases, clause by clause, settled by the kernel as well: the tests are those of tests/reference.

Each of them builds a folder, has the reference settle it and checks the outcome against the text; here the same folder
also goes through `collector settle`, and must come to the same figures.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import reference.build
import reference.test_measure
import reference.test_plants
import reference.test_reference
import reference.test_services
from agreement import assert_agrees
from reference.settle import Result, settle_reference

_MODULES = (reference.test_measure, reference.test_plants, reference.test_reference, reference.test_services)
globals().update({name: test for module in _MODULES for name, test in vars(module).items() if name.startswith("test_")})


@pytest.fixture(autouse=True)
def _the_kernel_settles_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(folder: Path, month: str) -> Result:
        result = settle_reference(folder, month)
        assert_agrees(folder, month, result)
        return result

    monkeypatch.setattr(reference.build, "settle_reference", both)
