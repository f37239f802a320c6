# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder of IEC 60870-5-101 and -104 messages: an ASDU to information objects. Pure; lengths are checked first.

Layout: type, VSQ, cause (1 or 2 octets, the second is the originator), common address (1 or 2); objects: address (1 to
3), elements, quality, time tag. 104 fixes 2, 2 and 3 octets; on a 101 link the three are settings.
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
    2: 1, 4: 3, 6: 5, 8: 7, 10: 9, 12: 11, 14: 13, 16: 15,
}  # fmt: skip
# Types with the three-octet time tag CP24Time2a: 101 has them, 104 does not.
SHORT_TAGGED: Final = frozenset({2, 4, 6, 8, 10, 12, 14, 16})
# Types of process information in monitor direction: what a station sends of its own accord.
PROCESS_TYPES: Final = range(1, 41)
_SHORT_TAG_BYTES: Final = 3
_HOUR_MS: Final = 3_600_000
# family -> octets of its element and quality
_ELEMENTS: Final[dict[int, int]] = {1: 1, 3: 1, 5: 2, 7: 5, 9: 3, 11: 3, 13: 5, 15: 5, 20: 5}


def _tag_bytes(kind: int) -> int:
    """How many octets of an object are its time tag."""
    if kind not in FAMILIES:
        return 0
    return _SHORT_TAG_BYTES if kind in SHORT_TAGGED else 7 if kind >= 30 else 0


# type -> octets of one object after its address
OBJECT_BYTES: Final[dict[int, int]] = {
    **{kind: _ELEMENTS[family] + _tag_bytes(kind) for kind, family in FAMILIES.items()},
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
    normalised value it is the 16-bit code. `tag`: the octets of its time tag, seven or three; `bits`: its quality bits,
    as in QDS. `travelling`: a double point between its two positions (00), a step position in transient state."""

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


@dataclass(frozen=True, slots=True)
class AsduLayout:
    """How many octets the cause of transmission, the common address and the object address have on a link."""

    cause: int = 2
    common_address: int = 2
    object_address: int = 3

    @property
    def head(self) -> int:
        """Octets before the first object."""
        return 2 + self.cause + self.common_address


LAYOUT_104: Final = AsduLayout()


def decode_asdu(data: bytes, layout: AsduLayout = LAYOUT_104, subject: str = "iec104") -> Asdu | None:
    """Decode a message; None for types not used here. `subject`: of the error.

    Raises:
        Garbled: the length does not fit the type and number of objects.
    """
    if len(data) < layout.head:
        raise Garbled(tr("a message of {bytes} bytes holds no ASDU", bytes=len(data)), subject=subject)
    kind, structure, cause = data[0], data[1], data[2]
    size = OBJECT_BYTES.get(kind)
    if size is None:
        return None
    count, in_sequence, wide = structure & 0x7F, bool(structure & 0x80), layout.object_address
    expected = layout.head + (wide + count * size if in_sequence else count * (wide + size))
    if len(data) != expected or not count:
        raise Garbled(
            tr(
                "type {kind} with {count} objects fills {expected} bytes, got {bytes}",
                kind=kind,
                count=count,
                expected=expected,
                bytes=len(data),
            ),
            subject=subject,
        )
    objects, place, address = [], layout.head, -1
    for _ in range(count):
        if in_sequence and address >= 0:
            address += 1
        else:
            address = int.from_bytes(data[place : place + wide], "little")
            place += wide
        objects.append(_object(kind, address, data[place : place + size]))
        place += size
    common_address = int.from_bytes(data[2 + layout.cause : layout.head], "little")
    return Asdu(kind, cause & 0x3F, bool(cause & 0x40), bool(cause & 0x80), common_address, tuple(objects))


def _object(kind: int, address: int, data: bytes) -> InformationObject:
    tag_bytes = _tag_bytes(kind)
    tag = data[-tag_bytes:] if tag_bytes else None
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
    """Decode a CP56Time2a or CP24Time2a into UTC ms; None where its IV bit is set or it is no valid time.

    Args:
        tag: the seven or three octets.
        utc_offset_min: standard time of the station's clock, minutes east of UTC; its SU bit (summer time) adds 60.
        near_utc_ms: time of arrival; the century, or the hour of a short tag, that gives the nearest time is taken.
    """
    milliseconds = int.from_bytes(tag[:2], "little")
    if tag[2] & 0x80 or milliseconds > 59_999:
        return None
    minute = tag[2] & 0x3F
    if len(tag) == _SHORT_TAG_BYTES:
        in_hour_ms = (minute - utc_offset_min) * 60_000 + milliseconds
        hours = (near_utc_ms - in_hour_ms + _HOUR_MS // 2) // _HOUR_MS
        return in_hour_ms + hours * _HOUR_MS if minute < 60 else None
    hour, summer = tag[3] & 0x1F, bool(tag[3] & 0x80)
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
