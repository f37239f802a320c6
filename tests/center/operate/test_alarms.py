# SPDX-License-Identifier: GPL-3.0-or-later
"""Alarms raised and cleared, told to a webhook each once, and shown to Prometheus."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from collector.base.text import into
from collector.center.db.store import CenterStore
from collector.center.kept_words import KEPT, in_words
from collector.center.lake.seal import enrol, seal_month_of
from collector.center.operate import alarms
from collector.center.operate.alarms import (
    UNSEEN_MS,
    Alarm,
    apply_alarms,
    events_to_send,
    find_alarms,
    find_flooding,
    list_alarms,
)
from collector.center.operate.integrity import check_store
from collector.center.operate.metrics import render_metrics
from collector.center.operate.webhook import keep_telling, post_event, tell_once
from collector.center.receive.arrivals import AgentState
from collector.center.receive.journal import commit_group
from collector.center.receive.receiver import Counters
from collector.center.receive.turns import Served
from collector.center.settings import Alarms
from collector.model.interval import Month
from tests.center.center_batches import NOON, FixedClock, deliver, minutes, new_store, open_admission, payload_of
from tests.patience import until

pytestmark = pytest.mark.usefixtures("on_both")

QUIET = Alarms(disk_free_ratio=0.000001)


def look(store: CenterStore, limits: Alarms = QUIET, plants: tuple[str, ...] = ("P1",)) -> list[tuple[str, str]]:
    """One round; (code, text) of what stands."""
    now = store.clock.now_utc_ms()
    found = store.read(lambda c: find_alarms(c, limits, plants, store.directory, now_ms=now))
    store.write(lambda c: apply_alarms(c, found, now_ms=now)).result()
    return [(row["code"], row["text"]) for row in store.read(list_alarms)]


def say(store: CenterStore, **state: Any) -> None:
    """A word of gateway g1 of P1 about itself."""
    arrival = AgentState("P1", "g1", json.dumps(state).encode())
    now = store.clock.now_utc_ms()
    store.write(lambda c: commit_group(c, [arrival], now_ms=now, quarantine_max_bytes=10**6)).result()


def test_two_machines_under_one_gateway_id_raise_an_alarm_and_a_new_buffer_does_not(tmp_path: Path) -> None:
    clock = FixedClock()
    minute = 60_000
    with new_store(tmp_path, clock) as store:
        deliver(store, [payload_of(1, minutes("U1", NOON, 2), epoch=1)])
        clock.now_ms += minute
        deliver(store, [payload_of(1, minutes("U1", NOON + 2 * minute, 2), epoch=2)])
        # What the old buffer still had comes late: it was recorded before the new one began.
        clock.now_ms += minute
        deliver(store, [payload_of(2, minutes("U2", NOON, 2), epoch=1)])
        assert look(store) == []
        clock.now_ms += minute
        deliver(store, [payload_of(3, minutes("U2", NOON + 4 * minute, 2), epoch=1)])
        ((code, text),) = look(store)
        assert code == "gateway_twice"
        assert "stop one of them".casefold() in text.casefold()
        clock.now_ms += 2 * 3_600_000
        deliver(store, [payload_of(4, minutes("U2", NOON + 200 * minute, 2), epoch=1)])
        assert look(store) == []


def test_a_plant_that_falls_silent_raises_an_alarm_that_clears_when_it_speaks(tmp_path: Path) -> None:
    clock = FixedClock()
    with new_store(tmp_path, clock) as store:
        deliver(store, [payload_of(1, minutes("U1", NOON, 1))])
        clock.now_ms += 599_999
        assert look(store) == []
        clock.now_ms += 1
        assert look(store) == [("plant_silent", "nothing heard since 2026-03-10 12:00:00")]
        clock.now_ms += 5000
        assert len(look(store)) == 1  # it stands, it is not raised again
        say(store, online=True)
        assert look(store) == []
        [row] = store.read(lambda c: list_alarms(c, include_cleared=True, plant="P1"))
        assert (row["since_ms"], row["until_ms"]) == (NOON + 600_000, NOON + 605_000)
        assert store.read(lambda c: list_alarms(c, include_cleared=True, plant="P")) == []


def test_a_goodbye_is_no_sign_of_life(tmp_path: Path) -> None:
    clock = FixedClock()
    with new_store(tmp_path, clock) as store:
        deliver(store, [payload_of(1, minutes("U1", NOON, 1))])
        clock.now_ms += 300_000
        say(store, online=False)
        clock.now_ms += 300_000
        [(code, text)] = look(store)
        assert (code, text.split("; ")[1]) == ("plant_silent", "its gateway went offline")


def test_a_plant_never_heard_of_is_silent_from_the_stores_beginning_on(tmp_path: Path) -> None:
    clock = FixedClock()
    with new_store(tmp_path, clock) as store:
        clock.now_ms += 600_000
        assert look(store) == [("plant_silent", "was never heard of")]


def test_refusals_within_an_hour_an_old_unsealed_day_and_a_wrong_clock_raise_alarms(tmp_path: Path) -> None:
    clock = FixedClock()
    limits = Alarms(quarantined_per_h=2, silent_after_s=604_800, disk_free_ratio=0.000001)
    with new_store(tmp_path, clock) as store:
        admission = open_admission(units=["U2"])
        deliver(store, [payload_of(1, minutes("U1", NOON, 1))], admission=admission)
        assert look(store, limits) == []
        deliver(store, [payload_of(2, minutes("U1", NOON, 1))], admission=admission)
        assert look(store, limits) == [("quarantine_growing", "refused within an hour: foreign_unit 2")]
        deliver(store, [payload_of(3, minutes("U2", NOON, 1))])
        say(store, online=True, clock="unsynchronised")
        assert ("gateway_clock", "said 2026-03-10 12:00:00 that its clock is not synchronised") in look(store, limits)
        clock.now_ms += 7_200_001
        assert [code for code, _ in look(store, limits)] == ["days_unsealed", "gateway_clock"]
        seal_month_of(store, Month(2026, 3))
        say(store, online=True, clock="synchronised")
        assert look(store, limits) == []


def test_a_disk_nearly_full_raises_an_alarm(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        [(code, text)] = look(store, Alarms(disk_free_ratio=0.999999))
        assert (code, text.endswith("GB free")) == ("disk_nearly_full", True)


@contextmanager
def hook(answers: list[int], leads_to: str = "http://127.0.0.1:1/") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A web server that takes events and answers with these codes in turn, 200 after them."""
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code = answers.pop(0) if answers else 200
            if code == 200:
                taken.append(body)
            self.send_response(code)
            self.send_header("Location", leads_to)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/alarms", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_hook_is_told_of_every_alarm_once_also_after_it_failed(tmp_path: Path) -> None:
    clock = FixedClock()
    with new_store(tmp_path, clock) as store, hook([500, 302]) as (url, taken):
        clock.now_ms += 600_000
        look(store)
        say(store, online=True)
        clock.now_ms += 1000
        look(store)
        limits = Alarms(webhook_url=url)

        async def tell() -> None:
            told = asyncio.create_task(
                keep_telling(store, limits, center="main", look_every_s=0.01, backoff_start_s=0.01)
            )
            await until(lambda: not store.read(lambda c: events_to_send(c, since_ms=0, limit=9)), every_s=0.01)
            told.cancel()
            await asyncio.gather(told, return_exceptions=True)

        asyncio.run(tell())
    assert [(e["center"], e["code"], e["subject"], e["event"]) for e in taken] == [
        ("main", "plant_silent", "P1", "raised"),
        ("main", "plant_silent", "P1", "cleared"),
    ]
    assert taken[1]["until"] == "2026-03-10T12:10:01+08:00"


