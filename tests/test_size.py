# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left out at a commit is not left out of everything."""

from __future__ import annotations

import pytest

from tests import size

NAMES, DAMAGES = ("a", "b", "c", "d", "e"), ("flip", "cut", "gone")
NOTHING = {("c", "gone"), ("d", "flip")}


def test_at_every_commit_each_of_both_is_tried_in_pairs_that_say_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size, "FULL", False)
    found = size.in_turn(NAMES, DAMAGES, NOTHING)
    assert found == [("a", "flip"), ("b", "cut"), ("c", "flip"), ("d", "cut"), ("e", "cut")]
    assert size.in_turn(DAMAGES, NAMES)[3:] == [("flip", "d"), ("cut", "e")]


def test_in_full_every_pair_that_says_something_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size, "FULL", True)
    found = size.in_turn(NAMES, DAMAGES, NOTHING)
    assert len(found) == len(set(found)) == 13
    assert NOTHING.isdisjoint(found)
