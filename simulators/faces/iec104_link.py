# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection to a simulated IEC 104 station: sequence numbers, windows, timers.

The link sends within the window k, acknowledges within w or t2, tests an idle connection after t3, and closes one that
does not acknowledge within t1. These timers belong to the protocol, so they run in real time also in a simulated month.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from simulators.faces import iec104
from simulators.faces.audit import Audit
from simulators.faces.listener import Connection
from simulators.faults.faults import Fault, Faults, peer_name

_QUEUE_LIMIT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Timing:
    """The station's parameters (IEC 60870-5-104, 9.6), seconds."""

    k: int = 12
    w: int = 8
    t1_s: float = 15.0
    t2_s: float = 10.0
    t3_s: float = 20.0


class ServedStation(Protocol):
    """The interface of a station to its links."""

    device: str
    common_addresses: tuple[int, ...]
    timing: Timing
    audit: Audit
    faults: Faults
    requests: int
    links: set[Connection]
    sessions: set[StationLink]
    on_acknowledged: Callable[[], None]

    def start(self, link: StationLink) -> list[bytes]:
        """Note that the link carries data from now on; returns the ASDUs that wait to be sent over it."""

    def keep(self, unconfirmed: Sequence[bytes]) -> None:
        """Take back the unconfirmed ASDUs of a link that stopped."""

    def interrogation_answer(self, request: iec104.Asdu) -> list[bytes]:
        """The ASDUs that answer an interrogation, in order."""


