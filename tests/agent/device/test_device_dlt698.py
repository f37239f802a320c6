# SPDX-License-Identifier: GPL-3.0-or-later
"""A 698.45 meter that an attribute, or a request for several, brings to silence or to an answer that can't be read."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from collector.agent.device.dlt698.driver import Dlt698Device
from collector.agent.device.dlt698.line import GetLine
from collector.agent.device.serial import SerialLine
from collector.agent.device.turns import LONGEST_REST_S
from collector.base.clock import SystemClock
from collector.base.errors import DeviceError
from collector.model.record import Quality
from collector.points.agent_config import DeviceConfig
from tests.agent.device.agent_points import point
from tests.agent.device.disorder import TIMEOUT_S, Wire, run_in_made_time
from tests.contract.device_peers import METER, x25

ATTRIBUTES = (0x2004_0200, 0x2005_0200, 0x2000_0200, 0x200F_0200)
BAD = ATTRIBUTES[1]
READS = 200


class Meter:
    """Answers 4660 everywhere; `wrong`: what happens to a request that holds `BAD`, or to one for several."""

    def __init__(self, wrong: str) -> None:
        self.wrong = wrong
        self.asked: list[list[int]] = []

    def answer(self, request: bytes, number: int) -> bytes:
        del number
        apdu = request.lstrip(b"\xfe")[14:-3]
        several = apdu[1] == 2
        start = 4 if several else 3
        oads = [int.from_bytes(apdu[i : i + 4], "big") for i in range(start, len(apdu) - 1, 4)]
        self.asked.append(oads)
        control, body = 0xC3, b"\x85" + apdu[1:start]
        for oad in oads:
            body += oad.to_bytes(4, "big")
            if self.wrong == "unknown type" and oad == BAD:
                body += b"\1\x63\0"
            else:
                body += b"\1" + (b"\x12\x12\x34" if oad == ATTRIBUTES[3] else b"\1\3" + 3 * b"\5\0\0\x12\x34")
        body += b"\0\0"
        if self.wrong == "mute" and BAD in oads:
            return b""
        if several and self.wrong == "knows no lists":
            return b""
        if several and self.wrong == "refuses lists":
            body = b"\xee" + apdu[2:3] + b"\2\0\0"
        if several and self.wrong == "divides lists":
            control = 0xE3
        head = (len(body) + 15).to_bytes(2, "little") + bytes([control, 5]) + METER + b"\x10"
        frame = head + x25(head) + body
        return b"\x68" + frame + x25(frame) + b"\x16"


@pytest.mark.parametrize("wrong", ["mute", "unknown type", "knows no lists", "refuses lists", "divides lists"])
def test_what_spoils_a_request_costs_the_other_attributes_a_read_now_and_then(wrong: str) -> None:
    async def scenario() -> None:
        meter = Meter(wrong)
        settings = DeviceConfig.model_validate(
            {"id": "m", "protocol": "dlt698", "points": "m.csv", "unit": "U", "serial": "/dev/null",
             "address": METER[::-1].hex(), "timeout_s": TIMEOUT_S}
        )  # fmt: skip
        elements = {a: a if a == ATTRIBUTES[3] else a + 1 for a in ATTRIBUTES}
        points = tuple(
            point("frequency_hz" if a == ATTRIBUTES[3] else "active_power_mw", name=f"{a:X}", address=address, type="",
                  raw_unit="" if a == ATTRIBUTES[3] else "W")
            for a, address in elements.items()
        )  # fmt: skip
        line = GetLine("line", serial=cast(SerialLine, Wire(meter.answer, lambda _: [0.01])))
        device = Dlt698Device(settings, line, points, SystemClock())
        only_bad = wrong in ("mute", "unknown type")

        async def good() -> set[str]:
            try:
                answer = await device.read(points, budget_s=5.0)
            except DeviceError:
                return set()
            return {r.point.name for r in answer.readings if r.quality is Quality.GOOD}

        names = {p.name for p in points}
        wanted = names - {f"{BAD:X}"} if only_bad else names
        whole = 0
        for _ in range(READS):
            whole += await good() >= wanted
            await asyncio.sleep(1)
        # The first, and those that try whether several can be asked again: after 5 s, 10 s, 20 s, 40 s, …
        assert whole >= READS - 7
        if wrong == "mute":
            assert sum(BAD in oads for oads in meter.asked) < 12, "it is asked rarely"
        meter.wrong = ""
        for _ in range(round(2 * LONGEST_REST_S)):
            await good()
            await asyncio.sleep(1)
        assert await good() == names

    run_in_made_time(scenario)
