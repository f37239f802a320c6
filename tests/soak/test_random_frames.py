# SPDX-License-Identifier: GPL-3.0-or-later
"""Random frames through each codec of the agent: what comes out is a message, nothing, or the declared error.

10 000 frames per codec, or as many as FRAMES says (`make soak`: a million). Half are noise; half are whole frames
with a right length and checksum and anything inside, some then damaged, so that every branch behind the checks is met.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.agent.device.dlt645.codec import Frame, FrameReader, decode_answer, layout_of
from collector.agent.device.dlt698.codec import (
    Dlt698Frame,
    Dlt698Reader,
    MeterPlace,
    decode_clock,
    decode_get,
    element_of,
    number_of,
)
from collector.agent.device.frames import Unfinished
from collector.agent.device.iec101.ft12 import LinkFrame, LinkReader
from collector.agent.device.iec104.apdu import decode_apdu
from collector.agent.device.iec60870.asdu import AsduLayout, decode_asdu, decode_time
from collector.agent.device.modbus.block import BlockDecoder
from collector.agent.device.modbus.exchange import reply_data
from collector.agent.device.modbus.framing import NumberedFramer, RtuFramer, WantedReply
from collector.agent.device.modbus.plan import Block, RequestLimits, plan_reads
from collector.base.errors import DeviceError, Garbled
from collector.points import load_points
from simulators.faces.dlt698 import encode_frame

FRAMES = int(os.environ.get("FRAMES", "10000"))
TYPES = (1, 3, 5, 7, 9, 11, 13, 15, 20, 21, 30, 31, 32, 34, 35, 36, 37, 38, 45, 70, 100, 101, 103)
ASDU_BYTES = {1: 1, 3: 1, 9: 3, 11: 3, 13: 5, 15: 5, 21: 2, 30: 8, 31: 8, 34: 10, 35: 10, 36: 12, 37: 12}
IDENTIFIERS = (0x00010000, 0x02010100, 0x02030000, 0x02060000, 0x02800002, 0x04000101, 0x04000102, 0xFFFFFFFF)
TABLE = """name,quantity,area,type,address,registers,bit,order,scale,no_value,raw_unit
a,active_power_mw,holding,int32,0,,,CDAB,0.1,,kW
b,reactive_power_mvar,holding,float32,2,,,DCBA,1,,kvar
c,energy_export_mwh,holding,uint64,4,,,ABCD,0.001,,kWh
d,frequency_hz,holding,float64,8,,,BADC,1,,Hz
e,bus_voltage_kv,holding,bcd32,12,,,ABCD,0.01,,kV
f,on_grid,holding,bit,14,,3,,,,
"""


def damaged(dice: random.Random, frame: bytes) -> bytes:
    """A bit flipped, an end cut off, something glued on, or nothing done."""
    kind = dice.randrange(6)
    if kind == 0 and frame:
        at = dice.randrange(len(frame))
        return frame[:at] + bytes([frame[at] ^ 1 << dice.randrange(8)]) + frame[at + 1 :]
    if kind == 1:
        return frame[: dice.randrange(len(frame) + 1)]
    if kind == 2:
        return frame + dice.randbytes(dice.randrange(1, 12))
    return frame


def random_apdu(dice: random.Random) -> bytes:
    """Type, structure and cause from what exists, objects at random, lengths that fit."""
    kind = dice.choice(TYPES)
    count, in_sequence = dice.randrange(1, 12), dice.random() < 0.3
    size = ASDU_BYTES.get(kind, dice.randrange(1, 15))
    body = dice.randbytes(3 + count * size if in_sequence else count * (3 + size))
    head = bytes([kind, count | (0x80 if in_sequence else 0), dice.randrange(256), dice.randrange(256)])
    data = dice.randbytes(4).replace(b"\1", b"\0") + head + dice.randbytes(2) + body
    return bytes([0x68, len(data) & 0xFF]) + data


def random_645(dice: random.Random, identifier: int) -> bytes:
    """A frame whose length and checksum are right, with any control and data; mostly an answer to what was asked."""
    content = dice.randbytes(dice.choice((0, 1, 2, 3, 4, 8, dice.randrange(200))))
    control = 0x91
    if dice.random() < 0.7:
        content = bytes((b + 0x33) & 0xFF for b in identifier.to_bytes(4, "little")) + content
    else:
        control = dice.choice((0x91, 0xB1, 0xD1, 0x92, 0xB2, 0xD2, 0x81, 0xC1, dice.randrange(256)))
    head = b"\x68" + dice.randbytes(6) + b"\x68" + bytes([control, len(content) & 0xFF]) + content[:255]
    return b"\xfe" * dice.randrange(5) + head + bytes([sum(head) & 0xFF]) + b"\x16"


def random_pdu(dice: random.Random) -> bytes:
    """A Modbus answer: mostly to what was asked, of any length, or an error, or anything."""
    kind = dice.randrange(4)
    if kind == 0:
        return bytes([dice.choice((0x83, 0x81, 0x84, 0x82, 0x90)), dice.randrange(256)])
    if kind == 1:
        return dice.randbytes(dice.randrange(1, 40))
    data = dice.randbytes(dice.choice((30, 30, 30, dice.randrange(60))))
    return bytes([dice.choice((3, 3, 3, 4, 1)), len(data) if dice.random() < 0.9 else dice.randrange(256)]) + data


def crc16(data: bytes) -> bytes:
    """Of Modbus over a serial line: polynomial A001h, from FFFFh, low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


