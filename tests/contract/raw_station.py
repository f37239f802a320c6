# SPDX-License-Identifier: GPL-3.0-or-later
"""A 104 station whose every frame a test writes itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from collector.agent.device.contract import Answer, Device
from collector.base.errors import DeviceError
from collector.model.record import Quality
from tests.contract.device_peers import serve
from tests.contract.every_driver import build, read, run

TABLE = "name,quantity,area,type,address,raw_unit\nbreaker,on_grid,30,bit,1,\nagc,agc_in_service,30,bit,2,\n"


STARTDT, TESTFR = 0x07, 0x43


GOOD_TAG = bytes.fromhex("e7031e0a170b1a")  # 23 November 2026 10:30:00.999, Monday not given


SENT: list[bytes] = []


class RawStation:
    """Common address 1 with a closed breaker at 1 and AGC in service at 2, counter 9; does what its switches say."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.sent = self.received = self.started = 0
        self.confirms_tests = self.acknowledges = self.ends = True
        self.answers = [(1, 1), (2, 1)]
        self._writer: asyncio.StreamWriter | None = None
        self.connections = 0
        self.ended = asyncio.Event()

    def raw(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    def send(self, asdu: bytes, *, sequence: int | None = None, acknowledged: int | None = None) -> None:
        number = self.sent if sequence is None else sequence
        seen = (self.received if self.acknowledges else 0) if acknowledged is None else acknowledged
        control = (number << 1).to_bytes(2, "little") + (seen << 1).to_bytes(2, "little")
        self.raw(bytes([0x68, len(asdu) + 4]) + control + asdu)
        self.sent += 1

    def change(self, state: int) -> None:
        self.send(bytes([30, 1, 3, 0, 1, 0, 1, 0, 0, state]) + GOOD_TAG)

    def abort(self) -> None:
        assert self._writer is not None
        self._writer.transport.abort()

    def of_kind(self, mask: int, value: int) -> list[bytes]:
        return [apdu for apdu in self.heard if apdu[2] & mask == value]

    @property
    def acknowledged(self) -> list[int]:
        """N(R) of the S frames heard."""
        return [int.from_bytes(apdu[4:6], "little") >> 1 for apdu in self.of_kind(3, 1)]

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer, self.sent, self.received = writer, 0, 0
        self.connections += 1
        self.ended.clear()
        try:
            while True:
                head = await reader.readexactly(2)
                body = await reader.readexactly(head[1])
                self.heard.append(head + body)
                SENT.append(head + body)
                if body[0] == STARTDT:
                    self.started += 1
                    self.raw(bytes.fromhex("68040b000000"))
                elif body[0] == TESTFR and self.confirms_tests:
                    self.raw(bytes.fromhex("680483000000"))
                elif not body[0] & 1:
                    self.received += 1
                    self.interrogated(body[4:])
        finally:
            self.connections -= 1
            self.ended.set()

    def interrogated(self, asdu: bytes) -> None:
        self.send(asdu[:2] + b"\x07" + asdu[3:])
        if asdu[0] == 101:
            self.send(bytes([15, 1, 37, 0, 1, 0, 9, 0, 0]) + (1_234_567).to_bytes(4, "little") + b"\x00")
        else:
            for address, state in self.answers:
                self.send(bytes([1, 1, 20, 0, 1, 0, address, 0, 0, state]))
        if self.ends:
            self.send(asdu[:2] + b"\x0a" + asdu[3:])


def with_station(
    folder: Path, scenario: Callable[[RawStation, Device], Awaitable[None]], *, table: str = TABLE,
    station: RawStation | None = None, **keys: Any,
) -> None:  # fmt: skip
    station = station or RawStation()

    async def body() -> None:
        async with serve(station.talk) as port:
            device = build("iec104", folder, port, table=table, **keys)
            try:
                await scenario(station, device)
            finally:
                await device.close()

    run(body)


async def read_until(device: Device, wanted: Mapping[str, tuple[int | None, Quality]]) -> Answer:
    """Poll as the poller would until the newest readings are these."""
    newest: dict[str, tuple[int | None, Quality]] = {}
    while True:
        try:
            answer = await read(device)
        except DeviceError:
            continue
        newest |= {r.point.name: (r.value, r.quality) for r in answer.readings}
        if newest == wanted:
            return answer
        await asyncio.sleep(0.02)


def named(answer: Answer) -> dict[str, tuple[int | None, Quality]]:
    return {r.point.name: (r.value, r.quality) for r in answer.readings}


BOTH_GOOD = {"breaker": (1, Quality.GOOD), "agc": (1, Quality.GOOD)}
