# SPDX-License-Identifier: GPL-3.0-or-later
"""The DL/T 698.45 codec against frames that other makes published.

Sources. A: annex H of the standard's edition of 2021, as a public implementation quotes it (reading a meter's address).
B: an article on reading forward active energy, blog.csdn.net/m0_37651448/article/details/143100464. C: the manual of a
public C++ library (zero address, service number 0). D: tests of public implementations in Java, Go, Rust and Python,
among them answers captured from meters. Values are those their authors give, or plain hexadecimal of the frame.
"""

from __future__ import annotations

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.agent.device.dlt698.codec import (
    WILDCARD,
    Dlt698Frame,
    Dlt698Reader,
    MeterPlace,
    crc16,
    data_end,
    decode_clock,
    decode_get,
    element_of,
    encode_get,
    number_of,
)
from collector.agent.device.frames import Unfinished
from collector.base.errors import DeviceError, Garbled, Refused
from collector.points.identifiers import attribute_of
from simulators.faces import dlt698 as face

ZERO = MeterPlace("000000000000")
REQUESTS = [
    (MeterPlace(WILDCARD), 0x25, [0x40010200], "6817004345AAAAAAAAAAAA005B4F05012540010200000A9216"),
    (MeterPlace(WILDCARD, client=0x10), 3, [0x40010200],
     "6817004345AAAAAAAAAAAA10DA5F0501034001020000900F16"),
    (MeterPlace("201605190907"), 1, [0x40010200], "68170043050709190516200015600501014001020000C60716"),
    (ZERO, 0, [0x00100201], "681700430500000000000000727905010000100201000D0416"),
    (ZERO, 0, [0x20040200], "6817004305000000000000007279050100200402000009CC16"),
    (ZERO, 0x21, [0x200F0200], "6817004305000000000000007279050121200F020000578D16"),
    (MeterPlace("123456789012"), 0, [0x200F0200], "681700430512907856341200A32E050100200F0200001C0C16"),
    (MeterPlace("000000000002", client=0x10), 0x15, [0xF1010200],
     "681700430502000000000010485E050115F1010200001A0016"),
    (MeterPlace("111111111111", client=0x10), 0, [0x40030200],
     "6817004305111111111111106A3605010040030200009B3A16"),
    (MeterPlace("003708191239", client=0x0B), 5, [0x00100200, 0x00200200],
     "681C0043053912190837000B7A52050205020010020000200200008D2816"),
    (MeterPlace("003708191239", client=0x0B), 0x1E, [0x00000200, 0x00100200, 0x00200200],
     "68200043053912190837000B4A2305021E03000002000010020000200200007F0816"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "service", "attributes", "frame"), REQUESTS)
def test_a_request_is_byte_for_byte_what_others_send(
    place: MeterPlace, service: int, attributes: list[int], frame: str
) -> None:
    assert encode_get(place, service, attributes) == b"\xfe" * 4 + bytes.fromhex(frame)


# (answer, who was asked, service number, OAD, element, value)
ANSWERS = [
    # A: the address 33 09 20 39 00 00 on the line, 000039200933 in the data.
    ("682100C305330920390000004A55850125400102000109060000392009330000B2D816",
     MeterPlace(WILDCARD), 0x25, 0x40010200, 0, None),
    # C: 1234.56 kWh; the same and four rates of which the fourth has 634.56; 12345678 with four decimals.
    ("681E00C305000000000000009E548501000010020101060001E24000005AD416",
     ZERO, 0, 0x00100201, 0, Fraction("1234.56")),
    ("683400C305000000000000009CA185010000100200010105060001E24006000027100600004E20"
     "0600007530060000F7E00000CCB316", ZERO, 0, 0x00100200, 5, Fraction("634.56")),
    ("682200C30500000000000000AE258501000010040101150000000000BC614E000062BB16",
     ZERO, 0, 0x00100401, 0, Fraction("1234.5678")),
    # C: voltages 241.3, 241.4, 241.5 V; powers 6000, 2010, 1990, 2000 W.
    ("682400C30500000000000000D9D08501002000020001010312096D12096E12096F0000D7FA16",
     ZERO, 0, 0x20000200, 3, Fraction("241.5")),
    ("682F00C30500000000000000C09285010020040200010104050000EA600500004E840500004DBC"
     "0500004E200000799C16", ZERO, 0, 0x20040200, 1, Fraction(6000)),
    # D: a meter on one phase: 224.1 V, nothing on the others.
    ("682400C305010020032501000E29850100200002000101031208C11200001200000000F2EC16",
     MeterPlace("012503200001"), 0, 0x20000200, 1, Fraction("224.1")),
    # B: five 64-bit zeros of a new meter, whose address has four bytes.
    ("684600C3039178412800062D85010000100400010105150000000000000000150000000000000000"
     "1500000000000000001500000000000000001500000000000000000000C35216",
     MeterPlace("28417891"), 0, 0x00100400, 5, Fraction(0)),
]  # fmt: skip


