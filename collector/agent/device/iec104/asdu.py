# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder of IEC 60870-5-104 messages: one APDU to information objects. Pure; lengths are checked first.

c104 runs the link (start, windows, timers, acknowledgement); this module decodes its messages. The library's own points
would lose facts we need: the IV and SU bits of a time tag, an object whose type differs from the one declared for its
address (untagged when interrogated, tagged when it changes), and the original quality bits.

Layout: 68, length, four control octets; type, VSQ, cause, originator, common address (2); objects: address (3),
elements, quality, time tag.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Final, NamedTuple

from collector.base.errors import Garbled
from collector.base.text import tr
from collector.model.record import Quality

END_OF_INITIALISATION: Final = 70
INTERROGATION: Final = 100
COUNTER_INTERROGATION: Final = 101

# Types that carry the same value with and without time tag form a family: an object may arrive in any of its types.
# Single and double points, step positions, bit strings, normalised, scaled, short, counters, packed single points.
FAMILIES: Final[dict[int, int]] = {
    1: 1, 30: 1, 3: 3, 31: 3, 5: 5, 32: 5, 7: 7, 33: 7, 9: 9, 21: 9, 34: 9, 11: 11, 35: 11, 13: 13, 36: 13,
    15: 15, 37: 15, 20: 20,
}  # fmt: skip
# family -> octets of its element and quality
_ELEMENTS: Final[dict[int, int]] = {1: 1, 3: 1, 5: 2, 7: 5, 9: 3, 11: 3, 13: 5, 15: 5, 20: 5}
_TAG_BYTES: Final = 7
# type -> octets of one object after its address
OBJECT_BYTES: Final[dict[int, int]] = {
    **{kind: _ELEMENTS[family] + (_TAG_BYTES if kind >= 30 else 0)
       for kind, family in FAMILIES.items()},
    21: 2, END_OF_INITIALISATION: 1, INTERROGATION: 1, COUNTER_INTERROGATION: 1,
}  # fmt: skip
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# Quality bits of SIQ, DIQ and QDS; the counter's sequence octet has IV in the same place.
OVERFLOW, BLOCKED, SUBSTITUTED, NOT_TOPICAL, INVALID = 0x01, 0x10, 0x20, 0x40, 0x80


class TransmissionCause(IntEnum):
    """Causes of transmission that this program uses."""

    PERIODIC = 1
    BACKGROUND = 2
    SPONTANEOUS = 3
    INITIALISED = 4
    REQUEST = 5
    ACTIVATION_CONFIRMED = 7
    ACTIVATION_TERMINATED = 10
    RETURN_REMOTE = 11
    RETURN_LOCAL = 12
    INTERROGATED = 20
    COUNTERS_REQUESTED = 37


# Causes of a change that the station reports spontaneously.
EVENT_CAUSES: Final = frozenset(
    {TransmissionCause.SPONTANEOUS, TransmissionCause.RETURN_REMOTE, TransmissionCause.RETURN_LOCAL}
)


class InformationObject(NamedTuple):
    """One information object. `raw`: value before the point table's factors; None where the state is no value. Of a
    normalised value it is the 16-bit code. `tag`: the seven octets of its time tag; `bits`: its quality bits, as in
    QDS. `travelling`: a double point between its two positions (00), a step position in transient state."""

    address: int
    raw: int | float | None
    quality: Quality
    tag: bytes | None
    data: bytes
    bits: int = 0
    travelling: bool = False


@dataclass(frozen=True, slots=True)
class Asdu:
    """One decoded message. `negative`: the P/N bit, a negative confirmation."""

    type: int
    cause: int
    negative: bool
    test: bool
    common_address: int
    objects: tuple[InformationObject, ...]


