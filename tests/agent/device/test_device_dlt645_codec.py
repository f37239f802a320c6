# SPDX-License-Identifier: GPL-3.0-or-later
"""DL/T 645 frames and numbers, worked by hand from the standard, and any bytes whatsoever."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.agent.device.dlt645.codec import (
    AnswerPart,
    Frame,
    FrameReader,
    decode_answer,
    decode_clock,
    encode_read,
    encode_read_next,
    layout_of,
    parse_address,
    reversed_address,
)
from collector.agent.device.frames import Unfinished
from collector.base.errors import DeviceError, Garbled, Refused
from tests.size import sized

# Answer of meter 000000000012 to 00010000: 57 34 12 00 is 1234.57 kWh. Sum of 2 × 68, 12, 91, 08,
# 33 33 34 33 and 8A 67 45 33: D0 + 12 + 91 + 08 + CD + 169 = 3B1.
ENERGY = bytes.fromhex("68 12 00 00 00 00 00 68 91 08 33 33 34 33 8a 67 45 33 b1 16")
METER = "000000000012"


def frame(control: int, data: bytes, address: bytes = bytes.fromhex("120000000000")) -> bytes:
    """A frame by the standard's text, built apart from the codec under test."""
    body = b"\x68" + address + b"\x68" + bytes([control, len(data)]) + bytes((b + 0x33) % 256 for b in data)
    return body + bytes([sum(body) % 256, 0x16])


def frames(*chunks: bytes) -> list[Frame | Unfinished]:
    """Everything a reader says of these bytes, until it needs more."""
    reader, found = FrameReader(), list[Frame | Unfinished]()
    for chunk in chunks:
        reader.feed(chunk)
        while (said := reader.next()) is not Unfinished.NEED_MORE:
            found.append(said)
    return found


def test_a_read_request_is_the_standards_bytes_behind_four_preambles() -> None:
    # Sum: 68 + 12 + 68 + 11 + 04 + 33 + 33 + 34 + 33 = 1C4.
    assert encode_read(METER, 0x00010000) == bytes.fromhex("fefefefe 68 120000000000 68 11 04 33333433 c4 16")
    # With sequence 2 (35H): 68 + 12 + 68 + 12 + 05 + CD + 35 = 1FB.
    assert encode_read_next(METER, 0x00010000, 2) == bytes.fromhex("fefefefe 68 120000000000 68 12 05 3333343335 fb 16")


def test_an_answer_becomes_its_number() -> None:
    (found,) = frames(b"\xfe\xfe\xfe\xfe" + ENERGY)
    assert found == Frame(METER, 0x91, bytes.fromhex("00000100 57341200"))
    part = decode_answer(found, 0x00010000)
    assert part == AnswerPart(bytes.fromhex("57341200"), False)
    layout = layout_of(0x00010000)
    assert layout is not None
    assert layout.decode(part.data) == Fraction("1234.57")


@pytest.mark.parametrize(
    ("identifier", "octets", "expected"),
    [
        (0x00000000, "01000080", "-0.01"),  # combined active energy may be negative
        (0x00010000, "99999999", "999999.99"),  # forward energy has no sign
        (0x00010101, "00000001", "10000"),  # first rate, last billing day
        (0x00170000, "00000081", "-10000"),  # combined reactive energy of phase A
        (0x02010100, "0422", "220.4"),
        (0x02020100, "563412", "123.456"),
        (0x02020300, "563492", "-123.456"),
        (0x02030000, "563412", "12.3456"),
        (0x02040000, "563492", "-12.3456"),
        (0x02060000, "0010", "1"),
        (0x02060300, "0088", "-0.8"),
        (0x02800002, "9949", "49.99"),
        (0x02030000, "ffffff", None),
        (0x02030000, "0000fa", None),
        (0x00010000, "0a000000", None),
    ],
)
def test_a_number_has_the_decimals_and_the_sign_of_its_identifier(
    identifier: int, octets: str, expected: str | None
) -> None:
    layout = layout_of(identifier)
    assert layout is not None
    assert layout.decode(bytes.fromhex(octets)) == (None if expected is None else Fraction(expected))


