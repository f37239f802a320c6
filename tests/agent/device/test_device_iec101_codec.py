# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of IEC 60870-5-101 against frames put together by hand from the standard, and against noise.

FT1.2 (IEC 60870-5-1, 6.2.4.2): start, control, link address, sum of the octets between start and sum, 16. Functions:
IEC 60870-5-2, 5.1.2 and 5.1.3 (unbalanced), 6.1.2 (balanced).
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.agent.device.frames import Unfinished
from collector.agent.device.iec101.ft12 import (
    LinkFrame,
    LinkPlace,
    LinkReader,
    LinkReply,
    encode_class_1,
    encode_class_2,
    encode_interrogation,
    encode_reply,
    encode_reset,
    encode_status_request,
    encode_test,
)
from collector.agent.device.iec60870.asdu import AsduLayout

ONE, TWO, NONE = LinkPlace(5, 1), LinkPlace(0x0105, 2), LinkPlace(0, 0, balanced=True)


@pytest.mark.parametrize(("frame", "expected"), [
    (encode_status_request(ONE), "10 49 05 4e 16"),
    (encode_reset(ONE), "10 40 05 45 16"),
    (encode_class_1(ONE, True), "10 7a 05 7f 16"),
    (encode_class_1(ONE, False), "10 5a 05 5f 16"),
    (encode_class_2(ONE, True), "10 7b 05 80 16"),
    (encode_class_2(TWO, False), "10 5b 05 01 61 16"),
    (encode_status_request(NONE), "10 c9 c9 16"),
    (encode_test(NONE, True), "10 f2 f2 16"),
    (encode_reply(LinkPlace(5, 1, balanced=True), LinkReply.ACK), "10 80 05 85 16"),
    (encode_reply(LinkPlace(5, 1, balanced=True), LinkReply.STATUS), "10 8b 05 90 16"),
    # C_IC_NA_1, activation, station 3, QOI 20; the narrowest and the widest fields.
    (encode_interrogation(ONE, True, 100, 3, AsduLayout(1, 1, 2)), "68 09 09 68 73 05 64 01 06 03 00 00 14 fa 16"),
    (
        encode_interrogation(TWO, False, 100, 3, AsduLayout(2, 2, 3)),
        "68 0d 0d 68 53 05 01 64 01 06 00 03 00 00 00 00 14 db 16",
    ),
    # C_CI_NA_1, QCC 5: read all counters, nothing frozen or reset.
    (encode_interrogation(NONE, True, 101, 3, AsduLayout(1, 1, 1)), "68 07 07 68 f3 65 01 06 03 00 05 67 16"),
])  # fmt: skip
def test_a_request_has_the_octets_of_the_standard(frame: bytes, expected: str) -> None:
    assert frame == bytes.fromhex(expected)


def frames_of(reader: LinkReader, data: bytes) -> list[LinkFrame | Unfinished]:
    """All that comes of the bytes, but that more are needed."""
    reader.feed(data)
    found: list[LinkFrame | Unfinished] = []
    while (item := reader.next()) is not Unfinished.NEED_MORE:
        found.append(item)
    return found


@pytest.mark.parametrize(("octets", "data", "control", "address", "asdu"), [
    (1, "10 20 05 25 16", 0x20, 5, ""),
    (2, "10 0b 05 01 11 16", 0x0B, 0x0105, ""),
    (0, "10 0b 0b 16", 0x0B, 0, ""),
    (1, "68 09 09 68 28 05 01 01 14 03 01 00 01 48 16", 0x28, 5, "01 01 14 03 01 00 01"),
    (0, "68 02 02 68 73 46 b9 16", 0x73, 0, "46"),
    (1, "e5", 0, None, ""),
])  # fmt: skip
def test_an_answer_is_found_however_it_is_cut(
    octets: int, data: str, control: int, address: int | None, asdu: str
) -> None:
    octets_received, reader = bytes.fromhex(data), LinkReader(octets)
    expected = [LinkFrame(control, address, bytes.fromhex(asdu))]
    assert frames_of(reader, octets_received) == expected
    came = [item for octet in octets_received for item in frames_of(reader, bytes([octet]))]
    assert came == expected
    assert reader.pending == 0


def test_what_an_answer_says_of_the_link() -> None:
    (frame,) = frames_of(LinkReader(1), bytes.fromhex("10 38 05 3d 16"))
    assert isinstance(frame, LinkFrame)
    assert (frame.is_primary, frame.is_ours, frame.function, frame.acd, frame.dfc) == (False, False, 8, True, True)
    (request,) = frames_of(LinkReader(1), bytes.fromhex("10 f3 05 f8 16"))
    assert isinstance(request, LinkFrame)
    assert (request.is_primary, request.is_ours, request.function, request.fcb, request.fcv) == (
        True, True, 3, True, True
    )  # fmt: skip


@pytest.mark.parametrize("broken", [
    "10 20 05 26 16", "10 20 05 25 17", "68 09 08 68 28 05 01 01 14 03 01 00 01 48 16", "68 01 01 68 28 28 16",
    "68 09 09 68 28 05 01 01 14 03 01 00 01 49 16", "68 09 09 67 28 05 01 01 14 03 01 00 01 48 16",
])  # fmt: skip
def test_a_broken_frame_is_garbled_and_the_next_one_is_found(broken: str) -> None:
    found = frames_of(LinkReader(1), bytes.fromhex(broken + "10 20 05 25 16"))
    assert found[-1] == LinkFrame(0x20, 5)
    assert all(isinstance(item, Unfinished) for item in found[:-1])


def test_a_single_character_in_noise_is_noise() -> None:
    assert frames_of(LinkReader(1), b"\x00\xe5") == [Unfinished.GARBLED]
    reader = LinkReader(1)
    frames_of(reader, b"\x00")
    reader.clear()
    assert frames_of(reader, b"\xe5") == [LinkFrame(0, None)]


PLACES = st.builds(LinkPlace, st.integers(0, 254), st.integers(1, 2))


@given(PLACES, st.booleans(), st.binary(max_size=20), st.integers(1, 254))
def test_whatever_we_send_is_found_again_after_noise(place: LinkPlace, fcb: bool, noise: bytes, station: int) -> None:
    noise = bytes(octet for octet in noise if octet not in (0x10, 0x68, 0xE5))
    frame = encode_interrogation(place, fcb, 100, station, AsduLayout(1, 1, 2))
    found = frames_of(LinkReader(place.octets), noise + frame)
    (sent,) = [item for item in found if isinstance(item, LinkFrame)]
    assert (sent.address, sent.fcb, sent.data[0], sent.data[3]) == (place.address, fcb, 100, station)


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(0, 2))
def test_noise_gives_frames_garbled_or_need_more(chunks: list[bytes], octets: int) -> None:
    reader = LinkReader(octets)
    for chunk in chunks:
        for item in frames_of(reader, chunk):
            assert isinstance(item, LinkFrame) or item is Unfinished.GARBLED
    assert reader.pending <= 261
