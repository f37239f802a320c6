# SPDX-License-Identifier: GPL-3.0-or-later
"""What stations really send: slow interrogations, breakers in travel, other types, addresses, tags, the test bit.

Every frame is written by hand after IEC 60870-5-101, 7.2 and 7.3 (types, causes, quality bits).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from collector.agent.device.contract import Answer, Device, Explaining, Reading, Why
from collector.base.clock import SystemClock
from collector.model.record import Quality
from tests.contract.device_peers import serve
from tests.contract.every_driver import build, read, run
from tests.contract.raw_station import GOOD_TAG, RawStation, named, read_until, with_station

HEAD = "name,unit,quantity,area,type,address,bit,scale,raw_unit,norm_base\n"
Found = dict[str, tuple[int | None, Quality]]


def answers(*asdus: bytes) -> RawStation:
    """A station that answers a general interrogation with these messages."""

    class Answering(RawStation):
        def interrogated(self, asdu: bytes) -> None:
            self.send(asdu[:2] + b"\x07" + asdu[3:])
            for message in asdus:
                self.send(message)
            self.send(asdu[:2] + b"\x0a" + asdu[3:])

    return Answering()


def message(kind: int, address: int, content: bytes, *, cause: int = 20, station: int = 1) -> bytes:
    return bytes([kind, 1, cause, 0, station, 0]) + address.to_bytes(3, "little") + content


def told(device: Device) -> dict[str, int]:
    assert isinstance(device, Explaining)
    return {str(sentence): count for sentence, count in device.oddities.items()}


def why(device: Device) -> dict[str, Why | None]:
    assert isinstance(device, Explaining)
    return {p.name: device.why(p) for p in device.points}


async def readings(device: Device, count: int) -> list[Reading]:
    """The next readings, at least so many, as the poller takes them."""
    came: list[Reading] = []
    while len(came) < count:
        came += (await read(device)).readings
        await asyncio.sleep(0.01)
    return came


def test_an_interrogation_that_takes_longer_than_t1_leaves_good_points_good(tmp_path: Path) -> None:
    table = HEAD + "".join(f"p{n},U,{q},1,bit,{n},,,,\n" for n, q in enumerate(
        ("on_grid", "condenser", "spilling", "agc_in_service"), 1))  # fmt: skip

    class Slow(RawStation):
        def interrogated(self, asdu: bytes) -> None:
            self.send(asdu[:2] + b"\x07" + asdu[3:])
            self.task = asyncio.ensure_future(self.bring(asdu))

        async def bring(self, asdu: bytes) -> None:
            for address in range(1, 5):
                await asyncio.sleep(1.2)
                self.send(message(1, address, b"\1"))
            self.send(asdu[:2] + b"\x0a" + asdu[3:])

    async def scenario(station: RawStation, device: Device) -> None:
        came: list[Reading] = []
        answer = await read(device)
        came += answer.readings
        while len(answer.holding) < 4:
            await asyncio.sleep(0.02)
            answer = await read(device)
            came += answer.readings
        assert {r.quality for r in came} == {Quality.GOOD}
        assert len(station.of_kind(1, 0)) == 1, "it was not asked again"

    with_station(tmp_path, scenario, table=table, station=Slow(), t1_s=4, t2_s=1, timeout_s=1.0)


def test_a_station_that_repeats_one_object_for_ever_does_not_keep_its_interrogation_open(tmp_path: Path) -> None:
    table = HEAD + "a,U,on_grid,1,bit,1,,,,\nb,U,condenser,1,bit,2,,,,\n"

    class Repeating(RawStation):
        def interrogated(self, asdu: bytes) -> None:
            self.send(asdu[:2] + b"\x07" + asdu[3:])
            self.task = asyncio.ensure_future(self.repeat())

        async def repeat(self) -> None:
            while True:
                self.send(message(1, 1, b"\1"))
                await asyncio.sleep(0.2)

    async def scenario(station: RawStation, device: Device) -> None:
        assert isinstance(station, Repeating)
        await read_until(device, {"a": (1, Quality.GOOD), "b": (None, Quality.INVALID)})
        assert why(device) == {"a": None, "b": Why.ABSENT}
        station.task.cancel()

    with_station(tmp_path, scenario, table=table, station=Repeating(), t1_s=2, t2_s=1, timeout_s=1.0)


DOUBLE = HEAD + "breaker,U,on_grid,31,bit,1,,,,\nother,U2,on_grid,3,bit,1,,,,\n"


def double(state: int, second: int, *, quality: int = 0) -> bytes:
    """A spontaneous double point with the tag 10:30:SECOND.000 of 23 November 2026."""
    return message(31, 1, bytes([state | quality]) + (second * 1000).to_bytes(2, "little") + GOOD_TAG[2:], cause=3)


class Stepping(SystemClock):
    """A clock that the test moves: nothing of travel may hang on how busy the machine is."""

    at_s = 0.0

    def monotonic_s(self) -> float:
        return self.at_s


def with_breaker(folder: Path, start: int, scenario: Any, **keys: Any) -> None:
    async def body() -> None:
        station, clock = answers(message(3, 1, bytes([start]))), Stepping()
        async with serve(station.talk) as port:
            device = build("iec104", folder, port, table=DOUBLE, clock=clock, **keys)
            try:
                await scenario(station, device, clock)
            finally:
                await device.close()

    run(body)


OPEN: Found = dict.fromkeys(("breaker", "other"), (0, Quality.GOOD))
CLOSED: Found = dict.fromkeys(("breaker", "other"), (1, Quality.GOOD))
BAD: Found = dict.fromkeys(("breaker", "other"), (None, Quality.INVALID))


def test_a_breaker_in_travel_keeps_its_position_and_the_change_has_the_tag_of_the_new_one(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device, _clock: Stepping) -> None:
        await read_until(device, CLOSED)
        station.send(double(0, 5))
        station.send(double(1, 7))
        came = await readings(device, 2)
        assert [(r.point.name, r.value, r.quality, r.event) for r in came] == [
            ("breaker", 0, Quality.GOOD, True), ("other", 0, Quality.GOOD, True),
        ]  # fmt: skip
        assert [r.device_time_utc_ms for r in came] == [1_795_401_007_000] * 2, "10:30:07 +08:00"

    with_breaker(tmp_path, 2, scenario)


def test_a_breaker_that_stays_in_travel_is_invalid_after_transit_s_and_not_before(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device, clock: Stepping) -> None:
        await read_until(device, CLOSED)
        station.send(double(0, 5))
        station.send(message(31, 9, b"\2" + GOOD_TAG, cause=3))  # nobody's: when it counts, the one before did
        while not vars(device)["counts"]["unknown_object"]:
            await read(device)
        clock.at_s = 9.9
        answer = await read(device)
        assert (list(answer.readings), {p.name for p in answer.holding}) == ([], {"breaker", "other"})
        # That the station says it again, spontaneously or when interrogated, begins no new time.
        station.send(double(0, 9))
        station.send(message(31, 9, b"\2" + GOOD_TAG, cause=3))
        while vars(device)["counts"]["unknown_object"] < 2:
            await read(device)
        clock.at_s = 10.0
        await read_until(device, BAD)
        assert set(why(device).values()) == {Why.TRAVELLING}
        station.send(double(2, 30))
        await read_until(device, CLOSED)
        assert set(why(device).values()) == {None}

    with_breaker(tmp_path, 2, scenario)


def test_transit_s_is_the_devices(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device, _clock: Stepping) -> None:
        await read_until(device, CLOSED)
        station.send(double(0, 5))
        await read_until(device, BAD)

    with_breaker(tmp_path, 2, scenario, transit_s=0)


@pytest.mark.parametrize("state", [3, 0x80])
def test_both_positions_at_once_and_travel_marked_invalid_are_invalid_at_once(state: int, tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device, _clock: Stepping) -> None:
        await read_until(device, CLOSED)
        station.send(double(state & 3, 5, quality=state & 0x80))
        await read_until(device, BAD)
        assert set(why(device).values()) == {Why.UNDEFINED if state == 3 else Why.INVALID}

    with_breaker(tmp_path, 2, scenario)


def test_a_breaker_first_seen_in_travel_has_no_position(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device, _clock: Stepping) -> None:
        await read_until(device, BAD)
        station.send(double(1, 5))
        await read_until(device, OPEN)

    with_breaker(tmp_path, 0, scenario)


def test_a_position_in_travel_when_the_link_is_lost_is_not_remembered(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device, clock: Stepping) -> None:
        await read_until(device, CLOSED)
        station.send(double(0, 5))
        station.abort()
        await read_until(device, BAD)
        await read_until(device, CLOSED)
        clock.at_s = 60.0
        assert not (await read(device)).readings

    with_breaker(tmp_path, 2, scenario)


MIXED = HEAD + "status,U,on_grid,1,bit,10,,,,\npower,U,active_power_mw,13,,10,,,MW,\n"


def test_an_object_of_another_type_is_named_and_no_value_of_the_row(tmp_path: Path) -> None:
    async def scenario(_station: RawStation, device: Device) -> None:
        found = await read_until(device, {"status": (1, Quality.GOOD), "power": (None, Quality.GARBLED)})
        assert [p.name for p in found.holding] == ["status"]
        assert told(device) == {"the station sent type 1 for 10; the table says 13": 1}
        assert why(device) == {"status": None, "power": Why.OTHER_TYPE}

    with_station(tmp_path, scenario, table=MIXED, station=answers(message(1, 10, b"\1")))


def test_two_types_at_one_address_do_not_spoil_each_other(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        await read_until(device, {"status": (1, Quality.GOOD), "power": (12_500, Quality.GOOD)})
        station.send(message(1, 10, b"\0", cause=3))
        station.send(message(36, 10, bytes.fromhex("00004841 00") + GOOD_TAG, cause=3))
        came = await readings(device, 2)
        assert [(r.point.name, r.value, r.quality) for r in came] == [
            ("status", 0, Quality.GOOD), ("power", 12_500, Quality.GOOD),
        ]  # fmt: skip
        assert set(why(device).values()) == {None}

    both = answers(message(1, 10, b"\1"), message(13, 10, bytes.fromhex("00004841 00")))
    with_station(tmp_path, scenario, table=MIXED, station=both)


def test_a_type_20_for_a_row_of_type_1_is_named_as_the_station_sends_it(tmp_path: Path) -> None:
    async def scenario(_station: RawStation, device: Device) -> None:
        await read_until(device, {"status": (None, Quality.GARBLED)})
        assert told(device) == {"the station sent type 20 for 16385; the table says 1": 1}

    packed = answers(message(20, 16385, bytes.fromhex("0100 0000 00")))
    with_station(tmp_path, scenario, table=HEAD + "status,U,on_grid,1,bit,16385,,,,\n", station=packed)


def test_packed_points_bit_strings_and_step_positions_are_read(tmp_path: Path) -> None:
    table = HEAD + (
        "first,U,on_grid,20,bit,100,0,,,\nlast,U,condenser,20,bit,100,15,,,\n"
        "low,U,spilling,33,bit,101,1,,,\nhigh,U,agc_in_service,7,bit,101,31,,,\n"
        "step,U,bus_voltage_kv,32,,102,,10,kV,\n"
    )

    async def scenario(station: RawStation, device: Device) -> None:
        await read_until(device, {
            "first": (0, Quality.GOOD), "last": (1, Quality.GOOD), "low": (1, Quality.GOOD),
            "high": (1, Quality.GOOD), "step": (50_000, Quality.GOOD),
        })  # fmt: skip
        station.send(message(20, 100, bytes.fromhex("0100 0180 00"), cause=3))
        came = await readings(device, 2)
        assert [(r.point.name, r.value, r.event) for r in came] == [("first", 1, True), ("last", 0, True)]
        station.send(message(33, 101, bytes.fromhex("00000000 00") + GOOD_TAG, cause=3))
        assert named_of(await readings(device, 2)) == {"low": (0, Quality.GOOD), "high": (0, Quality.GOOD)}
        station.send(message(32, 102, bytes.fromhex("85 00") + GOOD_TAG, cause=3))
        station.send(message(32, 102, bytes.fromhex("06 00") + GOOD_TAG, cause=3))
        assert named_of(await readings(device, 1)) == {"step": (60_000, Quality.GOOD)}

    everything = answers(
        message(20, 100, bytes.fromhex("0080 0000 00")), message(7, 101, bytes.fromhex("02000080 00")),
        message(5, 102, bytes.fromhex("05 00")),
    )  # fmt: skip
    with_station(tmp_path, scenario, table=table, station=everything)


def named_of(came: list[Reading]) -> Found:
    return named(Answer(came, 0))


def test_a_normalised_code_is_what_the_table_says_of_its_factor(tmp_path: Path) -> None:
    # Code 16384: half of 660 MW; 16384 codes of 0.02 MW; 16384 / 32767 of 660 MW.
    table = HEAD + (
        "plain,U,active_power_mw,9,,1,,660,MW,\nper_code,U2,active_power_mw,9,,1,,0.02,MW,1\n"
        "full,U3,active_power_mw,34,,1,,660,MW,32767\nstandard,U4,active_power_mw,21,,1,,660,MW,32768\n"
    )

    async def scenario(_station: RawStation, device: Device) -> None:
        await read_until(device, {
            "plain": (330_000, Quality.GOOD), "per_code": (327_680, Quality.GOOD), "full": (330_010, Quality.GOOD),
            "standard": (330_000, Quality.GOOD),
        })  # fmt: skip

    with_station(tmp_path, scenario, table=table, station=answers(message(9, 1, bytes.fromhex("0040 00"))))


BREAKER = HEAD + "breaker,U,on_grid,1,bit,1,,,,\n"


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (message(1, 1, b"\0", cause=3, station=7), "the station sent values of common address 7; the "
                                                    "configuration has 1"),
        (message(1, 1, b"\0", cause=0x83), "the station sent values with the test bit: they are not used until it "
                                           "takes the bit away"),
        (message(38, 1, bytes(10), cause=3), "the station sent type 38, which is not read here"),
    ],
)  # fmt: skip
def test_what_is_no_value_is_named_and_counted_and_leaves_the_point_alone(
    sent: bytes, sentence: str, tmp_path: Path
) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        await read_until(device, {"breaker": (1, Quality.GOOD)})
        for _ in range(3):
            station.send(sent)
        while told(device) != {sentence: 3}:
            answer = await read(device)
            assert not answer.readings
            assert [p.name for p in answer.holding] == ["breaker"]
            await asyncio.sleep(0.01)

    with_station(tmp_path, scenario, table=BREAKER, station=answers(message(1, 1, b"\1")))


def test_a_change_that_is_not_reported_is_named_and_so_is_the_type_it_comes_with(tmp_path: Path) -> None:
    state = [1]

    class ShortTags(RawStation):
        """Reports changes with the three-octet tags of 101, which c104 drops without a word."""

        def interrogated(self, asdu: bytes) -> None:
            self.answers = [(1, state[0])]
            super().interrogated(asdu)

    async def scenario(station: RawStation, device: Device) -> None:
        await read_until(device, {"breaker": (1, Quality.GOOD)})
        state[0] = 0
        station.send(message(2, 1, bytes.fromhex("00 e80a0a"), cause=3))
        await read_until(device, {"breaker": (0, Quality.GOOD)})
        unreported = "breaker changed and the station did not report it: the change came with the next interrogation"
        assert told(device) == {unreported: 1}
        station.send(message(2, 1, bytes.fromhex("01 e80a0a"), cause=3))
        short = (
            "the station sent type 2 for 1, which 104 does not have (its time tag has no hour); it can't be read: set "
            "the station to the types 1 to 37 of 104"
        )
        while told(device) != {unreported: 1, short: 1}:
            await read(device)
            await asyncio.sleep(0.01)

    with_station(tmp_path, scenario, table=BREAKER, station=ShortTags(), interrogation_period_s=1)


@pytest.mark.parametrize("kind", [2, 14, 17])
def test_a_type_that_is_none_of_104_is_named_where_a_point_is_missing(kind: int, tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        await read_until(device, {"breaker": (None, Quality.INVALID)})
        station.send(message(kind, 1, {2: bytes(4), 14: bytes(8), 17: bytes(6)}[kind], cause=3))
        while not any(f"the station sent type {kind} for 1, which 104" in sentence for sentence in told(device)):
            await read(device)
            await asyncio.sleep(0.01)

    with_station(tmp_path, scenario, table=BREAKER, station=answers())


@pytest.mark.parametrize(
    ("bits", "quality", "reason"),
    [
        (0x80, Quality.INVALID, Why.INVALID), (0x40, Quality.STALE, Why.NOT_TOPICAL),
        (0x10, Quality.STALE, Why.BLOCKED), (0x20, Quality.SUBSTITUTED, Why.SUBSTITUTED),
    ],
)  # fmt: skip
def test_the_quality_bits_of_a_station_are_told_as_its_own(
    bits: int, quality: Quality, reason: Why, tmp_path: Path
) -> None:
    async def scenario(_station: RawStation, device: Device) -> None:
        (came,) = await readings(device, 1)
        assert came.quality is quality
        assert why(device) == {"breaker": reason}

    with_station(tmp_path, scenario, table=BREAKER, station=answers(message(1, 1, bytes([1 | bits]))))


def test_late_events_after_a_start_tell_no_false_clock(tmp_path: Path) -> None:
    class At(SystemClock):
        def now_utc_ms(self) -> int:
            return 1_795_401_000_999 + 3_600_000

    async def scenario() -> None:
        station = answers(message(1, 1, b"\1"))
        async with serve(station.talk) as port:
            device = build("iec104", tmp_path, port, table=BREAKER, clock=At())
            try:
                await read(device)
                for minute in range(16):
                    tag = bytes.fromhex("e703") + bytes([minute]) + GOOD_TAG[3:]
                    station.send(message(30, 1, bytes([minute & 1]) + tag, cause=3))
                came, offset = 0, None
                while came < 16:
                    answer = await read(device)
                    came, offset = came + len(answer.readings), answer.clock_offset_ms
                    await asyncio.sleep(0.01)
                assert offset is None
            finally:
                await device.close()

    run(scenario)
