# SPDX-License-Identifier: GPL-3.0-or-later
"""A link of IEC 60870-5-104, through c104 (lib60870 inside): it starts, listens and interrogates, nothing else.

c104 runs the link: start, test, windows k and w, timers t0 to t3, reconnection every second. Facts this code relies on:

- `add_connection` would send a clock synchronisation, which writes the station's clock. So always `Init.MUTED`: the
  start is asked for by `startdt.py`, which says why; the interrogations are sent here, from a thread, because a call
  blocks until the answer ends.
- A callback runs on a foreign thread, and one that raises is never called again. So each callback catches everything,
  puts its message into a bounded queue and returns. The consumer of the queue raises what was caught.
- c104 2.2.1 never frees the two objects `on_receive_raw` is called with, nor the copy behind `message.raw`: 400 octets
  a frame, for ever. `raw_explain` is freed and shows every octet of the objects: the message is rebuilt from it.
- No point is declared. So c104 announces every message, whatever its type, by `on_new_point` before it acknowledges it,
  and delivers it later, in order, by `on_unexpected_message` on another thread. Announcements are counted, and the
  consumer of the queue waits until all deliveries have followed: a station that waits for N(R) knows that its message
  is processed.
- c104 waits at most 0.1 s for a lock and then drops the message, although it is acknowledged. A callback's lock is held
  while its thread waits for the interpreter, which may take that long on a busy machine, and the receiving thread needs
  the lock to deliver the next message. So the receiving thread waits until the message before has been delivered; a
  message that was announced but not delivered counts as lost, and everything is interrogated again.
- Only the call that sends an interrogation returns its end, and c104 2.2.1 goes to sleep without checking whether the
  end is there already: an end that is faster than the call is missed, 1 in 100 from a station on the same machine, 1
  in 4 on a very busy one. So the driver does not rely on the end alone; where no object comes either (a missed
  refusal looks like this) the station is interrogated again.
- Types that 104 does not have (short time tags, events of protection with them) are acknowledged and dropped without
  any callback. Only `on_receive_raw` shows them; for what it leaks it is set only while something is missing.
- A link whose STARTDT is not confirmed stays OPEN_MUTED, and c104 does not end it: the driver rebuilds it.
- An interrogation sent in the microsecond in which its connection ends can still end the process (between c104's look
  and its write): a chance at each interrogation only, and the service manager starts the agent again.
- Where the 0.1 s pass at the lock of a callback itself, c104 ends the process (`std::terminate`; it may not raise).
  That takes links that come and go on a machine starved of CPU. Nothing here can catch it; the service manager starts
  the agent again.
- Destroying a connection while it connects blocks the whole interpreter up to t0: such a connection is kept until it
  has closed.
"""
# No `from __future__ import annotations` here: c104 compares the annotations of a callback with its own types.

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import c104

from collector.agent.device.iec104.startdt import TransferStart
from collector.agent.device.iec104.thread_state import ThreadStates
from collector.agent.device.iec60870.asdu import COUNTER_INTERROGATION, INTERROGATION, TransmissionCause
from collector.base.errors import Silent
from collector.base.text import tr
from collector.points.agent_config import DeviceConfig as Settings