def test_of_two_receivers_one_tells_and_each_alarm_is_told_once(tmp_path: Path) -> None:
    clock = FixedClock()
    told: list[str] = []
    with new_store(tmp_path, clock) as one, new_store(tmp_path, clock) as two:
        clock.now_ms += 600_000
        assert look(one)
        say(one, online=True)
        clock.now_ms += 1000
        look(two)

        def post(limits: Alarms, event: Mapping[str, Any]) -> None:
            told.append(f"{event['center']} {event['event']}")
            tell_once(two, limits, "two", post)  # the other one looks while this one is still telling

        tell_once(one, Alarms(), "one", post)
        tell_once(two, Alarms(), "two", post)
    assert told == ["one raised", "one cleared"]


def test_a_hook_that_is_not_there_is_an_error_and_no_event_is_lost(tmp_path: Path) -> None:
    del tmp_path
    with pytest.raises(OSError, match="refused"):
        post_event(Alarms(webhook_url="http://127.0.0.1:1/"), {"event": "raised"})


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_hook_that_leads_elsewhere_is_not_followed(code: int) -> None:
    with hook([]) as (inside, told), hook([code], leads_to=inside) as (url, taken):
        with pytest.raises(OSError, match=str(code)):
            post_event(Alarms(webhook_url=url), {"event": "raised"})
        assert (told, taken) == ([], [])


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/x", "gopher://host/x", "//host/x", "data:,x", "http:x"]
)
def test_a_hook_is_spoken_to_by_http_or_https_alone(url: str) -> None:
    with pytest.raises(ValidationError):
        Alarms(webhook_url=url)


