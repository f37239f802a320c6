# SPDX-License-Identifier: GPL-3.0-or-later
"""A link of IEC 60870-5-104, through c104 (lib60870 inside): it starts, listens and interrogates, nothing else.

c104 keeps the link: start, test, windows k and w, timers t0 to t3, reconnection every second. Facts it is used by:

- `add_connection` would send a clock synchronisation, which writes the station's clock: `Init.NONE` always, and the
  interrogations are sent here, from a thread, because a call blocks until the answer ends.
- A callback runs on a foreign thread, and one that raises is never called again: each catches everything, puts what it
  got into a bounded queue and returns. What it catches is raised by whoever takes from the queue.
- c104 2.2.1 never frees the two objects `on_receive_raw` is called with, nor the copy behind `message.raw`: 400 octets
  a frame, for ever. `raw_explain` is freed and shows every octet of the objects: the message is put together from it.
- No point is declared. So of each message, whatever its types, `on_new_point` tells before it is acknowledged, and
  `on_unexpected_message` hands it over later, in order, on another thread. The first are counted; who takes from the
  queue waits until the second have caught up: a station that waits for N(R) knows that its message is read.
- c104 waits for its locks no longer than 0.1 s and then drops the message, acknowledged as it is. A callback's lock is
  held while its thread waits for the interpreter, which may take that long on a busy machine, and the receiving thread
  wants it to hand the next message over. So that one waits until the message before has gone through; one that was told
  of and does not follow is counted as lost, and everything is asked again.
- The answer to an interrogation is told only by the call that sends it, and c104 2.2.1 goes to sleep without looking
  whether it is there already: one that is quicker than the call is missed, 1 in 100 from a station on the same
  machine, 1 in 4 where that is very busy. So an end is not all the device goes by, and where no object comes either,
  which is what a refusal looks like then, the station is asked again.
- A link may stay OPEN_MUTED after its start: it is told to start once more, then rebuilt.
- Destroying a connection while it connects blocks the whole interpreter up to t0: such a one is kept until it has
  closed.
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

from collector.agent.device.iec104.asdu import COUNTER_INTERROGATION, INTERROGATION, Cause
from collector.base.errors import Silent
from collector.points.agent_config import Device as Settings

_QUEUE_MAXIMUM: Final = 100_000
# Longest wait for what another thread has already been given: of who takes from the queue, of the receiving thread.
_HAND_OVER_S: Final = 1.0
_TURN_S: Final = 5.0
# A call that waits for the end of an interrogation cannot be broken off, not even when the agent ends. An end that
# comes later than this is missed.
_LONGEST_CALL_S: Final = 5.0
# Which interrogation a message answers, by its cause of transmission: of the station or a group, of counters.
_REQUEST_OF: Final = dict.fromkeys(range(Cause.INTERROGATED, Cause.COUNTERS_REQUESTED), INTERROGATION) | dict.fromkeys(
    range(Cause.COUNTERS_REQUESTED, Cause.COUNTERS_REQUESTED + 5), COUNTER_INTERROGATION
)
# A call that took all its time but this much has heard nothing.
_CALL_MARGIN_S: Final = 0.01
# Calls within t1 to a station of which nothing comes.
_CALLS: Final = 3
# What is refused a second time may still be answered: the station was slow, and refuses to begin anew.
_CROSSING_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Started:
    """Marks where the link began."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Marks where the link ended."""


@dataclass(frozen=True, slots=True)
class Initialised:
    """A station said that it was initialised."""

    common_address: int


@dataclass(frozen=True, slots=True)
class Answered:
    """How the interrogation of this number ended. Not `ended`: the station refused it, or it could not be sent."""

    number: int
    ended: bool


News = bytes | Started | Lost | Initialised | Answered


class Arrivals:
    """Messages that were told of, and those whose contents have followed: never more than one behind."""

    def __init__(self) -> None:
        self._told = self._followed = 0
        self._changed = threading.Condition()

    def told(self) -> bool:
        """One more has arrived, told of when those before have followed; False: that took too long."""
        with self._changed:
            done = self._changed.wait_for(lambda: self._followed >= self._told, _TURN_S)
            self._followed = self._told
            self._told += 1
            return done

    def followed(self) -> None:
        """The contents of one more are in the queue."""
        with self._changed:
            self._followed = min(self._told, self._followed + 1)
            self._changed.notify_all()

    def caught_up(self) -> bool:
        """Wait until all that had arrived are in the queue; False: it takes too long, and they count no more."""
        with self._changed:
            told = self._told
            done = self._changed.wait_for(lambda: self._followed >= told, _HAND_OVER_S)
            self._followed = max(self._followed, told)
            self._changed.notify_all()
            return done


def _apdu(message: c104.IncomingMessage) -> bytes:
    """A message as it came, but for its sequence numbers."""
    text = message.raw_explain
    objects = bytes.fromhex(text.rpartition("(")[2].rstrip(")")) if text.endswith(")") else b""
    structure = message.number_of_objects | message.is_sequence << 7
    cause = message.cot.value | message.is_negative << 6 | message.is_test << 7
    identifier = bytes([message.type.value, structure, cause, message.originator_address])
    asdu = identifier + message.common_address.to_bytes(2, "little") + objects
    return bytes([0x68, 4 + len(asdu), 0, 0, 0, 0]) + asdu


