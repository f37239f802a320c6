# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bytes are the answer to a request, in every framing. Frames from the standards or worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.agent.device.modbus.framing import AsciiFramer, NumberedFramer, RtuFramer, WantedReply
from tests.contract.device_peers import crc16


def rtu_frame(text: str) -> bytes:
    body = bytes.fromhex(text)
    return body + crc16(body)


REQUEST = rtu_frame("01 03 00 00 00 02")
ANSWER = rtu_frame("01 03 04 43 be 00 00")
REFUSAL = rtu_frame("01 83 02")
WANTED = WantedReply(1, 3, 4)


def rtu(sent: bytes = REQUEST, wanted: WantedReply = WANTED) -> RtuFramer:
    framer = RtuFramer()
    assert framer.start(sent[1:-2], wanted) == sent
    return framer


def tcp(*, any_number: bool = False) -> NumberedFramer:
    """The next request will be number 7."""
    framer = NumberedFramer(any_number=any_number, transaction=6)
    assert framer.start(REQUEST[1:-2], WANTED) == bytes.fromhex("00 07 00 00 00 06") + REQUEST[:-2]
    return framer


def heard(framer: RtuFramer | AsciiFramer | NumberedFramer, data: bytes) -> bytes | None:
    """What is taken from these bytes: function code and what follows."""
    return framer.take(data)[1]


@given(st.binary(max_size=9), st.integers(0, 9), st.binary(max_size=9))
def test_an_rtu_answer_is_taken_as_soon_as_it_is_whole_whatever_came_before(
    noise: bytes, cut: int, other: bytes
) -> None:
    framer, data = rtu(), noise + ANSWER
    assert heard(rtu(), data[: len(noise) + cut]) == (ANSWER[1:-2] if cut == 9 else None)
    assert heard(framer, data) == ANSWER[1:-2]
    heard(framer, other)
    assert framer.surplus == other


def test_an_rtu_refusal_is_an_answer() -> None:
    assert heard(rtu(), REFUSAL) == bytes.fromhex("83 02")


@pytest.mark.parametrize("frame", ["02 03 04 43 be 00 00", "01 04 04 43 be 00 00", "01 03 02 00 01"])
def test_an_rtu_frame_of_another_slave_function_or_length_is_no_answer(frame: str) -> None:
    assert heard(rtu(), rtu_frame(frame)) is None


def test_our_own_request_at_the_head_is_dropped_and_alone_it_is_no_answer() -> None:
    framer = rtu()
    assert heard(framer, REQUEST[:5]) is None
    assert heard(framer, REQUEST) is None
    assert framer.complaint() == ""
    assert heard(framer, REQUEST + ANSWER) == ANSWER[1:-2]
    assert framer.surplus == b""


def test_a_reply_with_the_bytes_of_its_request_is_a_reply_only_on_a_line_that_does_not_echo() -> None:
    # 17 coils from address 0x0300 and a reply of three bytes 00 00 11 (hex): both are 01 01 03 00 00 11 and checksum.
    request, wanted = rtu_frame("01 01 03 00 00 11"), WantedReply(1, 1, 3)
    framer = rtu(request, wanted)
    assert heard(framer, request) is None
    framer = rtu()
    assert heard(framer, ANSWER) is not None  # this line does not echo
    framer.start(request[1:-2], wanted)
    assert heard(framer, request) == request[1:-2]
    framer = rtu()
    assert heard(framer, REQUEST + ANSWER) is not None  # this one does
    framer.start(request[1:-2], wanted)
    assert heard(framer, request) is None
    assert heard(framer, request + request) == request[1:-2]


def test_repeated_answers_are_told_from_others() -> None:
    framer = rtu()
    heard(framer, ANSWER + ANSWER)
    assert framer.twice
    heard(framer, REFUSAL)
    assert not framer.twice


# Modbus Messaging on TCP/IP V1.0b, 3.1.3: transaction, protocol 0, length, unit.
def mbap(transaction: int, protocol: int, slave: int, pdu: str = "03 04 43 be 00 00") -> bytes:
    body = bytes([slave]) + bytes.fromhex(pdu)
    return b"".join(n.to_bytes(2, "big") for n in (transaction, protocol, len(body))) + body


def test_a_tcp_answer_is_known_by_its_numbers_behind_any_others() -> None:
    stream = mbap(6, 0, 1, "03 04 00 00 00 00") + mbap(7, 0, 2) + mbap(7, 0, 1)
    for cut in range(len(stream)):
        framer, data, found = tcp(), b"", None
        for part in (stream[:cut], stream[cut:]):
            data += part
            used, reply = framer.take(data)
            data = data[used:]
            found = found or reply
        assert found == ANSWER[1:-2]


@pytest.mark.parametrize(("transaction", "protocol"), [(0, 0), (8, 0), (0x0700, 0), (7, 1)])
def test_numbers_of_a_gateways_own_are_named_with_the_bytes_and_taken_by_choice(
    transaction: int, protocol: int
) -> None:
    framer, frame = tcp(), mbap(transaction, protocol, 1)
    assert heard(framer, frame) is None
    for words in (f"transaction {transaction}, protocol {protocol}", "asked transaction 7", frame.hex(" "), '"any"'):
        assert words in framer.complaint()
    assert heard(tcp(any_number=True), frame) == ANSWER[1:-2]


def test_numbers_taken_by_choice_do_not_open_the_door_to_another_slave_function_or_length() -> None:
    others = (mbap(7, 0, 2), mbap(7, 0, 1, "04 04 43 be 00 00"), mbap(7, 0, 1, "03 02 00 01"))
    for frame in others:
        assert heard(tcp(any_number=True), frame) is None
        assert heard(tcp(any_number=True), frame + mbap(9, 0, 1)) == ANSWER[1:-2]


def test_bytes_that_are_no_mbap_are_used_up_and_shown() -> None:
    framer = tcp()
    assert framer.take(b"\xff" * 12) == (12, None)
    assert "ff ff" in framer.complaint()


def ascii_framer() -> AsciiFramer:
    framer = AsciiFramer()
    framer.start(bytes.fromhex("03 00 6b 00 01"), WantedReply(0x11, 3, 2))
    return framer


# LRC by hand: 11+03+00+6B+00+01 = 80, its two's complement 80; 11+03+02+02+2B = 43, BD (all hex).
ASCII_REQUEST, ASCII_ANSWER = b":1103006B000180\r\n", b":110302022BBD\r\n"


def test_an_ascii_answer_is_found_behind_noise_and_echo() -> None:
    assert ascii_framer().sent == ASCII_REQUEST
    for before in (b"", b"\0\0", ASCII_REQUEST, b":11", b":zz\r\n"):
        assert heard(ascii_framer(), before + ASCII_ANSWER) == bytes.fromhex("03 02 02 2b")
        assert heard(ascii_framer(), before + ASCII_ANSWER[:-1]) is None
    assert heard(ascii_framer(), b":110302022BBE\r\n") is None
    assert heard(ascii_framer(), b":1183026A\r\n") == bytes.fromhex("83 02")


@given(st.binary(max_size=300))
def test_random_bytes_never_raise(data: bytes) -> None:
    for framer in (rtu(), ascii_framer(), tcp(), tcp(any_number=True)):
        heard(framer, data)
        framer.complaint()