# Process information with a three-octet time tag: IEC 60870-5-104, 7.3 has none, and c104 drops it.
_DROPPED: Final = frozenset({2, 4, 6, 8, 10, 12, 14, 16, 17, 18, 19})
# Frames looked at each time something is missing, and how often in the life of a link: 0.6 MB in all.
_FRAMES_LOOKED_AT: Final = 500
_LOOKS: Final = 3
_QUEUE_MAXIMUM: Final = 100_000
# A connection that has brought so many messages lives long enough for the states of its threads to be kept.
KEEPS_AFTER: Final = 1000
_STATES: Final = ThreadStates()
# Longest waits for a delivery by another thread, s: of the consumer of the queue, and of the receiving thread.
_HAND_OVER_S: Final = 1.0
_TURN_S: Final = 5.0
# A call that waits for the end of an interrogation can't be interrupted, not even when the agent stops. An end that
# comes later than this is missed.
_LONGEST_CALL_S: Final = 5.0
# Cause of transmission -> interrogation that the message answers: of the station or a group, of counters.
_REQUEST_OF: Final = dict.fromkeys(
    range(TransmissionCause.INTERROGATED, TransmissionCause.COUNTERS_REQUESTED), INTERROGATION
) | dict.fromkeys(
    range(TransmissionCause.COUNTERS_REQUESTED, TransmissionCause.COUNTERS_REQUESTED + 5), COUNTER_INTERROGATION
)
# A call that lasted its timeout less this margin received no answer.
_CALL_MARGIN_S: Final = 0.01
# Attempts within t1 at a station that sends nothing.
_CALLS: Final = 3
# After a second refusal the first call may still be answered: a slow station refuses to start again meanwhile.
_CROSSING_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Started:
    """Marks the start of the link in the queue."""


@dataclass(frozen=True, slots=True)
class LinkLost:
    """Marks the loss of the link in the queue."""