@pytest.mark.parametrize("identifier", [0x0001FF00, 0x00014000, 0x0001000D, 0x02010000, 0x02030400, 0x03300000])
def test_blocks_records_and_unknown_identifiers_have_no_layout(identifier: int) -> None:
    assert layout_of(identifier) is None


def test_a_data_field_of_the_wrong_length_is_garbled() -> None:
    layout = layout_of(0x02030000)
    assert layout is not None
    with pytest.raises(Garbled, match="2 bytes came, the identifier has 3"):
        layout.decode(bytes(2))


def test_a_frame_is_found_however_it_is_cut_and_whatever_precedes_it() -> None:
    for cut in range(len(ENERGY)):
        assert [f for f in frames(ENERGY[:cut], ENERGY[cut:]) if isinstance(f, Frame)] == frames(ENERGY)
    assert frames(b"\x00\x16\x99" + ENERGY + ENERGY) == [*frames(ENERGY), *frames(ENERGY)]
    assert frames(b"\x00\x16\x99") == [Unfinished.GARBLED]
    assert frames(b"\xfe" * 20) == []


def test_a_frame_cut_short_or_damaged_does_not_swallow_the_next_one() -> None:
    false_start = bytes.fromhex("68 00 00 00 00 00 00 68 91 c8")  # promises 200 bytes
    spoilt = ENERGY[:-2] + b"\x00\x16"
    for before in (ENERGY[:12], false_start, spoilt, b"\x68" * 30):
        assert frames(before, ENERGY)[-1] == frames(ENERGY)[0]


def test_an_error_frame_is_a_refusal_with_its_reason() -> None:
    (found,) = frames(frame(0xD1, b"\x02"))
    assert isinstance(found, Frame)
    with pytest.raises(Refused, match=r"02H \(no such data\)") as caught:
        decode_answer(found, 0x00010000)
    assert caught.value.code == 2


@pytest.mark.parametrize("control", [0x81, 0xA1, 0xC1])
def test_a_meter_of_1997_is_recognised_and_named(control: int) -> None:
    (found,) = frames(frame(control, bytes.fromhex("1090 78563412")))
    assert isinstance(found, Frame)
    with pytest.raises(Garbled, match="DL/T 645-1997"):
        decode_answer(found, 0x00010000)


def test_an_answer_to_another_question_is_none() -> None:
    (energy,) = frames(ENERGY)
    assert isinstance(energy, Frame)
    assert decode_answer(energy, 0x00020000) is None
    assert decode_answer(energy, 0x00010000, sequence=1) is None
    follow_up = Frame(METER, 0xB2, bytes.fromhex("00000100 5734 01"))
    assert decode_answer(follow_up, 0x00010000, sequence=1) == AnswerPart(bytes.fromhex("5734"), True)
    assert decode_answer(follow_up, 0x00010000, sequence=2) is None


def test_an_address_is_twelve_digits_or_twelve_times_a() -> None:
    assert parse_address("12") == METER
    assert parse_address("AAAAAAAAAAAA") == "AAAAAAAAAAAA"
    assert reversed_address("123456789012") == "129078563412"
    for text in ("", "1234567890123", "12A", "١٢"):
        with pytest.raises(ValueError, match="12 digits"):
            parse_address(text)


def test_the_clock_is_read_as_it_shows() -> None:
    # Wednesday (03) 29 February 2028, 23:59:58.
    assert decode_clock(bytes.fromhex("03290228"), bytes.fromhex("585923")) == datetime(
        2028, 2, 29, 23, 59, 58, tzinfo=UTC
    )
    assert decode_clock(bytes.fromhex("03300228"), bytes.fromhex("585923")) is None
    assert decode_clock(bytes.fromhex("ff290228"), bytes.fromhex("5859ff")) is None
    assert decode_clock(b"", b"") is None


@settings(max_examples=sized(80, 300))
@given(st.lists(st.binary(max_size=300) | st.sampled_from([ENERGY, b"\x68" * 9, ENERGY[:14]]), max_size=6))
def test_any_bytes_give_only_frames_garbled_and_need_more_and_little_is_kept(chunks: list[bytes]) -> None:
    reader = FrameReader()
    for chunk in chunks:
        reader.feed(chunk)
        while (said := reader.next()) is not Unfinished.NEED_MORE:
            if isinstance(said, Frame):
                try:
                    decode_answer(said, 0x00010000)
                except DeviceError:
                    continue
        assert reader.pending < 267


