# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the center and what `center status` says, against hand workings."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection

from collector.base.errors import ConfigError
from collector.base.text import into
from collector.center.db.store import CenterStore
from collector.center.lake.seal import enrol
from collector.center.operate.status import CenterStatus, GatewayStatus, latest_month, read_status
from collector.center.settings import Lake, ReceiverSettings, load_center, parse_broker, with_overrides
from collector.model.interval import DAY_MS, Month, local_midnight_ms
from collector.model.record import GapRecord
from tests.center.center_batches import NOON, FixedClock, deliver, minutes, new_store, payload_of, record

pytestmark = pytest.mark.usefixtures("on_both")

MARCH = Month(2026, 3)
FIRST = local_midnight_ms(MARCH.first_day)
SAMPLE = Path(__file__).parents[3] / "config" / "center.toml"


def _status(connection: Connection, now_ms: int = NOON, hold_limit_s: int = 60) -> CenterStatus:
    return read_status(connection, MARCH, now_ms=now_ms, hold_limit_s=hold_limit_s)


def test_completeness_is_known_minutes_in_elapsed_minutes(tmp_path: Path) -> None:
    """U1 has 90 single minutes of the 13 620 from 1 March 00:00 to 10 March 11:00; holding 10 min adds 9 once."""
    with new_store(tmp_path, FixedClock()) as store:
        store.write(lambda c: enrol(c, {"P1": (["U1", "U2"], [])})).result()
        deliver(store, [payload_of(1, minutes("U1", FIRST, 60)), payload_of(2, minutes("U1", FIRST + 3_600_000, 30))])
        now_ms = FIRST + 9 * DAY_MS + 11 * 3_600_000
        one, two = store.read(lambda c: _status(c, now_ms)).units
        held, _ = store.read(lambda c: _status(c, now_ms, 600)).units
    assert (one.unit, one.received, one.known_min, one.elapsed_min) == ("U1", 90, 90, 13_620)
    assert (held.known_min, one.completeness_ratio) == (99, 90 / 13_620)
    assert (two.unit, two.last_record_ms, two.received, two.known_min) == ("U2", None, 0, 0)


def test_minutes_count_once_and_only_inside_the_month(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        records = [
            record("U1", FIRST - 1),
            record("U1", FIRST),
            record("U1", FIRST + 59_999),
            record("U1", FIRST + 60_000),
        ]
        deliver(store, [payload_of(1, records)])
        [unit] = store.read(lambda c: _status(c, FIRST + 60_000 * 100)).units
        [full] = store.read(lambda c: _status(c, FIRST + 90 * DAY_MS)).units
    assert (unit.known_min, unit.elapsed_min) == (2, 100)
    assert full.elapsed_min == 31 * 1440


def test_a_month_that_is_ahead_of_the_clock_counts_up_to_its_last_record(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        deliver(store, [payload_of(1, minutes("U1", FIRST, 6))])
        [unit] = store.read(lambda c: _status(c, 0)).units
        assert store.read(latest_month) == MARCH
    assert (unit.known_min, unit.elapsed_min) == (5, 5)  # the sixth minute has only begun


def test_gaps_holes_and_quarantine_are_counted(tmp_path: Path) -> None:
    down = GapRecord(("U1",), FIRST, FIRST + 180_000, "agent_down")
    with new_store(tmp_path) as store:
        deliver(store, [payload_of(1, [], gaps=[down]), payload_of(4, minutes("U1", FIRST, 1)), b"rubbish"])
        status = store.read(_status)
    [gateway] = status.gateways
    assert (gateway.batches, gateway.missing_sequences, gateway.state) == (2, 2, None)
    assert status.units[0].gaps == 1
    assert status.quarantined == {"malformed": 1}
    assert status.unsealed_days == 1


def test_a_gateways_will_counts_for_all_the_plants_it_names(tmp_path: Path) -> None:
    """It comes on the topic of one plant only; a later word of the gateway for another plant counts more."""
    clock = FixedClock()

    def say(store: CenterStore, plant: str, online: str, at_ms: int) -> None:
        clock.now_ms = at_ms
        text = f'{{"online": {online}, "plants": ["P1", "P2"]}}'.encode()
        deliver(store, [text], topic=f"collector/v1/{plant}/g1/state")

    with new_store(tmp_path, clock) as store:
        say(store, "P1", "true", NOON)
        say(store, "P2", "true", NOON)
        say(store, "P1", "false", NOON + 5)
        one, two = store.read(_status).gateways
        assert one.state is not None
        assert two.state is not None
        assert (one.state["online"], two.state["online"]) == (False, False)
        say(store, "P2", "true", NOON + 9)
        assert [g.state and g.state["online"] for g in store.read(_status).gateways] == [False, True]


def test_a_gateways_buffer_is_said_in_words_and_another_senders_as_it_stands() -> None:
    def said(buffer: object) -> str:
        gateway = GatewayStatus(plant="P1", gateway="G1", epochs=1, batches=1, records=1, repeats=0,
                                missing_sequences=0, last_received_ms=None, state={"buffer": buffer},
                                state_received_ms=None)  # fmt: skip
        return gateway.buffer_words

    counts = {"pending": 2, "pending_records": 30, "evicted_records": 0, "used_bytes": 73_728}
    words = said(counts | {"oldest_pending_ms": None})
    assert words == "waiting: 2 batches, 30 records, 0.1 MB in use"
    assert into(words, "zh") == "待确认：2 批、30 条记录、已用 0.1 MB"
    assert said({"queue": 7, "note": "\x1b[2Jfull"}) == "queue 7, note \ufffd[2Jfull"
    assert said("half full\r\n") == "half full\ufffd\ufffd"
    assert said(None) == ""


def test_the_sample_is_valid_and_names_every_key_with_its_default() -> None:
    settings = load_center(SAMPLE)
    assert settings.receiver == ReceiverSettings()
    assert settings.lake == Lake()
    text = SAMPLE.read_text("utf-8")
    for section in (settings.center, settings.mqtt, settings.receiver, settings.lake, settings.plant[0]):
        for name in type(section).model_fields:
            assert f"\n{name} = " in text, name


def test_what_is_wrong_in_center_toml_is_told_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "center.toml"
    path.write_text(
        """schema = 1
[lake]
seal_after = 3
[[plant]]
id = "P1"
units = ["U1"]
unsigned = 1
""",
        "utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_center(path)
    text = str(caught.value)
    assert "lake.seal_after: unknown key; did you mean 'seal_after_s'?" in text
    assert "plant[1].unsigned" in text


def test_units_of_two_plants_and_plants_without_keys_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "center.toml"
    plant = '[[plant]]\nid = "{}"\nunits = ["U1"]\n'
    path.write_text("schema = 1\n" + plant.format("P1") + plant.format("P2") + "unsigned = true\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_center(path)
    assert [p.key for p in caught.value.problems] == ["plant[1].public_key_files", "plant[2].units"]


def test_the_command_line_takes_the_place_of_keys() -> None:
    settings = with_overrides(load_center(SAMPLE), listen="0.0.0.0:1", state="/s", broker="mqtts://b")
    assert (settings.center.listen, settings.center.state_dir) == ("0.0.0.0:1", "/s")
    assert (settings.mqtt.host, settings.mqtt.port) == ("b", 8883)
    assert with_overrides(load_center(SAMPLE), listen="", state="", broker="") == load_center(SAMPLE)
    assert parse_broker("mqtt://[::1]:77") == ("::1", 77, False)
    for wrong in ("http://x", "mqtt://", "mqtt://x:99999", "mqtt://x/path"):
        with pytest.raises(ConfigError):
            parse_broker(wrong)