class Link:
    """One c104 client with one connection. What it got waits in `news`: (stamp, APDU or a mark between them)."""

    def __init__(
        self, settings: Settings, server: tuple[str, int], stamp: Callable[[], int], wake: Callable[[], None]
    ) -> None:
        """`server`: host and port; `stamp`, `wake`: thread-safe."""
        self.news: deque[tuple[int, News]] = deque()
        self.overflows = 0
        self.failure: Exception | None = None
        self._stamp, self._wake = stamp, wake
        self._seen_open = False
        self._arrivals = Arrivals()
        # Messages that answered an interrogation, by common address and kind; the number of the last one sent.
        requests = (INTERROGATION, COUNTER_INTERROGATION)
        self._answers = {(address, kind): 0 for address in settings.common_addresses for kind in requests}
        self._newest = dict.fromkeys(self._answers, 0)
        self._stopped = threading.Event()
        self._call_s = min(settings.t1_s / _CALLS, max(settings.timeout_s, _LONGEST_CALL_S))
        self._client = c104.Client(tick_rate_ms=100, command_timeout_ms=round(self._call_s * 1000))
        connection = self._client.add_connection(ip=server[0], port=server[1], init=c104.Init.NONE)
        if connection is None:
            raise Silent("c104 takes no connection to this address", subject=settings.id)
        self._connection = connection
        parameters = connection.protocol_parameters
        parameters.send_window_size, parameters.receive_window_size = settings.k, settings.w
        parameters.connection_timeout, parameters.message_timeout = settings.t0_s, settings.t1_s
        parameters.confirm_interval, parameters.keep_alive_interval = settings.t2_s, settings.t3_s
        for common_address in settings.common_addresses:
            connection.add_station(common_address=common_address)
        self._listen(connection)
        self._listen_to_stations()

    def _listen(self, connection: c104.Connection) -> None:
        def on_message(
            connection: c104.Connection,  # noqa: ARG001 - its signature
            message: c104.IncomingMessage,
            cause: c104.Umc,
        ) -> None:
            # One with a cause that does not fit its type is told of once more, for its points.
            if cause == c104.Umc.INVALID_COT:
                return
            try:
                apdu = _apdu(message)
                if (request := (message.common_address, _REQUEST_OF.get(apdu[8] & 0x3F, 0))) in self._answers:
                    self._answers[request] += 1
                self._put(apdu)
            except BaseException as error:
                self._fail(error)
            if cause == c104.Umc.UNKNOWN_IOA:
                self._arrivals.followed()

        def on_state(connection: c104.Connection, state: c104.ConnectionState) -> None:  # noqa: ARG001
            try:
                # States are told late and in order: only a link that was seen open can be lost.
                if (state == c104.ConnectionState.OPEN) != self._seen_open:
                    self._seen_open = not self._seen_open
                    self.news.append((self._stamp(), Started() if self._seen_open else Lost()))
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
            except BaseException as error:
                self._fail(error)

        def on_station(client: c104.Client, connection: c104.Connection, common_address: int) -> None:
            """An address that is not ours; the library would take it in."""

        def on_initialised(client: c104.Client, station: c104.Station, cause: c104.Coi) -> None:  # noqa: ARG001
            try:
                self._put(Initialised(station.common_address))
            except BaseException as error:
                self._fail(error)

        self._client.on_new_point(callable=on_point)
        self._client.on_new_station(callable=on_station)
        self._client.on_station_initialized(callable=on_initialised)

    def _put(self, news: News) -> None:
        if len(self.news) < _QUEUE_MAXIMUM:
            self.news.append((self._stamp(), news))
        else:
            self.overflows += 1
        self._wake()

    def _fail(self, error: BaseException) -> None:
        """Something failed on a thread that must not: what it was about counts as lost, and `failure` says why."""
        self.failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
        self.overflows += 1

    def catch_up(self) -> None:
        """Return when all that the station may take for received is in the queue."""
        if not self._arrivals.caught_up():
            self.overflows += 1

    @property
    def is_muted(self) -> bool:
        """Whether the socket is up and the start has not been confirmed."""
        return bool(self._connection.state == c104.ConnectionState.OPEN_MUTED)

    @property
    def is_closed(self) -> bool:
        """Whether nothing of it runs any more."""
        return bool(self._connection.state == c104.ConnectionState.CLOSED)

    def start(self) -> None:
        """Connect and keep connecting, in the library's threads."""
        self._client.start()

    def stop(self) -> None:
        """Disconnect; may block shortly."""
        self._stopped.set()
        self._client.stop()

    def unmute(self) -> None:
        """Ask for data once more (STARTDT); where c104 gave up a lock, the next time."""
        with contextlib.suppress(RuntimeError):
            self._connection.unmute()

    def interrogate(self, common_address: int, kind: int, number: int) -> None:
        """Send a general or a counter interrogation and wait for its end, which `Answered` tells under this number.

        Counters are read as they are, not frozen. A refusal that was missed is heard by asking again. Nobody waits for
        this call: what it raises is told as that of a callback is.
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
        """Whether the interrogation ended; False: refused, or it could not be sent; None: no answer was heard."""
        begun_s = time.monotonic()
        try:
            ended = self._send(common_address, kind, wait=True)
        except RuntimeError:
            # The one before, of a link that broke since, is still waited for; it would hear the answer to this one.
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
