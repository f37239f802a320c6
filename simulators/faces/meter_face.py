# SPDX-License-Identifier: GPL-3.0-or-later
"""A line of simulated meters of one protocol, and a connection to it."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, cast

from simulators.faces.audit import Audit
from simulators.faces.listener import Face
from simulators.faults.faults import Faults, peer_name

R = TypeVar("R")
Q = TypeVar("Q")


class RequestFramer(Protocol[R]):
    """Finds requests in a byte stream."""

    def feed(self, data: bytes) -> list[R]:
        """Add received bytes; returns the requests completed."""
        ...


class MeterFace(Face, Generic[Q]):
    """A line of meters. `checksum_at`: index of an answer's checksum."""

    checksum_at = -2

    def __init__(self, name: str, framer: Callable[[], RequestFramer[Q]], audit: Audit, faults: Faults) -> None:
        super().__init__(lambda: LineLink(self, framer()))
        self.name, self.audit, self.faults = name, audit, faults

    @abstractmethod
    def answers(self, request: Q) -> list[tuple[bytes, str]]:
        """(frame, device) of every meter addressed."""

    @abstractmethod
    def echo(self, request: Q) -> bytes:
        """The request as it was on the line."""


class LineLink(asyncio.Protocol, Generic[Q]):
    """One connection to a line."""

    def __init__(self, line: MeterFace[Q], framer: RequestFramer[Q]) -> None:
        self._line, self._framer = line, framer
        self._transport: asyncio.Transport | None = None
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A master has connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport does not inherit from it
        self.peer = peer_name(transport)
        self._line.links.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """The master has disconnected."""
        self._transport = None
        self._line.links.discard(self)

    def abort(self) -> None:
        """Reset the connection."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer every complete request."""
        line = self._line
        line.audit.chunks.append((line.name, data))
        for request in self._framer.feed(data):
            for frame, device in line.answers(request):
                if self._transport is not None:
                    echo = line.echo(request)
                    line.faults.deliver(self._transport, frame, device, checksum_at=line.checksum_at, request=echo)
