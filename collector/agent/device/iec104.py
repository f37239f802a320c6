# SPDX-License-Identifier: GPL-3.0-or-later
"""A link of IEC 60870-5-104, through c104 (lib60870 inside): it starts, listens and interrogates, nothing else.

c104 keeps the link: start, test, windows k and w, timers t0 to t3, reconnection every second. Facts it is used by:

- `add_connection` would send a clock synchronisation, which writes the station's clock: `Init.NONE` always, and the
  interrogations are sent here, from a thread, because a call can block for a second.
- A callback runs on a foreign thread, and one that raises is never called again: each catches everything, puts what it
  got into a bounded queue and returns.
- Raw frames are told by a thread of their own, after their acknowledgement may have left; a point's callback runs
  before. So every point of the table is declared, and its callback waits until the frame is in the queue: a station
  that waits for N(R) knows that it is. The frame itself is what counts, whatever type it comes with.
- A link may stay OPEN_MUTED after its start: it is told to start once more, then rebuilt.
- Destroying a connection while it connects blocks the whole interpreter up to t0: such a one is kept until it has
  closed.
"""
# No `from __future__ import annotations` here: c104 compares the annotations of a callback with its own types.

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final

import c104

from collector.agent.device.asdu import COUNTER_INTERROGATION
from collector.config import Device as Settings
from collector.errors import Silent

_QUEUE_MAXIMUM: Final = 100_000
# Longest wait of the library's receiving thread for its own raw callback.
_HAND_OVER_S: Final = 1.0
# Frames remembered for it; a frame the library tells no point of stays here, so beyond this all are forgotten.
_QUEUED_MAXIMUM: Final = 1000
# Monitored types as the library names them.
_TYPES: Final = {
    1: c104.Type.M_SP_NA_1, 3: c104.Type.M_DP_NA_1, 9: c104.Type.M_ME_NA_1, 11: c104.Type.M_ME_NB_1,
    13: c104.Type.M_ME_NC_1, 15: c104.Type.M_IT_NA_1, 21: c104.Type.M_ME_ND_1, 30: c104.Type.M_SP_TB_1,
    31: c104.Type.M_DP_TB_1, 34: c104.Type.M_ME_TD_1, 35: c104.Type.M_ME_TE_1, 36: c104.Type.M_ME_TF_1,
    37: c104.Type.M_IT_TB_1,
}  # fmt: skip
# Marks between frames, where the link began and ended.
STARTED: Final = b"started"
LOST: Final = b"lost"


class HandOver:
    """Lets the receiving thread wait until the raw callback has queued the very frame it is about to acknowledge."""

    def __init__(self, places: Mapping[tuple[int, int], int]) -> None:
        self._places = places
        self._queued: Counter[bytes] = Counter()
        self._changed = threading.Condition()

    def arrived(self, apdu: bytes) -> None:
        """The raw callback has queued this frame. Only one that a declared point will be told of is remembered."""
        if len(apdu) >= 15:
            place = int.from_bytes(apdu[10:12], "little"), int.from_bytes(apdu[12:15], "little")
            if self._places.get(place) == apdu[6]:
                with self._changed:
                    if len(self._queued) > _QUEUED_MAXIMUM:
                        self._queued.clear()
                    self._queued[apdu[6:]] += 1
                    self._changed.notify_all()

    def wait_for(self, apdu: bytes, object_address: int) -> None:
        """Return when the frame is queued; at once for all but its first object. Gives up after `_HAND_OVER_S`."""
        asdu = apdu[6:]
        if int.from_bytes(asdu[6:9], "little") != object_address:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._queued[asdu] > 0, _HAND_OVER_S)
            self._queued[asdu] -= 1
            if self._queued[asdu] <= 0:
                del self._queued[asdu]


class Link:
    """One c104 client with one connection. What it got waits in `frames`: (stamp, APDU, or STARTED or LOST)."""

    def __init__(
        self, settings: Settings, server: tuple[str, int], places: Mapping[tuple[int, int], int],
        stamp: Callable[[], int], wake: Callable[[], None],
    ) -> None:  # fmt: skip
        """`server`: host and port; `places`: (common address, object address) of every point, with its type; `stamp`,
        `wake`: thread-safe."""
        self.frames: deque[tuple[int, bytes]] = deque()
        self.overflows = 0
        self._seen_open = False
        self._client = c104.Client(tick_rate_ms=100, command_timeout_ms=1000)
        connection = self._client.add_connection(ip=server[0], port=server[1], init=c104.Init.NONE)
        if connection is None:
            raise Silent("c104 takes no connection to this address", subject=settings.id)
        self._connection = connection
        parameters = connection.protocol_parameters
        parameters.send_window_size, parameters.receive_window_size = settings.k, settings.w
        parameters.connection_timeout, parameters.message_timeout = settings.t0_s, settings.t1_s
        parameters.confirm_interval, parameters.keep_alive_interval = settings.t2_s, settings.t3_s
        self._handed_over = HandOver(places)
        self._listen(connection, stamp, wake)
        self._declare(connection, places)

    def _declare(self, connection: c104.Connection, places: Mapping[tuple[int, int], int]) -> None:
        handed_over = self._handed_over

        def on_point(
            point: c104.Point,
            previous_info: c104.Information,  # noqa: ARG001 - its signature
            message: c104.IncomingMessage,
        ) -> c104.ResponseState:
            try:
                handed_over.wait_for(bytes(message.raw), point.io_address)
            except BaseException:
                self.overflows += 1
            return c104.ResponseState.SUCCESS

        for common_address in dict.fromkeys(address for address, _ in places):
            station = connection.add_station(common_address=common_address)
            for (address, object_address), kind in places.items():
                if address == common_address and station is not None:
                    point = station.add_point(io_address=object_address, type=_TYPES[kind])
                    if point is not None:
                        point.on_receive(callable=on_point)

    def _listen(self, connection: c104.Connection, stamp: Callable[[], int], wake: Callable[[], None]) -> None:
        frames = self.frames

        def on_frame(connection: c104.Connection, data: bytes) -> None:  # noqa: ARG001 - its signature
            try:
                if len(data) > 6:  # S and U frames carry nothing
                    if len(frames) < _QUEUE_MAXIMUM:
                        frames.append((stamp(), data))
                    else:
                        self.overflows += 1
                    self._handed_over.arrived(data)
                    wake()
            except BaseException:
                self.overflows += 1

        def on_state(connection: c104.Connection, state: c104.ConnectionState) -> None:  # noqa: ARG001
            try:
                # States are told late and in order: only a link that was seen open can be lost.
                if (state == c104.ConnectionState.OPEN) != self._seen_open:
                    self._seen_open = not self._seen_open
                    frames.append((stamp(), STARTED if self._seen_open else LOST))
                wake()
            except BaseException:
                self.overflows += 1

        connection.on_receive_raw(callable=on_frame)
        connection.on_state_change(callable=on_state)

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
        self._client.stop()

    def unmute(self) -> None:
        """Ask for data once more (STARTDT)."""
        self._connection.unmute()

    def interrogate(self, common_address: int, kind: int) -> None:
        """Send a general or a counter interrogation; may block shortly. Counters are read as they are, not frozen."""
        if kind == COUNTER_INTERROGATION:
            self._connection.counter_interrogation(
                common_address=common_address, freeze=c104.Frz.READ, wait_for_response=False
            )
        else:
            self._connection.interrogation(common_address=common_address, wait_for_response=False)