def through_104(dice: random.Random, met: Counter[str]) -> None:
    frame = damaged(dice, random_apdu(dice)) if dice.random() < 0.5 else dice.randbytes(dice.randrange(260))
    try:
        message = decode_apdu(frame)
    except Garbled:
        met["garbled"] += 1
        return
    met["nothing" if message is None else "message"] += 1
    for item in message.objects if message else ():
        if item.tag is not None:
            decode_time(item.tag, dice.choice((0, 480, -840)), dice.randrange(1 << 43))


class Through101:
    """One line's reader, fed for ever; one octet of link address, cause and station, two of an object's address."""

    def __init__(self) -> None:
        self._reader, self._layout = LinkReader(1), AsduLayout(1, 1, 2)

    def __call__(self, dice: random.Random, met: Counter[str]) -> None:
        """One more frame."""
        kind, count, in_sequence = dice.choice(TYPES), dice.randrange(1, 9), dice.random() < 0.3
        size = ASDU_BYTES.get(kind, dice.randrange(1, 15))
        objects = dice.randbytes(2 + count * size if in_sequence else count * (2 + size))
        asdu = bytes([kind, count | (0x80 if in_sequence else 0)]) + dice.randbytes(2) + objects
        content = dice.randbytes(2) + asdu
        whole = bytes([0x68, len(content), len(content), 0x68]) + content + bytes([sum(content) & 0xFF, 0x16])
        self._reader.feed(damaged(dice, whole) if dice.random() < 0.5 else dice.randbytes(dice.randrange(80)))
        while (said := self._reader.next()) is not Unfinished.NEED_MORE:
            if not isinstance(said, LinkFrame):
                met["garbled"] += 1
                continue
            try:
                message = decode_asdu(said.data, self._layout) if said.data else None
            except DeviceError:
                met["garbled"] += 1
                continue
            met["nothing" if message is None else "message"] += 1
            for item in message.objects if message else ():
                if item.tag is not None:
                    decode_time(item.tag, dice.choice((0, 480, -840)), dice.randrange(1 << 43))
        assert self._reader.pending <= 261


class Through645:
    """One line's reader, fed for ever."""

    def __init__(self) -> None:
        self._reader = FrameReader()

    def __call__(self, dice: random.Random, met: Counter[str]) -> None:
        """One more frame."""
        identifier = dice.choice(IDENTIFIERS)
        frame = (
            damaged(dice, random_645(dice, identifier)) if dice.random() < 0.5 else dice.randbytes(dice.randrange(80))
        )
        self._reader.feed(frame)
        while (said := self._reader.next()) is not Unfinished.NEED_MORE:
            if not isinstance(said, Frame):
                met["garbled"] += 1
                continue
            try:
                part = decode_answer(said, identifier)
                layout = layout_of(identifier)
                if part is not None and layout is not None:
                    layout.decode(part.data)
                met["message" if part is not None else "nothing"] += 1
            except DeviceError:
                met["garbled"] += 1
        assert self._reader.pending < 267