def frame_of(text: str) -> Dlt698Frame:
    reader = Dlt698Reader()
    reader.feed(bytes.fromhex(text))
    found = reader.next()
    assert isinstance(found, Dlt698Frame)
    assert reader.pending == 0
    return found


@pytest.mark.parametrize(("text", "place", "service", "oad", "element", "value"), ANSWERS)
def test_an_answer_that_others_publish_is_read(
    text: str, place: MeterPlace, service: int, oad: int, element: int, value: Fraction | None
) -> None:
    results = decode_get(frame_of(text), place, service, [oad])
    assert results is not None
    data = results[oad]
    assert isinstance(data, bytes)
    if value is None:
        assert (data[1:].hex(), number_of(data, 2)) == ("06000039200933", None)
        return
    known = attribute_of(oad & ~0xFF | (element or oad & 0xFF))
    assert known is not None
    chosen = element_of(data, element)
    assert chosen is not None
    assert number_of(chosen, known.decimals) == value
    assert element_of(data, 99) is None


def test_an_answer_of_a_list_holds_every_attribute_though_a_report_may_follow() -> None:
    # D: energies of a new meter and the time of a record, whose hour octet no calendar has (28H).
    text = (
        "684200C305020000000000009A3D8502000200100200010105060000000106000000010600000001"
        "0600000001060000000120210200011C07E211280000000000659216"
    )  # fmt: skip
    results = decode_get(frame_of(text), MeterPlace("000000000002"), 0, [0x00100200, 0x20210200])
    assert results is not None
    energies, time = results[0x00100200], results[0x20210200]
    assert isinstance(energies, bytes)
    assert isinstance(time, bytes)
    elements = [element_of(energies, index) for index in range(1, 6)]
    assert [number_of(e, 2) for e in elements if e is not None] == [Fraction(1, 100)] * 5
    assert decode_clock(time) is None


@pytest.mark.parametrize(("text", "place", "service", "shown"), [
    ("682100C305000000000000001DDB85010040000200011C07EA0A070E101A0000E4C516", ZERO, 0,
     "2026-10-07 14:16:26"),
    ("682100C305111111110100CC388185010140000200011C07E404030F020A0000729916",
     MeterPlace("000111111111", client=0xCC), 1, "2020-04-03 15:02:10"),
])  # fmt: skip
def test_a_clock_is_read(text: str, place: MeterPlace, service: int, shown: str) -> None:
    results = decode_get(frame_of(text), place, service, [0x40000200])
    assert results is not None
    data = results[0x40000200]
    assert isinstance(data, bytes)
    clock = decode_clock(data)
    assert clock is not None
    assert f"{clock:%Y-%m-%d %H:%M:%S}" == shown


def answer(apdu: str, *, control: int = 0xC3, address: str = "12", logical: int = 0, client: int = 16) -> Dlt698Frame:
    """A frame of the simulators' codec, which is none of ours."""
    flag = logical << 4 | 5
    whole = face.encode_frame(control, flag, bytes.fromhex(address.zfill(12))[::-1], client, bytes.fromhex(apdu))
    reader = Dlt698Reader()
    reader.feed(whole)
    found = reader.next()
    assert isinstance(found, Dlt698Frame)
    return found