@given(st.binary(max_size=40), st.binary(max_size=200))
def test_a_whole_frame_is_found_behind_any_noise(noise: bytes, data: bytes) -> None:
    sent = frame(0x91, data)
    found = frames(noise, sent, bytes(267))
    assert Frame(METER, 0x91, data) in found


# Of meters of three makes, as their users published them: request, answer, what the meter showed.
CAPTURED_1997 = [
    ("68 27 59 63 03 00 01 68 01 02 43 C3 C0 16", "68 27 59 63 03 00 01 68 81 06 43 C3 AC 59 47 33 C3 16", "1426.79"),
    ("68 54 07 13 00 80 13 68 01 02 43 C3 DA 16", "68 54 07 13 00 80 13 68 81 06 43 C3 34 33 33 33 2B 16", "0.01"),
    ("68 27 59 63 03 00 01 68 01 02 44 E9 E7 16", "68 27 59 63 03 00 01 68 81 04 44 E9 56 35 F4 16", "223"),
    ("68 27 59 63 03 00 01 68 01 02 45 E9 E8 16", "68 27 59 63 03 00 01 68 81 04 45 E9 33 33 D0 16", "0"),
    ("68 03 00 00 00 00 00 68 01 02 54 E9 13 16", "68 03 00 00 00 00 00 68 81 04 54 E9 CC 37 98 16", "4.99"),
    ("68 03 00 00 00 00 00 68 01 02 63 E9 22 16", "68 03 00 00 00 00 00 68 81 05 63 E9 94 B9 33 25 16", "0.8661"),
]
IDENTIFIERS_1997 = [0x9010, 0x9010, 0xB611, 0xB612, 0xB621, 0xB630]


@pytest.mark.parametrize(
    ("identifier", "request_", "answer", "value"),
    [(identifier, *captured) for identifier, captured in zip(IDENTIFIERS_1997, CAPTURED_1997, strict=True)],
)
def test_captured_frames_of_1997_are_asked_and_read_byte_for_byte(
    identifier: int, request_: str, answer: str, value: str
) -> None:
    (found,) = frames(bytes.fromhex(answer))
    assert isinstance(found, Frame)
    assert encode_read(found.address, identifier) == b"\xfe" * 4 + bytes.fromhex(request_)
    part = decode_answer(found, identifier)
    layout = layout_of(identifier)
    assert part is not None
    assert layout is not None
    assert layout.decode(part.data) == Fraction(value)
    assert not part.more
    # The answer to one identifier is none to another, nor to a request of the other edition.
    assert decode_answer(found, 0x9020) is None
    with pytest.raises(Garbled, match="such as 9010"):
        decode_answer(found, 0x00010000)


def test_an_answer_of_2007_is_none_to_a_request_of_1997() -> None:
    (energy,) = frames(ENERGY)
    assert isinstance(energy, Frame)
    assert decode_answer(energy, 0x9010) is None


def test_an_error_of_1997_is_a_refusal_and_data_that_follow_carry_no_number() -> None:
    with pytest.raises(Refused, match=r"02H \(no such data\)"):
        decode_answer(Frame(METER, 0xC1, b"\x02"), 0x9010)
    assert decode_answer(Frame(METER, 0xA1, bytes.fromhex("1090 5734")), 0x9010) == AnswerPart(b"\x57\x34", True)
    assert decode_answer(Frame(METER, 0x82, bytes.fromhex("1090 1200")), 0x9010, 1) == AnswerPart(b"\x12\0", False)
    assert encode_read_next(METER, 0x9010, 1)[4:] == bytes.fromhex("68 12 00 00 00 00 00 68 02 02 43 C3 EC 16")


def test_what_is_read_of_1997_are_single_present_values() -> None:
    read = {i: found for i in range(0x9000, 0x10000) if (found := layout_of(i)) is not None}
    assert len(read) == 8 * 15 + 3 + 3 + 4 + 4 + 4
    assert (read[0x912E].size, read[0x912E].decimals, read[0xB643].size, read[0xB643].decimals) == (4, 2, 2, 2)
    assert not {0x901F, 0x9030, 0x9410, 0xB610, 0xB61F, 0xC010, 0xC032} & read.keys()
