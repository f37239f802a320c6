# SPDX-License-Identifier: GPL-3.0-or-later
"""Areas are shown by the names that the rulebooks give them."""

from __future__ import annotations

import pytest

from collector.base.resources import config_path
from collector.report import words
from collector.settlement.rulebook.load import load_rulebook


@pytest.mark.parametrize("name", ["east-china-trial", "example-revision"])
def test_every_area_of_a_shipped_rulebook_has_its_names(name: str) -> None:
    for area in load_rulebook(config_path(f"rules/{name}")).areas.values():
        assert words.of(words.AREAS, area.id) == (area.name_zh, area.name)


def test_an_area_of_another_rulebook_is_shown_by_its_id() -> None:
    assert words.of(words.AREAS, "elsewhere") == ("elsewhere", "")