def test_metrics_say_what_the_receiver_did_and_how_each_plant_is(tmp_path: Path) -> None:
    clock = FixedClock()
    with new_store(tmp_path, clock) as store:
        store.write(lambda c: enrol(c, {"P1": (["U1"], []), "P9": (["V1"], [])})).result()
        deliver(store, [payload_of(1, minutes("U1", NOON, 1)), payload_of(3, minutes("U1", NOON + 60_000, 1))])
        clock.now_ms = NOON + 600_000
        look(store)
        text = store.read(
            lambda c: render_metrics(
                c, Counters(messages=2, records=2, served=lambda: {"P1": Served(2, 0, 1.5)}), now_ms=clock.now_ms
            )
        ).decode()
    lines = set(text.splitlines())
    expected: Mapping[str, str] = {
        "collector_center_messages_total": "2.0",
        'collector_center_plant_held_back_seconds_total{plant="P1"}': "1.5",
        'collector_center_last_record_age_seconds{plant="P1"}': "540.0",
        'collector_center_last_heard_age_seconds{plant="P1"}': "600.0",
        'collector_center_missing_sequences{gateway="g1",plant="P1"}': "1.0",
        "collector_center_unsealed_days": "1.0",
        'collector_center_alarms{code="plant_silent"}': "1.0",
    }
    assert {f"{name} {value}" for name, value in expected.items()} <= lines


def test_a_plant_that_was_held_back_for_half_of_the_time_or_lost_messages_floods() -> None:
    before = {"P1": Served(10, 0, 5.0), "P2": Served(10, 0, 5.0), "P3": Served(10, 3, 0.0)}
    now = {"P1": Served(90, 0, 35.0), "P2": Served(90, 0, 34.9), "P3": Served(11, 4, 0.0), "P4": Served(5, 0, 60.0)}
    found = list(find_flooding(before, now, 60.0))
    assert [(each.code, each.subject) for each in found] == [("plant_flooding", p) for p in ("P1", "P3", "P4")]
    assert "30 of the last 60 s, 80 messages taken, 0 let go" in found[0].text
    assert "1 messages taken, 1 let go" in found[1].text


# ---- several receivers on one store ----------------------------------------------------------------------------------

FLOODS = Alarm(
    "plant_flooding", "P1", "sends more than its share: held back 50 of the last 60 s, 9 messages taken, 0 let go"
)


def test_what_one_receiver_sees_another_does_not_clear(tmp_path: Path) -> None:
    """Two receivers share the messages of a plant, and one of them gets its flood."""
    clock = FixedClock()
    with new_store(tmp_path, clock) as first, new_store(tmp_path, clock) as second:

        def look_at(store: CenterStore, *found: Alarm) -> tuple[int, int]:
            return store.write(lambda c: apply_alarms(c, found, now_ms=clock.now_ms)).result()

        raised = [look_at(first, FLOODS)]
        for _ in range(12):  # two minutes, in which one sees it and the other does not
            clock.now_ms += 5_000
            raised.append(look_at(second))
            clock.now_ms += 5_000
            raised.append(look_at(first, FLOODS))
        assert raised == [(1, 0)] + [(0, 0)] * 24
        assert [row["since_ms"] for row in first.read(list_alarms)] == [NOON]
        # The first is killed, or the plant is quiet: nobody has seen it for as long as a flooding is watched.
        clock.now_ms += UNSEEN_MS - 1
        assert look_at(second) == (0, 0)
        clock.now_ms += 1
        assert look_at(second) == (0, 1)
        assert look_at(first, FLOODS) == (1, 0)
        assert check_store(first) == []


def test_what_the_store_shows_is_cleared_by_whoever_looks_first(tmp_path: Path) -> None:
    clock = FixedClock()
    with new_store(tmp_path, clock) as first, new_store(tmp_path, clock) as second:
        silent = Alarm("plant_silent", "P1", "was never heard of")
        for store, found in ((first, [silent]), (second, [])):
            store.write(lambda c, found=found: apply_alarms(c, found, now_ms=clock.now_ms)).result()  # type: ignore[misc]
        assert first.read(list_alarms) == []


def test_every_sentence_of_an_alarm_is_known_where_it_is_read_again() -> None:
    """An alarm is stored in English; pages and terminal tell it in the reader's language by the sentences of KEPT."""
    tree = ast.parse(Path(alarms.__file__).read_text("utf-8"))
    said = {
        re.sub(r"\{(\w+)[^}]*\}", r"{\1}", ast.literal_eval(node.args[0]))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tr"
    }
    assert len(said) > 5
    assert said <= {str(text) for text in KEPT}
    assert re.search("[\u4e00-\u9fff]", into(in_words(FLOODS.text), "zh"))
