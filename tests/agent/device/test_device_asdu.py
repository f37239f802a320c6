# SPDX-License-Identifier: GPL-3.0-or-later
"""Contents of 101 and 104 messages, against frames put together by hand, and against noise."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.agent.device.iec104.apdu import decode_apdu
from collector.agent.device.iec60870.asdu import AsduLayout, decode_asdu, decode_time
from collector.base.errors import Garbled
from collector.model.interval import parse_time_ms
from collector.model.record import Quality

TAG = "e703 1e 0a 17 0b 1a"  # 0.999 s, minute 30, hour 10, 23 November 2026


def apdu(kind: int, structure: int, cause: int, body: str, *, address: int = 1) -> bytes:
    asdu = bytes([kind, structure, cause, 0]) + address.to_bytes(2, "little") + bytes.fromhex(body)
    return bytes([0x68, len(asdu) + 4, 0, 0, 0, 0]) + asdu


@pytest.mark.parametrize(
    ("kind", "body", "raw", "quality"),
    [
        (1, "0b0000 01", 1, Quality.GOOD),
        (1, "0b0000 81", 1, Quality.INVALID),
        (1, "0b0000 41", 1, Quality.STALE),
        (1, "0b0000 20", 0, Quality.SUBSTITUTED),
        (3, "0b0000 02", 1, Quality.GOOD),
        (3, "0b0000 01", 0, Quality.GOOD),
        (3, "0b0000 00", None, Quality.INVALID),
        (3, "0b0000 03", None, Quality.INVALID),
        (5, "0b0000 05 00", 5, Quality.GOOD),
        (5, "0b0000 7e 80", -2, Quality.INVALID),
        (5, "0b0000 40 00", -64, Quality.GOOD),
        (5, "0b0000 85 00", None, Quality.INVALID),
        (7, "0b0000 010000f0 00", 0xF0000001, Quality.GOOD),
        (7, "0b0000 01000000 40", 1, Quality.STALE),
        (9, "0b0000 0040 00", 16384, Quality.GOOD),
        (9, "0b0000 0080 01", -32768, Quality.OUT_OF_RANGE),
        (20, "0b0000 0580 ffff 00", 0x8005, Quality.GOOD),
        (20, "0b0000 0580 0000 10", 0x8005, Quality.STALE),
        (21, "0b0000 0040", 16384, Quality.GOOD),
        (11, "0b0000 feff 00", -2, Quality.GOOD),
        (13, "0b0000 00004841 00", 12.5, Quality.GOOD),
        (13, "0b0000 0000c07f 00", None, Quality.INVALID),
        (15, "0b0000 39300000 05", 12345, Quality.GOOD),
        (15, "0b0000 39300000 85", 12345, Quality.INVALID),
        (30, f"0b0000 01 {TAG}", 1, Quality.GOOD),
        (31, f"0b0000 02 {TAG}", 1, Quality.GOOD),
        (32, f"0b0000 3f 00 {TAG}", 63, Quality.GOOD),
        (33, f"0b0000 ffffffff 00 {TAG}", 0xFFFFFFFF, Quality.GOOD),
        (34, f"0b0000 0040 00 {TAG}", 16384, Quality.GOOD),
        (35, f"0b0000 feff 00 {TAG}", -2, Quality.GOOD),
        (36, f"0b0000 00004841 00 {TAG}", 12.5, Quality.GOOD),
        (37, f"0b0000 39300000 05 {TAG}", 12345, Quality.GOOD),
    ],
)
def test_each_type_gives_its_value_and_quality(kind: int, body: str, raw: object, quality: Quality) -> None:
    message = decode_apdu(apdu(kind, 1, 3, body))
    assert message is not None
    (item,) = message.objects
    assert (item.address, item.raw, item.quality) == (11, raw, quality)
    assert (item.tag is not None) == (kind >= 30)


@pytest.mark.parametrize(("kind", "body", "travelling"), [
    (3, "0b0000 00", True), (3, "0b0000 03", False), (3, "0b0000 01", False), (5, "0b0000 85 00", True),
    (5, "0b0000 05 00", False), (1, "0b0000 00", False),
])  # fmt: skip
def test_a_state_between_two_positions_is_told_from_one_that_cannot_be(kind: int, body: str, travelling: bool) -> None:
    message = decode_apdu(apdu(kind, 1, 3, body))
    assert message is not None
    assert [item.travelling for item in message.objects] == [travelling]


def test_a_sequence_counts_its_addresses_up_from_one() -> None:
    message = decode_apdu(apdu(1, 0x83, 20, "0a0000 01 00 01"))
    assert message is not None
    assert [(o.address, o.raw) for o in message.objects] == [(10, 1), (11, 0), (12, 1)]


def test_negative_and_test_bits_are_kept_apart_from_the_cause() -> None:
    message = decode_apdu(apdu(100, 1, 0x47, "000000 14"))
    assert message is not None
    assert (message.cause, message.negative, message.test) == (7, True, False)


@pytest.mark.parametrize("data", ["", "68", "680e00000000", "69040b000000", apdu(1, 2, 3, "0b0000 01").hex(),
                                  apdu(1, 0, 3, "").hex(), "680600000000010203"])  # fmt: skip
def test_what_does_not_fill_its_length_is_garbled(data: str) -> None:
    with pytest.raises(Garbled):
        decode_apdu(bytes.fromhex(data))


@given(st.binary(max_size=260), st.booleans())
def test_noise_gives_a_message_nothing_or_garbled(data: bytes, framed: bool) -> None:
    frame = bytes([0x68, len(data) & 0xFF]) + data if framed else data
    with contextlib.suppress(Garbled):
        decode_apdu(frame)


NEAR = parse_time_ms("2026-11-23T10:30:05+08:00")


@pytest.mark.parametrize(
    ("tag", "offset_min", "near", "expected"),
    [
        (TAG, 480, NEAR, "2026-11-23T10:30:00.999+08:00"),
        (TAG, 0, NEAR, "2026-11-23T10:30:00.999+00:00"),
        # day of the week in the upper bits of the day octet is not looked at
        ("0000 00 00 7d 02 1c", 480, NEAR, "2028-02-29T00:00:00+08:00"),
        ("5fea 3b 17 1f 0c 19", 480, parse_time_ms("2026-01-01T00:00:02+08:00"), "2025-12-31T23:59:59.999+08:00"),
        ("5fea 3b 17 1d 02 1c", 480, parse_time_ms("2028-03-01T00:00:00+08:00"), "2028-02-29T23:59:59.999+08:00"),
        # summer bit: the clock shows an hour more
        ("0000 00 8a 17 0b 1a", 480, NEAR, "2026-11-23T09:00:00+08:00"),
        # two digits of the year, read near the turn of a century
        ("0000 00 00 01 01 00", 0, parse_time_ms("2099-12-31T23:59:59+00:00"), "2100-01-01T00:00:00+00:00"),
    ],
)
def test_a_time_tag_is_utc_by_the_zone_of_its_device(tag: str, offset_min: int, near: int, expected: str) -> None:
    assert decode_time(bytes.fromhex(tag), offset_min, near) == parse_time_ms(expected)


@pytest.mark.parametrize("tag", ["0000 80 00 01 01 1a", "60ea 00 00 01 01 1a", "0000 00 00 1e 02 1a",
                                 "0000 00 00 1d 02 1a",
                                 "0000 00 18 01 01 1a", "0000 00 00 00 01 1a", "0000 00 00 01 01 64"])  # fmt: skip
def test_an_invalid_time_is_none(tag: str) -> None:
    assert decode_time(bytes.fromhex(tag), 480, NEAR) is None


@given(st.binary(min_size=7, max_size=7))
def test_any_seven_octets_are_a_time_or_none(tag: bytes) -> None:
    decode_time(tag, 480, NEAR)


SHORT = "e703 1e"  # 0.999 s, minute 30


@pytest.mark.parametrize(("tag", "offset_min", "near", "expected"), [
    (SHORT, 480, "2026-11-23T10:30:05+08:00", "2026-11-23T10:30:00.999+08:00"),
    (SHORT, 480, "2026-11-23T10:59:00+08:00", "2026-11-23T10:30:00.999+08:00"),
    (SHORT, 480, "2026-11-23T11:05:00+08:00", "2026-11-23T11:30:00.999+08:00"),
    ("5fea 3b", 480, "2026-11-24T00:00:01+08:00", "2026-11-23T23:59:59.999+08:00"),
    # a zone of half an hour: its minute 30 is minute 0 of UTC
    (SHORT, 330, "2026-11-23T05:00:05+00:00", "2026-11-23T05:00:00.999+00:00"),
    ("e703 9e", 480, "2026-11-23T10:30:05+08:00", None),
    ("e703 3c", 480, "2026-11-23T10:30:05+08:00", None),
    ("60ea 1e", 480, "2026-11-23T10:30:05+08:00", None),
])  # fmt: skip
def test_a_short_tag_is_in_the_hour_nearest_to_its_arrival(
    tag: str, offset_min: int, near: str, expected: str | None
) -> None:
    wanted = None if expected is None else parse_time_ms(expected)
    assert decode_time(bytes.fromhex(tag), offset_min, parse_time_ms(near)) == wanted


@pytest.mark.parametrize("layout", [
    AsduLayout(cause, common, wide) for cause in (1, 2) for common in (1, 2) for wide in (1, 2, 3)
])  # fmt: skip
def test_a_message_of_101_is_read_in_the_widths_of_its_link(layout: AsduLayout) -> None:
    head = bytes([2, 1, 0x83]) + bytes(layout.cause - 1) + (5).to_bytes(layout.common_address, "little")
    data = head + (200).to_bytes(layout.object_address, "little") + b"\x81" + bytes.fromhex(SHORT)
    message = decode_asdu(data, layout)
    assert message is not None
    assert (message.type, message.cause, message.test, message.common_address) == (2, 3, True, 5)
    (item,) = message.objects
    assert (item.address, item.raw, item.quality, item.tag) == (200, 1, Quality.INVALID, bytes.fromhex(SHORT))
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(Garbled):
            decode_asdu(wrong, layout)


@pytest.mark.parametrize(("kind", "element", "raw"), [
    (2, "01", 1), (4, "02", 1), (6, "05 00", 5), (8, "010000f0 00", 0xF0000001), (10, "0040 00", 16384),
    (12, "feff 00", -2), (14, "00004841 00", 12.5), (16, "39300000 05", 12345),
])  # fmt: skip
def test_types_with_a_short_tag_give_the_values_of_their_family(kind: int, element: str, raw: object) -> None:
    data = bytes([kind, 1, 3, 1, 11]) + bytes.fromhex(element + SHORT)
    message = decode_asdu(data, AsduLayout(1, 1, 1))
    assert message is not None
    assert [(o.address, o.raw, o.quality, o.tag) for o in message.objects] == [
        (11, raw, Quality.GOOD, bytes.fromhex(SHORT))
    ]
    as_104 = bytes([kind, 1, 3, 0, 1, 0, 11, 0, 0]) + bytes.fromhex(element + SHORT)
    assert decode_apdu(bytes([0x68, len(as_104) + 4, 0, 0, 0, 0]) + as_104) is None, "104 has no such type"