class StationLink(asyncio.Protocol):
    """One connection: sequence numbers, windows, timers. `address`: which of the station's addresses it came to."""

    def __init__(self, station: ServedStation, address: int = 1) -> None:
        self._station = station
        self.address = address
        self._framer = iec104.ApduFramer()
        self._transport: asyncio.Transport | None = None
        self.peer = ""
        self._timer: asyncio.TimerHandle | None = None
        self._queue: deque[bytes] = deque()
        self._unconfirmed: deque[bytes] = deque()
        self._started = False
        self._next_send = 0
        self._next_receive = 0
        self._confirmed = 0
        self._acknowledged_received = 0
        self._oldest_unconfirmed_s = 0.0
        self._oldest_unacknowledged_s = 0.0
        self._last_heard_s = 0.0
        self._test_sent_s = 0.0
        self._check_s = 0.5
        self.overflowed = 0

    @property
    def settled(self) -> bool:
        """Whether no frame is queued or waits for its N(R); True for a stopped link."""
        return not self._started or (not self._queue and self._next_send == self._confirmed)

    @property
    def started(self) -> bool:
        """Whether the link carries data."""
        return self._started

    def stop(self) -> list[bytes]:
        """Stop carrying data; returns the unconfirmed ASDUs in order."""
        self._started = False
        left = [*self._unconfirmed, *self._queue]
        self._unconfirmed.clear()
        self._queue.clear()
        return left

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A controlling station has connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport does not inherit from it
        self.peer = peer_name(transport)
        self._station.links.add(self)
        self._station.sessions.add(self)
        self._last_heard_s = self._clock_s()
        timing = self._station.timing
        self._check_s = min(0.5, timing.t1_s / 2, timing.t2_s / 2, timing.t3_s / 2)
        self._timer = asyncio.get_running_loop().call_later(self._check_s, self._check_timers)

    def connection_lost(self, _exc: Exception | None) -> None:
        """The controlling station has disconnected; frames it did not confirm are lost."""
        self._transport = None
        self._station.keep(self.stop() if self._started else [])
        if self._timer is not None:
            self._timer.cancel()
        self._station.links.discard(self)
        self._station.sessions.discard(self)
        self._station.on_acknowledged()

    def abort(self) -> None:
        """Reset the connection."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Process frames in order; bytes that are no APDU close the link, as the standard requires."""
        station = self._station
        station.audit.chunks.append((station.device, data))
        self._last_heard_s = self._clock_s()
        self._test_sent_s = 0.0
        try:
            for frame in self._framer.feed(data):
                if frame.kind == "U":
                    self._take_u(frame.function)
                    continue
                if not self._confirm(frame.receive):
                    self.abort()
                    return
                if frame.kind == "I" and not self._take_i(frame):
                    self.abort()
                    return
        except iec104.FrameError as error:
            station.audit.forbid(station.device, data, str(error))
            self.abort()
            return
        self._pump()
        if self.settled:
            station.on_acknowledged()

    def _confirm(self, receive: int) -> bool:
        """Process an N(R); False where it confirms a frame that was never sent."""
        if (receive - self._confirmed) % 32768 > (self._next_send - self._confirmed) % 32768:
            return False
        for _ in range((receive - self._confirmed) % 32768):
            if self._unconfirmed:  # a stopped link has handed its unconfirmed frames on
                self._unconfirmed.popleft()
        self._confirmed = receive
        self._oldest_unconfirmed_s = self._clock_s()
        return True

    def _take_i(self, frame: iec104.Apdu) -> bool:
        if frame.send != self._next_receive or not self._started:
            return False
        if self._next_receive == self._acknowledged_received:
            self._oldest_unacknowledged_s = self._clock_s()
        self._next_receive = (self._next_receive + 1) % 32768
        self._serve(iec104.decode_asdu(frame.asdu), frame.asdu)
        if (self._next_receive - self._acknowledged_received) % 32768 >= self._station.timing.w:
            self._acknowledge()
        return True

    def _serve(self, request: iec104.Asdu, raw: bytes) -> None:
        station = self._station
        station.requests += 1
        if request.type_id not in (iec104.INTERROGATION, iec104.COUNTER_INTERROGATION):
            station.audit.forbid(station.device, raw, f"IEC 104 type {request.type_id} is not an interrogation")
            self._refuse(raw, iec104.UNKNOWN_TYPE)
        elif request.cause != iec104.ACTIVATION:
            self._refuse(raw, iec104.UNKNOWN_CAUSE)
        elif request.common_address not in (*station.common_addresses, iec104.BROADCAST):
            self._refuse(raw, iec104.UNKNOWN_ADDRESS)
        else:
            for asdu in station.interrogation_answer(request):
                self.send(asdu)

    def _refuse(self, raw: bytes, cause: int) -> None:
        self.send(raw[:2] + bytes((cause | iec104.NEGATIVE,)) + raw[3:])

    def _take_u(self, function: int) -> None:
        if function == iec104.STARTDT_ACT:
            if self._hit("no_start_con"):
                return
            waiting = self._station.start(self)
            self._started = True
            self._write(iec104.encode_u(iec104.STARTDT_CON))
            for asdu in waiting:
                self.send(asdu)
        elif function == iec104.STOPDT_ACT:
            self._station.keep(self.stop())
            if self._next_receive != self._acknowledged_received:
                self._acknowledge()
            self._write(iec104.encode_u(iec104.STOPDT_CON))
        elif function == iec104.TESTFR_ACT:
            if not self._hit("no_test_con"):
                self._write(iec104.encode_u(iec104.TESTFR_CON))
        elif function != iec104.TESTFR_CON:
            raise iec104.FrameError(f"a U frame a controlling station never sends: {function:#04x}")

    def send(self, asdu: bytes) -> None:
        """Queue an ASDU for a started link; beyond the queue's limit the oldest is dropped and counted."""
        if not self._started:
            return
        if len(self._queue) >= _QUEUE_LIMIT:
            self._queue.popleft()
            self.overflowed += 1
        self._queue.append(asdu)
        self._pump()

    def _pump(self) -> None:
        while self._queue and self._started and (self._next_send - self._confirmed) % 32768 < self._window():
            if self._next_send == self._confirmed:
                self._oldest_unconfirmed_s = self._clock_s()
            if not self._hit("no_ack"):
                self._acknowledged_received = self._next_receive
            send, receive = self._next_send, self._acknowledged_received
            if fault := self._hit("sequence"):
                send, receive = (send, receive + fault.value) if fault.value else (send + 1, receive)
            asdu = self._queue.popleft()
            self._unconfirmed.append(asdu)
            self._next_send = (self._next_send + 1) % 32768
            self._write(iec104.encode_i(send % 32768, receive % 32768, asdu))

    def _window(self) -> int:
        """The number of frames that may wait for confirmation: k, or more in a faulty station."""
        fault = self._hit("window")
        return self._station.timing.k if fault is None else fault.value or 32767

    def _hit(self, kind: str) -> Fault | None:
        return self._station.faults.hit(self._station.device, kind)

    def _acknowledge(self) -> None:
        if self._hit("no_ack"):
            return
        self._acknowledged_received = self._next_receive
        self._write(iec104.encode_s(self._next_receive))

    def _write(self, frame: bytes) -> None:
        if self._transport is not None:
            self._station.faults.deliver(self._transport, frame, self._station.device)

    def _check_timers(self) -> None:
        if self._transport is None:
            return
        now_s, timing = self._clock_s(), self._station.timing
        check_s = self._check_s
        if fault := self._hit("test_often"):
            check_s = max(fault.value, 1) / 1000
            self._write(iec104.encode_u(iec104.TESTFR_ACT))
        self._timer = asyncio.get_running_loop().call_later(check_s, self._check_timers)
        late_confirm = self._next_send != self._confirmed and now_s - self._oldest_unconfirmed_s > timing.t1_s
        if late_confirm or (self._test_sent_s and now_s - self._test_sent_s > timing.t1_s):
            self.abort()
            return
        if self._next_receive != self._acknowledged_received and now_s - self._oldest_unacknowledged_s > timing.t2_s:
            self._acknowledge()
        if now_s - self._last_heard_s > timing.t3_s and not self._test_sent_s:
            self._test_sent_s = now_s
            self._write(iec104.encode_u(iec104.TESTFR_ACT))

    def _clock_s(self) -> float:
        return asyncio.get_running_loop().time()
