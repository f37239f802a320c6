# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of a page and its twin: seen by who may, and of another plant by nobody else."""

from __future__ import annotations

from pathlib import Path

from collector.model.record import GapRecord
from tests.center.center_batches import NOON, deliver, minutes, open_admission, payload_of
from tests.center.web.web_world import world


def test_gap_records_are_shown_by_plant_and_reason_and_a_plant_sees_its_own(tmp_path: Path) -> None:
    with world(tmp_path / "state") as made:
        gaps = [GapRecord(("U2",), NOON - lost_s * 1000, NOON, "agent_down") for lost_s in (30, 90)]
        admission = open_admission(units=["U2"])
        deliver(made.store, [payload_of(1, minutes("U2", NOON, 2), gaps=gaps)], admission=admission)
        for name in ("olga", "paul"):  # an operator; a user of P1 itself
            with made.browser(name) as browser:
                text = browser.get("/told-gaps").text
                assert "agent_down" in text
                assert ">90<" in text
                rows = browser.get("/api/v1/told-gaps", headers=made.token_of(name)).json()["items"]
                assert [(row["plant"], row["count"], row["longest_ms"]) for row in rows] == [("P1", 2, 90_000)]
        with made.browser("petra") as browser:  # of P0
            assert "agent_down" not in browser.get("/told-gaps").text
        with made.browser() as browser:
            assert browser.get("/told-gaps").status_code in (302, 303, 401)