@dataclass(frozen=True, slots=True)
class Initialised:
    """A station reported its initialisation."""

    common_address: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """A message of a type that c104 drops, with the address of its first object."""

    type: int
    common_address: int
    address: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of the interrogation of this number. Not `ended`: the station refused it, or it could not be sent."""

    number: int
    ended: bool


News = bytes | Started | LinkLost | Initialised | Dropped | Answered


class Arrivals:
    """Counts of messages announced and of messages delivered: never more than one apart."""

    def __init__(self) -> None:
        self._told = self._followed = 0
        self._changed = threading.Condition()

    def told(self) -> bool:
        """Count an announcement once all messages before it are delivered; False: that took too long."""
        with self._changed:
            done = self._changed.wait_for(lambda: self._followed >= self._told, _TURN_S)
            self._followed = self._told
            self._told += 1
            return done

    def followed(self) -> None:
        """Count a delivery: one more message is in the queue."""
        with self._changed:
            self._followed = min(self._told, self._followed + 1)
            self._changed.notify_all()

    def caught_up(self) -> bool:
        """Wait until all announced messages are in the queue; False: it took too long, they are given up."""
        if self._followed >= self._told:  # the usual case, asked several times a tick
            return True
        with self._changed:
            told = self._told
            done = self._changed.wait_for(lambda: self._followed >= told, _HAND_OVER_S)
            self._followed = max(self._followed, told)
            self._changed.notify_all()
            return done


def _apdu(message: c104.IncomingMessage) -> bytes:
    """The APDU of a message as received, except for its sequence numbers."""
    text = message.raw_explain
    objects = bytes.fromhex(text.rpartition("(")[2].rstrip(")")) if text.endswith(")") else b""
    structure = message.number_of_objects | message.is_sequence << 7
    cause = message.cot.value | message.is_negative << 6 | message.is_test << 7
    identifier = bytes([message.type.value, structure, cause, message.originator_address])
    asdu = identifier + message.common_address.to_bytes(2, "little") + objects
    return bytes([0x68, 4 + len(asdu), 0, 0, 0, 0]) + asdu


class Link:
    """One c104 client with one connection. Received items wait in the queue `news`: (stamp, APDU or mark)."""

    def __init__(
        self, settings: Settings, server: tuple[str, int], stamp: Callable[[], int], wake: Callable[[], None]
    ) -> None:
        """`server`: host and port; `stamp`, `wake`: thread-safe."""
        self.news: deque[tuple[int, News]] = deque()
        self.overflows = 0
        self.failure: Exception | None = None
        self._stamp, self._wake = stamp, wake
        self._seen_open = False
        self._messages = 0  # since the connection began
        self._arrivals = Arrivals()
        # Number of messages that answered an interrogation, by common address and kind; number of the last one sent.
        requests = (INTERROGATION, COUNTER_INTERROGATION)
        self._answers = {(address, kind): 0 for address in settings.common_addresses for kind in requests}
        self._newest = dict.fromkeys(self._answers, 0)
        self._stopped = threading.Event()
        self._call_s = min(settings.t1_s / _CALLS, max(settings.timeout_s, _LONGEST_CALL_S))
        self._client = c104.Client(tick_rate_ms=100, command_timeout_ms=round(self._call_s * 1000))
        connection = self._client.add_connection(ip=server[0], port=server[1], init=c104.Init.MUTED)
        if connection is None:
            raise Silent(tr("c104 takes no connection to this address"), subject=settings.id)
        self._connection = connection
        self._transfer = TransferStart(*server)
        parameters = connection.protocol_parameters
        parameters.send_window_size, parameters.receive_window_size = settings.k, settings.w
        parameters.connection_timeout, parameters.message_timeout = settings.t0_s, settings.t1_s
        parameters.confirm_interval, parameters.keep_alive_interval = settings.t2_s, settings.t3_s
        for common_address in settings.common_addresses:
            connection.add_station(common_address=common_address)
        self._looks = self._frames_left = 0
        self._listen(connection)
        self._listen_to_stations()

    def _listen(self, connection: c104.Connection) -> None:
        def on_message(
            connection: c104.Connection,  # noqa: ARG001 - its signature
            message: c104.IncomingMessage,
            cause: c104.Umc,
        ) -> None:
            # A message whose cause does not fit its type is announced a second time, for its points.
            if cause == c104.Umc.INVALID_COT:
                return
            try:
                apdu = _apdu(message)
                if (request := (message.common_address, _REQUEST_OF.get(apdu[8] & 0x3F, 0))) in self._answers:
                    self._answers[request] += 1
                self._put(apdu)
                self._messages += 1
                if self._messages > KEEPS_AFTER:
                    _STATES.keep()
            except BaseException as error:
                self._fail(error)
            if cause == c104.Umc.UNKNOWN_IOA:
                self._arrivals.followed()

        def on_state(connection: c104.Connection, state: c104.ConnectionState) -> None:  # noqa: ARG001
            try:
                # States are reported late and in order: only a link that was seen open can be lost.
                if (state == c104.ConnectionState.OPEN) != self._seen_open:
                    self._seen_open = not self._seen_open
                    self._messages = 0
                    self.news.append((self._stamp(), Started() if self._seen_open else LinkLost()))
                self._wake()
            except BaseException as error:
                self._fail(error)

        connection.on_unexpected_message(callable=on_message)
        connection.on_state_change(callable=on_state)

    def _listen_to_stations(self) -> None:
        def on_point(
            client: c104.Client,  # noqa: ARG001
            station: c104.Station,  # noqa: ARG001
            io_address: int,  # noqa: ARG001
            point_type: c104.Type,  # noqa: ARG001
        ) -> None:
            try:
                self.overflows += not self._arrivals.told()
                if self._messages > KEEPS_AFTER:
                    _STATES.keep()
            except BaseException as error:
                self._fail(error)

        def on_station(client: c104.Client, connection: c104.Connection, common_address: int) -> None:
            """Ignore a common address that is not configured; the library would add it."""

        def on_initialised(client: c104.Client, station: c104.Station, cause: c104.Coi) -> None:  # noqa: ARG001
            try:
                self._put(Initialised(station.common_address))
            except BaseException as error:
                self._fail(error)

        self._client.on_new_point(callable=on_point)
        self._client.on_new_station(callable=on_station)
        self._client.on_station_initialized(callable=on_initialised)

    def look(self) -> None:
        """Search the next frames for messages that c104 drops: something was missing, or not reported."""
        if self._frames_left > 0 or self._looks >= _LOOKS:
            return

        def on_raw(connection: c104.Connection, data: bytes) -> None:  # noqa: ARG001
            try:
                self._frames_left -= 1
                if len(data) >= 15 and not data[2] & 1 and data[6] in _DROPPED:
                    common_address = int.from_bytes(data[10:12], "little")
                    self._put(Dropped(data[6], common_address, int.from_bytes(data[12:15], "little")))
            except BaseException as error:
                self._fail(error)

        self._looks, self._frames_left = self._looks + 1, _FRAMES_LOOKED_AT
        self._connection.on_receive_raw(callable=on_raw)

    def _put(self, news: News) -> None:
        if len(self.news) < _QUEUE_MAXIMUM:
            self.news.append((self._stamp(), news))
        else:
            self.overflows += 1
        self._wake()

    def _fail(self, error: BaseException) -> None:
        """Note a failure on a thread that must not fail: its message counts as lost, `failure` tells why."""
        self.failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
        self.overflows += 1

    def catch_up(self) -> None:
        """Wait until every message that c104 has acknowledged to the station is in the queue."""
        if self._frames_left < 0:
            self._frames_left = 0
            self._connection.on_receive_raw(callable=None)  # type: ignore[arg-type]  # its stub forgets None
        if not self._arrivals.caught_up():
            self.overflows += 1

    @property
    def is_muted(self) -> bool:
        """True if the socket is connected but the start (STARTDT) is not confirmed."""
        return bool(self._connection.state == c104.ConnectionState.OPEN_MUTED)

    @property
    def is_closed(self) -> bool:
        """True if the connection is closed, so that it may be destroyed."""
        return bool(self._connection.state == c104.ConnectionState.CLOSED)

    def start(self) -> None:
        """Connect and keep connecting, in the library's threads."""
        self._client.start()

    def stop(self) -> None:
        """Disconnect; may block for a short time."""
        self._stopped.set()
        self._client.stop()

    def start_transfer(self) -> None:
        """Ask for the start of data transfer (STARTDT), once on each connection; may block for a look-up of a name."""
        self._transfer.ask()

    def interrogate(self, common_address: int, kind: int, number: int) -> None:
        """Send a general or a counter interrogation and wait for its end, queued as `Answered` with this number.

        Counters are read without freezing them. A refusal that was missed is noticed by asking again. No task waits for
        this call: its exceptions are reported as those of a callback.
        """
        try:
            self._interrogate(common_address, kind, number)
        except BaseException as error:
            self._fail(error)

    def _interrogate(self, common_address: int, kind: int, number: int) -> None:
        request = (common_address, kind)
        self._newest[request], before = number, self._answers[request]
        for repeats in range(_CALLS):
            ended = self._call(common_address, kind)
            if ended is False and repeats:
                self._stopped.wait(min(_CROSSING_S, self._call_s))
            self.catch_up()
            answers = self._answers[request] > before
            is_open = self._connection.state == c104.ConnectionState.OPEN
            if ended or (ended is False and is_open and not (repeats and answers)):
                self._put(Answered(number, ended))
                return
            if answers or not is_open or self._newest[request] != number:
                return

    def _call(self, common_address: int, kind: int) -> bool | None:
        """Send an interrogation and wait. True: ended; False: refused, or not sent; None: no answer was received."""
        begun_s = time.monotonic()
        try:
            ended = self._send(common_address, kind, wait=True)
        except RuntimeError:
            # c104 still waits for the call before, of a link lost since; that call would take the answer to this one.
            with contextlib.suppress(RuntimeError):
                self._send(common_address, kind, wait=False)
            self._stopped.wait(self._call_s)
            return None
        return ended if ended or time.monotonic() - begun_s < self._call_s - _CALL_MARGIN_S else None

    def _send(self, common_address: int, kind: int, *, wait: bool) -> bool:
        if kind == COUNTER_INTERROGATION:
            return self._connection.counter_interrogation(
                common_address=common_address, freeze=c104.Frz.READ, wait_for_response=wait
            )
        return self._connection.interrogation(common_address=common_address, wait_for_response=wait)
