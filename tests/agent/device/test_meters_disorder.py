# SPDX-License-Identifier: GPL-3.0-or-later
"""Two meters on one line whose answers come late, twice, run together and in the worst order while all values move.

What a meter answers to a request is ten times the request's number and the place asked for, which so tells itself.
Echoes, noise and a third meter that answers somebody else come in between.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.agent.device.contract import Device
from collector.agent.device.dlt645.driver import Dlt645Device
from collector.agent.device.dlt645.line import MeterLine
from collector.agent.device.dlt698.driver import Dlt698Device
from collector.agent.device.dlt698.line import GetLine
from collector.agent.device.serial import SerialLine
from collector.agent.device.turns import LONGEST_REST_S
from collector.base.clock import SystemClock
from collector.base.errors import DeviceError
from collector.points.agent_config import DeviceConfig
from tests.agent.device.agent_points import point
from tests.agent.device.disorder import LATE_S, LATENESS, TIMEOUT_S, Disorder, Wire, run_in_made_time
from tests.contract.device_peers import METER_REQUEST_BYTES, object_request_bytes, offset_33, x25
from tests.patience import HANG_S

ADDRESSES = ("000012345678", "000012345679")
STRANGER = "000099999999"
SEEDS = int(os.environ.get("DISORDER_SEEDS", "2"))
# Powers of 645, in three bytes each; the meters have none of the last.
IDENTIFIERS, LACKED = (0x0203_0000, 0x0203_0100, 0x0203_0200), 0x0206_0000
# Attributes of 698.45: total and active power, voltages; each with its elements.
ATTRIBUTES = (0x2004_0200, 0x2005_0200, 0x2000_0200)

Answer = Callable[[bytes, int], bytes]


def number_at(address: str, place: int, request: int) -> int:
    return 10 * request + 3 * ADDRESSES.index(address) + place


def frame_645(address: str, control: int, data: bytes) -> bytes:
    body = b"\x68" + bytes.fromhex(address)[::-1] + b"\x68" + bytes([control, len(data)]) + offset_33(data)
    return body + bytes([sum(body) & 0xFF, 0x16])


def answer_645(request: bytes, number: int) -> bytes:
    asked = request.lstrip(b"\xfe")
    address, identifier = asked[1:7][::-1].hex(), offset_33(asked[10:14], -0x33)
    known = int.from_bytes(identifier, "little")
    if known not in IDENTIFIERS:
        return frame_645(address, 0xD1, b"\2")
    digits = f"{number_at(address, IDENTIFIERS.index(known), number):06}"
    return frame_645(address, 0x91, identifier + bytes.fromhex(digits)[::-1])


def strange_645() -> bytes:
    return frame_645(STRANGER, 0x91, IDENTIFIERS[0].to_bytes(4, "little") + b"\x99\x99\x09")


def frame_698(address: str, apdu: bytes) -> bytes:
    head = (len(apdu) + 15).to_bytes(2, "little") + b"\xc3\x05" + bytes.fromhex(address)[::-1] + b"\x10"
    body = head + x25(head) + apdu
    return b"\x68" + body + x25(body) + b"\x16"


def answer_698(request: bytes, number: int) -> bytes:
    asked = request.lstrip(b"\xfe")
    address, apdu = asked[5:11][::-1].hex(), asked[14:-3]
    several = apdu[1] == 2
    results = b""
    for at in range(4 if several else 3, len(apdu) - 1, 4):
        oad = apdu[at : at + 4]
        if (known := int.from_bytes(oad, "big")) not in ATTRIBUTES:
            results += oad + b"\0\4"
            continue
        value = number_at(address, ATTRIBUTES.index(known), number).to_bytes(4, "big")
        results += oad + b"\1\1\3" + 3 * (b"\5" + value)
    return frame_698(address, b"\x85" + apdu[1 : 4 if several else 3] + results + b"\0\0")


def strange_698() -> bytes:
    oad = ATTRIBUTES[0].to_bytes(4, "big")
    return frame_698(STRANGER, b"\x85\1\1" + oad + b"\1\1\3" + 3 * b"\5\0\0\x27\x0f" + b"\0\0")


def meters_on(protocol: str, line: Any) -> list[Device]:
    """Two meters with three places each; a 645 meter also lacks something it is asked for."""
    devices: list[Device] = []
    for address in ADDRESSES:
        config = DeviceConfig.model_validate(
            {"id": address, "protocol": protocol, "points": "m.csv", "unit": "U", "serial": "/dev/null",
             "address": address, "timeout_s": TIMEOUT_S, "one_point_per_request": address == ADDRESSES[0]}
        )  # fmt: skip
        if protocol == "dlt645":
            points = tuple(point("active_power_mw", name=str(i), address=a, raw_unit="kW", type="")
                           for i, a in enumerate(IDENTIFIERS))  # fmt: skip
            lacked = point("frequency_hz", name="lacked", address=LACKED, type="")
            devices.append(Dlt645Device(config, line, (points[0], lacked, *points[1:]), SystemClock()))
        else:
            points = tuple(point("active_power_mw", name=str(i), address=a + 1, raw_unit="W", type="")
                           for i, a in enumerate(ATTRIBUTES))  # fmt: skip
            devices.append(Dlt698Device(config, line, points, SystemClock()))
    return devices


def number_in(protocol: str, raw: bytes) -> int:
    return int(raw[::-1].hex()) if protocol == "dlt645" else int.from_bytes(raw[1:], "big")


async def read_until_all_came_back(
    protocol: str, devices: Sequence[Device], is_orderly: Callable[[], bool], pause_s: Callable[[], float]
) -> float:
    """Read until each place was good three times in a row in order; gives how long that took, seconds.

    Raises:
        AssertionError: a value was another place's.
    """
    loop = asyncio.get_running_loop()
    good: dict[tuple[str, str], int] = {}
    orderly_since_s: float | None = None
    while True:
        if orderly_since_s is None and is_orderly():
            orderly_since_s = loop.time()
            good.clear()
        for device in devices:
            try:
                answer = await device.read(device.points, budget_s=5.0)
            except DeviceError:
                good.clear()
                continue
            for reading in answer.readings:
                place = (device.name, reading.point.name)
                if not reading.quality.usable:
                    good.pop(place, None)
                    continue
                wanted = number_at(device.name, int(reading.point.name), 0)
                assert number_in(protocol, reading.raw) % 10 == wanted, place
                good[place] = good.get(place, 0) + 1
        if orderly_since_s is not None and len(good) == 6 and min(good.values()) >= 3:
            return loop.time() - orderly_since_s
        await asyncio.sleep(pause_s())


ANSWERS: dict[str, tuple[Answer, Callable[[], bytes]]] = {
    "dlt645": (answer_645, strange_645), "dlt698": (answer_698, strange_698),
}  # fmt: skip


def line_of(protocol: str, **place: Any) -> Any:
    return MeterLine("line", quiet_s=0.05, **place) if protocol == "dlt645" else GetLine("line", **place)


@pytest.mark.parametrize("protocol", ANSWERS)
@settings(max_examples=60, deadline=None)
@given(waits=st.lists(LATENESS, max_size=60), seed=st.integers(0, 2**32), noisy=st.booleans())
def test_no_order_of_late_answers_makes_a_value_anothers_and_all_come_back(
    protocol: str, waits: list[float | None], seed: int, noisy: bool
) -> None:
    """Each answer is lost, in time or late, by itself; it may come twice, after an echo or another meter's answer."""
    chance = random.Random(seed)
    answer, strange = ANSWERS[protocol]

    def framed(request: bytes, number: int) -> bytes:
        around = [b"", b"\0\x68\xfe", request, strange(), answer(request, number)] if noisy else [b""]
        return chance.choice(around) + answer(request, number)

    def schedule(number: int) -> list[float]:
        wait_s = waits[number] if number < len(waits) else 0.01
        return [] if wait_s is None else [wait_s] * chance.choice([1, 1, 2])

    async def scenario() -> None:
        wire = Wire(framed, schedule)
        devices = meters_on(protocol, line_of(protocol, serial=cast(SerialLine, wire)))
        took_s = await read_until_all_came_back(
            protocol, devices, lambda: wire.asked >= len(waits), lambda: chance.choice([0.0, 0.01, 0.2, 1.0])
        )
        # What got no answer rests no longer than this; reads go on for as long again.
        assert took_s < LATE_S + 2 * LONGEST_REST_S

    run_in_made_time(scenario)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("carrier", ["socket", "pty"])