def decode_apdu(apdu: bytes) -> Asdu | None:
    """Decode the message in an APDU; None for S and U frames, which carry none, and for types not used here.

    Raises:
        Garbled: the length does not fit the type and number of objects.
    """
    if len(apdu) < 6 or apdu[0] != 0x68 or apdu[1] != len(apdu) - 2:
        raise Garbled(tr("no APDU: {octets}", octets=apdu[:16].hex()), subject="iec104")
    if apdu[2] & 1:
        return None
    if len(apdu) < 12:
        raise Garbled(tr("an I frame of {bytes} bytes holds no ASDU", bytes=len(apdu)), subject="iec104")
    kind, structure, cause = apdu[6], apdu[7], apdu[8]
    size = OBJECT_BYTES.get(kind)
    if size is None:
        return None
    count, in_sequence = structure & 0x7F, bool(structure & 0x80)
    expected = 12 + (3 + count * size if in_sequence else count * (3 + size))
    if len(apdu) != expected or not count:
        raise Garbled(
            tr(
                "type {kind} with {count} objects fills {expected} bytes, got {bytes}",
                kind=kind,
                count=count,
                expected=expected,
                bytes=len(apdu),
            ),
            subject="iec104",
        )
    objects, place, address = [], 12, -1
    for _ in range(count):
        if in_sequence and address >= 0:
            address += 1
        else:
            address = int.from_bytes(apdu[place : place + 3], "little")
            place += 3
        objects.append(_object(kind, address, apdu[place : place + size]))
        place += size
    common_address = int.from_bytes(apdu[10:12], "little")
    return Asdu(kind, cause & 0x3F, bool(cause & 0x40), bool(cause & 0x80), common_address, tuple(objects))


def type_of(apdu: bytes) -> int:
    """The type of the message in an APDU; 0 where it holds none."""
    return apdu[6] if len(apdu) >= 12 and not apdu[2] & 1 else 0


def _object(kind: int, address: int, data: bytes) -> InformationObject:
    tag = data[-_TAG_BYTES:] if kind in FAMILIES and kind >= 30 else None
    family = FAMILIES.get(kind)
    raw: int | float | None = None
    bits, travelling = 0, False
    if family == 1:
        raw, bits = data[0] & 1, data[0] & 0xF0
    elif family == 3:
        state, bits = data[0] & 3, data[0] & 0xF0
        raw, travelling = {1: 0, 2: 1}.get(state), state == 0
    elif family == 5:
        travelling, bits = bool(data[0] & 0x80), data[1]
        raw = None if travelling else (data[0] & 0x7F ^ 0x40) - 0x40
    elif family == 9:
        raw = int.from_bytes(data[:2], "little", signed=True)
        bits = data[2] if kind != 21 else 0
    elif family == 11:
        raw, bits = int.from_bytes(data[:2], "little", signed=True), data[2]
    elif family == 13:
        number: float = struct.unpack("<f", data[:4])[0]
        raw, bits = (number if number - number == 0 else None), data[4]
    elif family == 15:
        raw, bits = int.from_bytes(data[:4], "little", signed=True), data[4] & INVALID
    elif family == 7:
        raw, bits = int.from_bytes(data[:4], "little"), data[4]
    elif family == 20:
        # The sixteen states; the next two octets tell which of them changed.
        raw, bits = int.from_bytes(data[:2], "little"), data[4]
    return InformationObject(address, raw, _quality(bits, raw is None), tag, data, bits, travelling)


def _quality(bits: int, empty: bool) -> Quality:
    if empty or bits & INVALID:
        return Quality.INVALID
    if bits & OVERFLOW:
        return Quality.OUT_OF_RANGE
    # Blocked: frozen at an earlier state; not topical: not refreshed. Both are values of unknown age.
    if bits & (NOT_TOPICAL | BLOCKED):
        return Quality.STALE
    return Quality.SUBSTITUTED if bits & SUBSTITUTED else Quality.GOOD


def decode_time(tag: bytes, utc_offset_min: int, near_utc_ms: int) -> int | None:
    """Decode a CP56Time2a into UTC ms; None where its IV bit is set or it is no valid time.

    Args:
        tag: the seven octets.
        utc_offset_min: standard time of the station's clock, minutes east of UTC; its SU bit (summer time) adds 60.
        near_utc_ms: time of arrival; the century that gives the nearest time is taken.
    """
    milliseconds = int.from_bytes(tag[:2], "little")
    if tag[2] & 0x80 or milliseconds > 59_999:
        return None
    minute, hour, summer = tag[2] & 0x3F, tag[3] & 0x1F, bool(tag[3] & 0x80)
    day, month, year = tag[4] & 0x1F, tag[5] & 0x0F, tag[6] & 0x7F
    if year > 99:
        return None
    near_year = (_EPOCH + timedelta(milliseconds=near_utc_ms)).year
    full_year = year + (near_year - year + 50) // 100 * 100
    try:
        local = datetime(full_year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    offset_ms = (utc_offset_min + (60 if summer else 0)) * 60_000
    return (local - _EPOCH) // timedelta(milliseconds=1) + milliseconds - offset_ms
