# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated Modbus devices: TCP, UDP, RTU or ASCII frames; several slaves behind one port or on one line."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from simulators.faces.audit import Audit
from simulators.faces.listener import Face
from simulators.faces.modbus import (
    ILLEGAL_FUNCTION,
    READ_FUNCTIONS,
    TARGET_SILENT,
    AsciiFramer,
    RtuFramer,
    Slave,
    TcpFramer,
    crc16,
)
from simulators.faults.faults import Faults, peer_name

_REMEMBERED: Final = 256
Framing = Literal["tcp", "udp", "rtu", "ascii"]
_FRAMERS: Final[dict[Framing, type[TcpFramer | RtuFramer | AsciiFramer]]] = {
    "tcp": TcpFramer, "udp": TcpFramer, "rtu": RtuFramer, "ascii": AsciiFramer,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Known:
    """A cached valid request: the head of its answer, and the slice of the image that follows."""

    slave: Slave
    prefix: bytes
    image: bytearray
    start: int
    end: int


class ModbusPort(Face):
    """A listening port, or a serial line, with the slaves behind it."""

    def __init__(self, name: str, slaves: Sequence[Slave], audit: Audit, faults: Faults, *, framing: Framing) -> None:
        super().__init__(lambda: ModbusLink(self), datagrams=framing == "udp")
        self.name = name
        self.framer = _FRAMERS[framing]
        self.rtu, self.numbered = framing == "rtu", framing in ("tcp", "udp")
        self.slaves = {slave.unit_id: slave for slave in slaves}
        self.audit = audit
        self.known: dict[bytes, _Known] = {}
        self.faults = faults

    def forget(self) -> None:
        """Clear the cache of requests after a change of the slaves."""
        self.known.clear()

    def answer(self, transaction: bytes, unit_id: int, pdu: bytes) -> bytes | None:
        """The whole framed answer to a request, or None where a device stays silent."""
        if not pdu or pdu[0] not in READ_FUNCTIONS:
            self.audit.forbid(self.name, bytes((unit_id,)) + pdu, "Modbus function that is not a reading one")
        framer = self.framer
        slave = self.slaves.get(unit_id)
        if slave is None:
            refusal = bytes((pdu[0] & 0x7F | 0x80, TARGET_SILENT)) if pdu else b""
            return None if not self.numbered or not pdu else TcpFramer.frame(transaction, unit_id, refusal)
        slave.requests += 1
        if not pdu:
            return framer.frame(transaction, unit_id, bytes((0x80, ILLEGAL_FUNCTION)))
        if (fault := self.faults.active_at(slave.device, "mute")) and _asks_for(pdu, fault.value):
            return None
        if fault := self.faults.hit(slave.device, "own_number"):
            transaction = fault.value.to_bytes(2, "big")
        if fault := self.faults.hit(slave.device, "exception"):
            return framer.frame(transaction, unit_id, bytes((pdu[0] & 0x7F | 0x80, fault.value or 4)))
        answer = framer.frame(transaction, unit_id, slave.answer(pdu))
        self._remember(slave, unit_id, pdu)
        return answer

    def _remember(self, slave: Slave, unit_id: int, pdu: bytes) -> None:
        if (
            self.framer is AsciiFramer
            or self.faults.any_at(slave.device)
            or pdu[0] not in (3, 4)
            or len(self.known) >= _REMEMBERED
        ):
            return
        window = slave.window(pdu[0], int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big"))
        if isinstance(window, int) or len(pdu) != 5:
            return
        area, start, end = window
        head = bytes((unit_id, pdu[0], end - start))
        if self.rtu:
            request = bytes((unit_id,)) + pdu
            self.known[request + crc16(request)] = _Known(slave, head, area.image, start, end)
        else:
            prefix = b"\0\0" + (end - start + 3).to_bytes(2, "big") + head
            self.known[b"\0\0\0\6" + bytes((unit_id,)) + pdu] = _Known(slave, prefix, area.image, start, end)


def _asks_for(pdu: bytes, address: int) -> bool:
    start = int.from_bytes(pdu[1:3], "big")
    return start <= address < start + int.from_bytes(pdu[3:5], "big")


class ModbusLink(asyncio.Protocol):
    """One connection to a port."""

    def __init__(self, port: ModbusPort) -> None:
        self._port = port
        self._framer = port.framer()
        self._transport: asyncio.Transport | None = None
        self.peer = ""
        self._idle = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport does not inherit from it
        self.peer = peer_name(transport)
        self._port.links.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """A client has disconnected."""
        self._port.links.discard(self)
        self._transport = None

    def abort(self) -> None:
        """Reset the connection."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer complete requests; repeated ones come from the cache."""
        port = self._port
        port.audit.chunks.append((port.name, data))
        if self._idle and self._transport is not None:
            if port.rtu:
                hit = port.known.get(data)
                if hit is not None:
                    hit.slave.requests += 1
                    body = hit.prefix + hit.image[hit.start : hit.end]
                    self._transport.write(body + crc16(body))
                    return
            else:
                hit = port.known.get(data[2:])
                if hit is not None:
                    hit.slave.requests += 1
                    self._transport.write(data[:2] + hit.prefix + hit.image[hit.start : hit.end])
                    return
        self._slowly(data)

    def _slowly(self, data: bytes) -> None:
        frames = self._framer.feed(data)
        if frames is None:
            self._port.audit.forbid(self._port.name, data, "not Modbus")
            self.abort()
            return
        self._idle = self._framer.empty
        for transaction, unit_id, pdu in frames:
            answer = self._port.answer(transaction, unit_id, pdu)
            if answer is not None and self._transport is not None:
                slave = self._port.slaves.get(unit_id)
                request = self._port.framer.frame(transaction, unit_id, pdu)
                self._port.faults.deliver(self._transport, answer, slave.device if slave else "", request=request)
