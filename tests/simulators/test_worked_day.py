# SPDX-License-Identifier: GPL-3.0-or-later
"""The books of one whole day equal workings done by hand (worked_day/workings.md)."""

from __future__ import annotations

import csv
from pathlib import Path

from collector.model.interval import parse_time_ms
from simulators.plant.plant import World
from simulators.plant.scenario import load_scenario
from simulators.plant.signals import Board

CASE = Path(__file__).parent / "worked_day"


def test_the_books_of_a_day_equal_hand_workings() -> None:
    world = World(load_scenario(CASE / "when" / "plant.toml"), Board())
    world.advance(parse_time_ms("2026-03-02T00:00:00+08:00"))
    books = {(row["unit"], row["service"]): row for row in world.book_lines()}
    with (CASE / "then" / "lines.csv").open(encoding="utf-8", newline="") as file:
        expected = list(csv.DictReader(file))
    assert [books[row["unit"], row["service"]] for row in expected] == expected