HERE = MeterPlace("000000000012", client=16)
GOOD = "85 01 07 20 0F 02 00 01 12 13 88 00 00"


def test_an_answer_to_anything_else_is_passed_over() -> None:
    assert decode_get(answer(GOOD), HERE, 7, [0x200F0200]) == {0x200F0200: bytes.fromhex("121388")}
    for other in (
        answer(GOOD, control=0x43), answer(GOOD, address="13"), answer(GOOD, logical=1), answer(GOOD, client=17),
        answer(GOOD.replace("85 01 07", "85 01 08")), answer("88 01 07 00"), answer(GOOD, control=0x81),
    ):  # fmt: skip
        assert decode_get(other, HERE, 7, [0x200F0200]) is None


@pytest.mark.parametrize(
    ("apdu", "words"),
    [
        (GOOD.replace("20 0F", "20 04"), "the answer is of 20040200"),
        (GOOD.replace("85 01", "85 02"), "answer 2 of GET"),
        (GOOD[:23], "ends after"), (GOOD[:29], "end after"), (GOOD.replace("12 13", "57 13"), "data of type 87"),
        ("85 01 07 20 0F 02 00 01 01 01 01 01 01 01 01 01 01 01 01 01", "nest more than"),
        ("85 01 07 20 0F 02 00 01 09 82 00 10", "length 82H"),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_fit_is_garbled(apdu: str, words: str) -> None:
    with pytest.raises(Garbled, match=words):
        decode_get(answer(apdu), HERE, 7, [0x200F0200])
    for control, said in ((0xE3, "divided"), (0xCB, "scrambled")):
        with pytest.raises(Garbled, match=said):
            decode_get(answer(GOOD, control=control), HERE, 7, [0x200F0200])


def test_what_a_meter_refuses_is_a_reason_for_each_attribute_or_for_the_whole_request() -> None:
    both = "85 02 07 02 20 0F 02 00 00 04 20 00 02 00 01 01 01 12 08 98 00 00"
    assert decode_get(answer(both), HERE, 7, [0x200F0200, 0x20000200]) == {
        0x200F0200: 4, 0x20000200: bytes.fromhex("0101120898"),
    }  # fmt: skip
    with pytest.raises(Refused, match="APDU not understood"):
        decode_get(answer("EE 07 01 00 00"), HERE, 7, [0x200F0200])
    assert decode_get(answer("EE 08 01 00 00"), HERE, 7, [0x200F0200]) is None


@given(st.binary(max_size=40), st.integers(0, 40))
def test_a_frame_is_found_however_it_is_cut_and_whatever_precedes_it(noise: bytes, cut: int) -> None:
    whole = bytes.fromhex(ANSWERS[1][0])
    reader, found = Dlt698Reader(), []
    for part in (noise + whole[:cut], whole[cut:] + bytes(2100)):
        reader.feed(part)
        while (frame := reader.next()) is not Unfinished.NEED_MORE:
            found.append(frame)
    assert frame_of(ANSWERS[1][0]) in found


@given(st.binary(max_size=60))
def test_random_data_are_data_or_garbled(data: bytes) -> None:
    with contextlib.suppress(Garbled):
        assert 0 < data_end(data, 0) <= len(data)


@given(st.binary(max_size=80))
def test_a_random_apdu_is_an_answer_nothing_or_a_declared_error(apdu: bytes) -> None:
    frame = Dlt698Frame(0xC3, 0, 0, HERE.address, HERE.client, b"\x85" + apdu)
    try:
        results = decode_get(frame, HERE, 7, [0x200F0200])
    except DeviceError:
        return
    for data in (results or {}).values():
        if isinstance(data, bytes):
            number_of(data, 2)
            element_of(data, 1)
            decode_clock(data)


@given(st.binary(max_size=64))
def test_the_two_codecs_agree_on_the_check(data: bytes) -> None:
    assert crc16(data).to_bytes(2, "little") == face.check_of(data)


def test_the_check_is_that_of_the_catalogue_of_crcs() -> None:
    assert crc16(b"123456789") == 0x906E  # CRC-16/X-25