class ThroughModbus:
    """The framers, then the checks and the decoder."""

    def __init__(self, block: Block, *, rtu: bool) -> None:
        self._block, self._decoder, self._rtu = block, BlockDecoder(block, {}), rtu
        self._wanted = WantedReply(1, 3, 2 * block.count)

    def __call__(self, dice: random.Random, met: Counter[str]) -> None:
        """One more frame, to a connection that has heard nothing yet."""
        pdu = random_pdu(dice)
        if self._rtu:
            whole = b"\1" + pdu
            frame = whole + crc16(whole)
        else:
            frame = b"\0\7\0\0" + (len(pdu) + 1).to_bytes(2, "big") + b"\1" + pdu
        frame = damaged(dice, frame) if dice.random() < 0.7 else dice.randbytes(dice.randrange(60))
        framer = RtuFramer() if self._rtu else NumberedFramer(transaction=6)
        framer.start(b"\3\0\0" + self._block.count.to_bytes(2, "big"), self._wanted)
        try:
            _, answer = framer.take(frame)
            if answer is None:
                met["nothing"] += 1
                # There is nothing to complain of where no more than the head of our own request came back.
                assert framer.complaint() or framer.sent.startswith(framer.heard)
                return
            readings = self._decoder.decode(reply_data(answer, self._block, self._wanted, "fuzz"), 7)
        except DeviceError:
            met["garbled"] += 1
            return
        met["message"] += 1
        assert len(readings) == len(self._block.points)


def modbus_block(folder: Path) -> Block:
    """A block of every register type."""
    path = folder / "points.csv"
    path.write_text(TABLE, "utf-8")
    (block,) = plan_reads(load_points(path, "modbus_tcp", "d"), RequestLimits(max_gap=10))
    assert block.count == 15
    return block


class Through698:
    """One line's reader, fed for ever with answers to a request for two attributes."""

    def __init__(self) -> None:
        self._reader = Dlt698Reader()
        self._place = MeterPlace("000000000001")

    def _answer(self, dice: random.Random) -> bytes:
        data = dice.choice(
            (bytes([1, 2, 5, 0, 0, 1, 2, 18, 3, 4]), bytes([28, 7, 234, 2, 3, 4, 5, 6]), dice.randbytes(9))
        )
        results = b"\x20\x04\x02\x00" + dice.choice((b"\0\4", b"\1" + data)) + b"\x00\x10\x02\x00\1" + data
        apdu = damaged(dice, b"\x85\x02\x07\x02" + results + b"\0\0")
        return encode_frame(0xC3, 5, b"\1" + bytes(5), 0, apdu)

    def __call__(self, dice: random.Random, met: Counter[str]) -> None:
        """One more frame."""
        kind = dice.randrange(3)
        frame = self._answer(dice)
        self._reader.feed(
            frame if not kind else damaged(dice, frame) if kind == 1 else dice.randbytes(dice.randrange(60))
        )
        while (said := self._reader.next()) is not Unfinished.NEED_MORE:
            if not isinstance(said, Dlt698Frame):
                met["garbled"] += 1
                continue
            try:
                results = decode_get(said, self._place, 7, [0x2004_0200, 0x0010_0200])
            except DeviceError:
                met["garbled"] += 1
                continue
            met["message" if results else "nothing"] += 1
            for data in (results or {}).values():
                if isinstance(data, bytes):
                    number_of(data, 2)
                    element_of(data, 2)
                    decode_clock(data)


@pytest.mark.parametrize("codec", ["iec101", "iec104", "dlt645", "dlt698", "modbus_tcp", "modbus_rtu"])
def test_whatever_frames_come_nothing_escapes_but_the_declared_error(tmp_path: Path, codec: str) -> None:
    codecs: dict[str, Callable[[random.Random, Counter[str]], None]] = {
        "iec101": Through101(),
        "iec104": through_104,
        "dlt645": Through645(),
        "dlt698": Through698(),
        "modbus_tcp": ThroughModbus(modbus_block(tmp_path), rtu=False),
        "modbus_rtu": ThroughModbus(modbus_block(tmp_path), rtu=True),
    }
    through, met = codecs[codec], Counter[str]()
    dice = random.Random(f"{os.environ.get('SEED', '1')}/{codec}")
    for _ in range(FRAMES):
        through(dice, met)
    print(f"{codec}: {FRAMES} frames: {dict(met)}")
    # Each outcome is met often enough to say that it was tried.
    assert met["garbled"] > FRAMES // 50
    assert met["message"] > FRAMES // 50
