# SPDX-License-Identifier: GPL-3.0-or-later
"""A substitution in the browser's forms: proposed by one person, decided by another, taken back."""

from __future__ import annotations

from pathlib import Path

from tests.center.web.web_world import world

FORM = {
    "unit": "U2",
    "quantity": "active_power_mw",
    "from": "2026-03-10T10:00:00",
    "to": "2026-03-10T11:00",
    "value": "300.5",
    "method": "plant's report",
    "reason": "transmitter failed",
}


def test_one_proposes_another_decides_and_it_can_be_taken_back(tmp_path: Path) -> None:
    with world(tmp_path) as own:
        with own.browser("olga") as olga:
            mine = {"csrf": own.csrf_of("olga")}
            refused = olga.post("/substitutions", data=FORM | mine | {"value": "much"})
            assert refused.status_code == 422
            assert "transmitter failed" in refused.text  # what was typed is still there
            assert olga.post("/substitutions", data=FORM | mine | {"to": FORM["from"]}).status_code == 422
            assert olga.post("/substitutions", data=FORM | mine).status_code == 303
            assert olga.post("/substitutions/1/decide", data=mine | {"decision": "grant"}).status_code == 403
        with own.browser("anna") as anna:
            theirs = {"csrf": own.csrf_of("anna")}
            assert "300.5" in anna.get("/substitutions").text
            said = "U2，有功功率，2026-03-10 10:00:00 至 2026-03-10 11:00:00"
            assert f"数据替代：{said}" in anna.get("/tasks").text
            assert said in anna.get("/decisions").text
            assert anna.post("/substitutions/1/decide", data=theirs | {"decision": "grant"}).status_code == 303
            assert anna.post("/substitutions/1/decide", data=theirs | {"decision": "grant"}).status_code == 409
        with own.browser("petra") as petra:
            assert "300.5" not in petra.get("/substitutions").text  # another plant's
        with own.browser("olga") as olga:
            assert olga.post("/substitutions/1/withdraw", data=mine | {"reason": ""}).status_code == 409
            assert olga.post("/substitutions/1/withdraw", data=mine | {"reason": "record found"}).status_code == 303
            assert "提出撤回，待审批" in olga.get("/substitutions").text
            back = "/substitutions/1/withdraw/decide"
            assert olga.post(back, data=mine | {"decision": "grant"}).status_code == 403
        with own.browser("anna") as anna:
            assert "record found" in anna.get("/substitutions").text
            assert anna.post(back, data=theirs).status_code == 409  # without its button it decides nothing
            assert anna.post(back, data=theirs | {"decision": "grant"}).status_code == 303
            listed = anna.get("/api/v1/substitutions", headers=own.token_of("anna")).json()["items"]
            assert [row["state"] for row in listed] == ["withdrawn"]
