# SPDX-License-Identifier: GPL-3.0-or-later
"""A 104 link against a peer that counts its own octets: windows, timers, sequence, interrogations, redundant servers.

Octets by IEC 60870-5-104, 5: S frame 01 00 N(R); U frames STARTDT 07/0B, STOPDT 13/23, TESTFR 43/83. Every frame the
driver sends in this file goes into one log, and the log holds nothing that could change a station.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.agent.device.contract import Device, Reading
from collector.base.clock import SystemClock
from collector.base.errors import DeviceError
from collector.model.record import Quality
from tests.contract.device_peers import serve
from tests.contract.every_driver import build, read, run
from tests.contract.raw_station import (
    BOTH_GOOD,
    GOOD_TAG,
    SENT,
    TABLE,
    TESTFR,
    RawStation,
    named,
    read_until,
    with_station,
)
from tests.patience import until

WITH_COUNTER = TABLE + "e,energy_export_mwh,37,int32,9,kWh\n"


@pytest.fixture(autouse=True)
def nothing_was_sent_that_changes_a_station() -> Iterator[None]:
    SENT.clear()
    yield
    types = {apdu[6] for apdu in SENT if not apdu[2] & 1}
    assert types <= {100, 101}, "an I frame other than an interrogation: clock synchronisation would be 103"
    assert {apdu[2] for apdu in SENT if apdu[2] & 3 == 3} <= {0x07, 0x43, 0x83}
    for apdu in SENT:
        if not apdu[2] & 1 and apdu[6] == 101:
            assert apdu[15] == 0x05, "all counters, read without freeze or reset"


async def collected(device: Device) -> list[Reading]:
    while not (found := device.collect()):  # noqa: ASYNC110 - as the tick loop does
        await asyncio.sleep(0.01)
    return found


def test_the_wth_frame_is_acknowledged_and_no_earlier_one(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        await read(device)  # confirmation, two values, end: four frames
        await until(lambda: station.acknowledged == [4])
        for state in (0, 1, 0, 1, 0, 1, 0, 1):
            station.change(state)
        await until(lambda: len(station.acknowledged) == 3)
        assert station.acknowledged == [4, 8, 12]

    with_station(tmp_path, scenario, w=4, t1_s=15, t2_s=10)


def test_fewer_frames_are_acknowledged_after_t2(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        await read(device)
        await until(lambda: station.acknowledged)
        assert station.acknowledged == [4]

    with_station(tmp_path, scenario, w=8, t1_s=15, t2_s=1)


def test_an_idle_link_is_tested_after_t3_and_given_up_t1_later_without_an_answer(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        await read(device)
        await until(lambda: station.of_kind(0xFF, TESTFR))
        assert device.collect() == [], "the link lives"
        station.confirms_tests = False
        await station.ended.wait()
        assert {(r.point.name, r.quality) for r in await collected(device)} == {
            ("breaker", Quality.INVALID), ("agc", Quality.INVALID),
        }  # fmt: skip
        station.confirms_tests = True
        await read_until(device, BOTH_GOOD)

    with_station(tmp_path, scenario, t1_s=4, t2_s=1, t3_s=1)


@pytest.mark.parametrize("fault", ["N(S) skips one", "N(S) repeats one", "N(R) of what was never sent"])
def test_a_wrong_sequence_number_ends_the_link_and_all_is_asked_again(fault: str, tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        await read(device)
        value = bytes([1, 1, 3, 0, 1, 0, 1, 0, 0, 0])
        if fault.startswith("N(S)"):
            station.send(value, sequence=station.sent + (1 if "skips" in fault else -1))
        else:
            # Its own number is right, so its value may count until the link ends.
            station.send(value, acknowledged=station.received + 5)
        await station.ended.wait()
        if fault.startswith("N(S)"):
            assert {r.quality for r in await collected(device)} == {Quality.INVALID}, "its value does not count"
        await read_until(device, BOTH_GOOD)
        assert station.started == 2

    with_station(tmp_path, scenario)


def test_with_k_frames_unacknowledged_nothing_more_is_sent_and_after_t1_the_link_ends(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        station.acknowledges = False
        await read(device)
        await station.ended.wait()
        assert len(station.of_kind(1, 0)) == 1, "the counter interrogation had to wait for an acknowledgement"

    with_station(tmp_path, scenario, table=WITH_COUNTER, k=1, t1_s=3, t2_s=1)


def test_counters_are_read_as_they_are_after_the_general_interrogation(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        found = named(await read(device))
        assert found == BOTH_GOOD | {"e": (1_234_567_000, Quality.GOOD)}
        assert [apdu[6] for apdu in station.of_kind(1, 0)] == [100, 101]

    with_station(tmp_path, scenario, table=WITH_COUNTER)


def test_an_interrogation_that_never_ends_leaves_what_did_not_come_invalid(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        station.ends, station.answers = False, [(1, 1)]
        answer = await read_until(device, {"breaker": (1, Quality.GOOD), "agc": (None, Quality.INVALID)})
        assert [p.name for p in answer.holding] == ["breaker"]

    with_station(tmp_path, scenario, t1_s=1, timeout_s=1.0)


def test_log_lines_name_the_link_the_device_the_unit_and_the_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        station.answers, station.ends = [], False
        while not caplog.records:
            with contextlib.suppress(DeviceError):  # a link may take longer to start
                await read(device)
        station.abort()
        while len(caplog.records) < 2:
            device.collect()
            await asyncio.sleep(0.01)

    with caplog.at_level(logging.INFO, "collector.agent.device"):
        with_station(tmp_path, scenario, timeout_s=2.0, t1_s=4, t2_s=1)
    endless, lost = (record.getMessage() for record in caplog.records[:2])
    where = r"channel=127\.0\.0\.1:\d+ device=d unit=U "
    assert re.fullmatch(where + 'request="interrogation of 1" it has no end; asked again later', endless)
    assert re.fullmatch(where + "the link was lost; all values are invalid until it is back", lost)


def test_a_station_that_was_initialised_again_is_asked_again_and_its_new_values_count(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        assert named(await read(device)) == BOTH_GOOD
        station.answers = [(1, 0)]
        station.send(bytes([70, 1, 4, 0, 1, 0, 0, 0, 0, 0]))
        await read_until(device, {"breaker": (0, Quality.GOOD), "agc": (None, Quality.INVALID)})
        assert station.started == 1

    with_station(tmp_path, scenario)


def test_the_link_goes_to_the_other_server_when_it_is_lost_and_back_again_one_at_a_time(tmp_path: Path) -> None:
    async def body() -> None:
        first, second = RawStation(), RawStation()
        second.answers = [(1, 0), (2, 0)]
        async with serve(first.talk) as port, serve(second.talk) as other:
            device = build("iec104", tmp_path, port, table=TABLE, redundant=[f"127.0.0.1:{other}"])
            try:
                assert named(await read(device)) == BOTH_GOOD
                assert (first.connections, second.connections) == (1, 0)
                first.abort()
                await read_until(device, dict.fromkeys(BOTH_GOOD, (0, Quality.GOOD)))
                assert (first.connections, second.connections) == (0, 1)
                second.abort()
                await read_until(device, BOTH_GOOD)
                assert (first.connections, second.connections) == (1, 0)
            finally:
                await device.close()

    run(body)


def test_a_server_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    async def body() -> None:
        async with serve(RawStation().talk) as gone:
            pass
        station = RawStation()
        async with serve(station.talk) as port:
            device = build("iec104", tmp_path, gone, table=TABLE, redundant=[f"127.0.0.1:{port}"], timeout_s=2.0)
            try:
                await read_until(device, BOTH_GOOD)
            finally:
                await device.close()

    run(body)


def test_the_stations_clock_is_compared_with_ours_and_the_offset_told(tmp_path: Path) -> None:
    class OneHourEarlier(SystemClock):
        def now_utc_ms(self) -> int:
            return 1_795_401_000_999 - 3_600_000

    async def scenario() -> None:
        station = RawStation()
        async with serve(station.talk) as port:
            device = build("iec104", tmp_path, port, table=TABLE, clock=OneHourEarlier())
            try:
                assert (await read(device)).clock_offset_ms is None
                station.change(0)
                answer = await read_until(device, {"breaker": (0, Quality.GOOD)})
                assert answer.clock_offset_ms == 3_600_000
                assert [r.device_time_utc_ms for r in answer.readings] == [1_795_401_000_999]
            finally:
                await device.close()

    run(scenario)


def test_messages_nobody_asked_for_are_passed_over_and_what_follows_them_counts(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        await read(device)
        for asdu in (
            "1e 01 03 00 02 00 01 00 00 00 e7031e0a170b1a",  # another common address
            "1e 01 03 00 01 00 63 00 00 00 e7031e0a170b1a",  # another object
            "1e 01 83 00 01 00 01 00 00 00 e7031e0a170b1a",  # a test
            "05 01 03 00 01 00 01 00 00 00 00",  # a step position
            "2d 01 07 00 01 00 01 00 00 00",  # confirms a command
            "32 01 03 00 01 00 01 00 00 00 00 00 00 00",  # a set point
            "64 01 07 00 01 00 00 00 00 14",  # confirms an interrogation once more
            "7f 01 03 00 01 00 01 00 00 00",  # a file's directory
            "1e 02 03 00 01 00 01 00 00 00 e7031e0a170b1a",  # an object is missing
        ):
            station.send(bytes.fromhex(asdu))
        # A change with a cause of no meaning is a value all the same.
        station.send(bytes([1, 1, 14, 0, 1, 0, 2, 0, 0, 0]))
        # Two changes of one breaker in one message.
        station.send(bytes([30, 2, 3, 0, 1, 0, 1, 0, 0, 0]) + GOOD_TAG + b"\1\0\0\1" + GOOD_TAG)
        came: list[Reading] = []
        while len(came) < 3:
            came += await collected(device)
        assert [(r.point.name, r.value, r.event) for r in came] == [
            ("agc", 0, False), ("breaker", 0, True), ("breaker", 1, True),
        ]  # fmt: skip
        assert vars(device)["counts"] == {"garbled": 1, "unknown_object": 2, "queue_overflow": 0}
        assert station.started == 1

    with_station(tmp_path, scenario)


class Refusing(RawStation):
    """Refuses, but the first `deaf` times it is asked: then it says nothing, as where c104 misses what it says."""

    deaf = 0

    def interrogated(self, asdu: bytes) -> None:
        if self.deaf:
            self.deaf -= 1
        else:
            self.send(asdu[:2] + b"\x47" + asdu[3:])


@pytest.mark.parametrize("missed", [0, 1])
def test_a_refused_interrogation_is_a_quality_of_all_points(missed: int, tmp_path: Path) -> None:
    async def body() -> None:
        station = Refusing()
        station.deaf = missed
        async with serve(station.talk) as port:
            device = build("iec104", tmp_path, port, table=TABLE, t1_s=4, timeout_s=2.0)
            try:
                await read_until(device, dict.fromkeys(BOTH_GOOD, (None, Quality.REFUSED)))
            finally:
                await device.close()
        assert len(station.of_kind(1, 0)) > missed

    run(body)


def test_a_slow_station_that_refuses_to_begin_anew_but_answers_is_not_taken_to_refuse(tmp_path: Path) -> None:
    class Slow(RawStation):
        def interrogated(self, asdu: bytes) -> None:
            if len(self.of_kind(1, 0)) == 2:
                self.send(asdu[:2] + b"\x07" + asdu[3:])
                self.send(bytes([1, 1, 20, 0, 1, 0, 1, 0, 0, 1]))
                self.send(asdu[:2] + b"\x47" + asdu[3:])
                self.send(bytes([1, 1, 20, 0, 1, 0, 2, 0, 0, 1]))
                self.send(asdu[:2] + b"\x0a" + asdu[3:])

    async def body() -> None:
        async with serve(Slow().talk) as port:
            device = build("iec104", tmp_path, port, table=TABLE, t1_s=4, timeout_s=2.0)
            try:
                seen: list[Reading] = []
                while len((answer := await read(device)).holding) < 2:
                    seen += answer.readings
                assert {r.quality for r in [*seen, *answer.readings]} == {Quality.GOOD}
            finally:
                await device.close()

    run(body)


def test_the_end_of_an_interrogation_that_is_not_told_is_not_waited_for_once_every_point_has_come(
    tmp_path: Path,
) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        station.ends = False
        await read_until(device, BOTH_GOOD | {"e": (1_234_567_000, Quality.GOOD)})
        answer = await read(device)
        while len(answer.holding) < 3:
            answer = await read(device)
        assert [apdu[6] for apdu in station.of_kind(1, 0)] == [100, 101]

    with_station(tmp_path, scenario, table=WITH_COUNTER, t1_s=255)
