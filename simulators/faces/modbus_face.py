# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated Modbus devices on sockets: TCP, or RTU frames over TCP; several slaves behind one port."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from simulators.faces.audit import Audit
from simulators.faces.listener import Face
from simulators.faces.modbus import ILLEGAL_FUNCTION, READ_FUNCTIONS, TARGET_SILENT, RtuFramer, Slave, TcpFramer, crc16
from simulators.faults.faults import Faults, peer_name

_REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True)
class _Known:
    """A cached valid request: the head of its answer, and the slice of the image that follows."""

    slave: Slave
    prefix: bytes
    image: bytearray
    start: int
    end: int


class ModbusPort(Face):
    """A listening port with the slaves behind it. `rtu`: RTU framing instead of MBAP."""

    def __init__(self, name: str, slaves: Sequence[Slave], audit: Audit, faults: Faults, *, rtu: bool) -> None:
        super().__init__(lambda: ModbusLink(self))
        self.name = name
        self.rtu = rtu
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
        framer = RtuFramer if self.rtu else TcpFramer
        slave = self.slaves.get(unit_id)
        if slave is None:
            refusal = bytes((pdu[0] & 0x7F | 0x80, TARGET_SILENT)) if pdu else b""
            return None if self.rtu or not pdu else TcpFramer.frame(transaction, unit_id, refusal)
        slave.requests += 1
        if not pdu:
            return framer.frame(transaction, unit_id, bytes((0x80, ILLEGAL_FUNCTION)))
        if fault := self.faults.hit(slave.device, "exception"):
            return framer.frame(transaction, unit_id, bytes((pdu[0] & 0x7F | 0x80, fault.value or 4)))
        answer = framer.frame(transaction, unit_id, slave.answer(pdu))
        self._remember(slave, unit_id, pdu)
        return answer

    def _remember(self, slave: Slave, unit_id: int, pdu: bytes) -> None:
        if self.faults.any_at(slave.device) or pdu[0] not in (3, 4) or len(self.known) >= _REMEMBERED:
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


class ModbusLink(asyncio.Protocol):
    """One connection to a port."""

    def __init__(self, port: ModbusPort) -> None:
        self._port = port
        self._framer = RtuFramer() if port.rtu else TcpFramer()
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
                self._port.faults.deliver(self._transport, answer, slave.device if slave else "")