@pytest.mark.parametrize("protocol", ANSWERS)
def test_over_real_lines_no_disorder_makes_a_value_anothers(protocol: str, carrier: str, seed: int) -> None:
    answer, strange = ANSWERS[protocol]
    chance = random.Random(seed)

    def framed(request: bytes, number: int) -> bytes:
        return chance.choice([b"", b"\0\x68\xfe", request, strange(), b""]) + answer(request, number)

    def request_bytes(pending: bytes) -> int:
        return METER_REQUEST_BYTES if protocol == "dlt645" else object_request_bytes(pending)

    async def scenario() -> None:
        disorder = Disorder(framed, request_bytes, chance)
        if carrier == "pty":
            async with disorder.on_a_pty() as path:
                line = line_of(protocol, serial=SerialLine(path, 115_200, "even"))
                await read_all(disorder, line)
        else:
            async with disorder.on_a_socket() as port:
                await read_all(disorder, line_of(protocol, host="127.0.0.1", port=port))

    async def read_all(disorder: Disorder, line: Any) -> None:
        await read_until_all_came_back(
            protocol, meters_on(protocol, line), lambda: disorder.asked >= disorder.disorderly, lambda: 0.02
        )
        line.drop()

    asyncio.run(asyncio.wait_for(scenario(), HANG_S))
