# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper of simulated time: time advances once every client waits and every 104 frame caused so far is confirmed.

Protocol of a client (collector/base/clock.py): 8 bytes, a big-endian signed UTC ms, each way. Before an instant is
answered, the plants have advanced to it and every 104 frame this caused is confirmed by N(R). Beyond the end of the run
no request is answered. Time is driven by clients, or by the host's clock at any speed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol, cast

from collector.base.clock import Clock
from collector.model.interval import Interval
from simulators.faces.iec104_station import Station

_WIDTH: Final = 8


class Movable(Protocol):
    """An object that simulated time advances."""

    def advance(self, time_utc_ms: int) -> None:
        """Run everything up to and including an instant."""
        ...


class TimeKeeper:
    """Simulated time: the present instant, the waiting clients with their targets, and the hold."""

    def __init__(self, world: Movable, stations: Sequence[Station], run: Interval) -> None:
        self.run = run
        self.now_utc_ms = run.start_ms
        self.hold_at_ms: int | None = None
        self.advances = 0
        self._world = world
        self._stations = tuple(stations)
        self._waiting: dict[TimeClient, int | None] = {}
        self._settling = False
        self._followed = False
        self._linger_s = 0.0
        self._server: asyncio.Server | None = None
        for station in self._stations:
            station.on_acknowledged = self._settle

    @property
    def clients(self) -> int:
        """The number of connected clients."""
        return len(self._waiting)

    @property
    def holding(self) -> bool:
        """Whether time is held and every connected client waits for a later instant."""
        targets = self._waiting.values()
        hold = self.hold_at_ms
        return hold is not None and bool(targets) and all(t is not None and t > hold for t in targets)

    async def listen(self, host: str, port: int) -> int:
        """Open the time socket. Returns the port."""
        self._server = await asyncio.get_running_loop().create_server(lambda: TimeClient(self), host, port)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Close the socket; waiting clients see that the simulator has ended."""
        if self._server is not None:
            self._server.close()
        for client in tuple(self._waiting):
            client.abort()

    def hold(self, at_utc_ms: int) -> None:
        """Hold time at this instant until `release`; an instant already passed holds at once."""
        self.hold_at_ms = max(at_utc_ms, self.now_utc_ms)

    def release(self) -> None:
        """Let time go on."""
        self.hold_at_ms = None
        self.consider()

    def enter(self, client: TimeClient) -> None:
        """Add a client: time stands still until it waits too."""
        self._waiting[client] = None

    def leave(self, client: TimeClient) -> None:
        """Remove a client; time may go on for the others."""
        self._waiting.pop(client, None)
        self.consider()

    def wait(self, client: TimeClient, target_utc_ms: int) -> None:
        """Note the instant a client waits for."""
        self._waiting[client] = target_utc_ms
        self.consider()

    def consider(self) -> None:
        """Advance if every client waits, up to the nearest target, the hold or the end of the run."""
        if self._settling or self._followed or not self._waiting:
            return
        target: int | None = None
        for wanted in self._waiting.values():
            if wanted is None:
                return
            if target is None or wanted < target:
                target = wanted
        assert target is not None
        if target > self.run.end_ms or (self.hold_at_ms is not None and target > self.hold_at_ms):
            return
        self._go_to(target)

    def linger(self, seconds: float) -> None:
        """Delay the answer to the present advance by `seconds` of real time."""
        self._linger_s = max(self._linger_s, seconds)

    def _go_to(self, target_utc_ms: int) -> None:
        if target_utc_ms > self.now_utc_ms:
            self.now_utc_ms = target_utc_ms
            self.advances += 1
            self._world.advance(target_utc_ms)
        if self._followed and not self._waiting:
            return  # driven by the host's clock: time does not wait for confirmations of links
        if self._linger_s:
            self._settling = True
            asyncio.get_running_loop().call_later(self._linger_s, self._lingered)
            return
        for station in self._stations:
            if not station.acknowledged:
                self._settling = True
                return
        self._answer()

    def _settle(self) -> None:
        """Answer the clients once all frames are confirmed: a link has confirmed a frame, or is gone."""
        if self._settling and not self._linger_s and all(station.acknowledged for station in self._stations):
            self._settling = False
            self._answer()

    def _lingered(self) -> None:
        self._linger_s = 0.0
        self._settle()

    def _answer(self) -> None:
        now = self.now_utc_ms
        for client, target in self._waiting.items():
            if target is not None and target <= now:
                self._waiting[client] = None
                client.tell(now)

    async def follow(self, clock: Clock, speed: float, stop: asyncio.Event) -> None:
        """Advance by the host's clock, `speed` simulated seconds per real second, until the run ends or `stop`.

        Clients of the time socket are answered when their instant is reached. At speed 1 the stations' own clocks
        show the host's time, whatever month is played: an agent on the same host sees present time tags.
        """
        self._followed = True
        begun_s, start_ms = clock.monotonic_s(), self.now_utc_ms
        if speed == 1:
            for station in self._stations:
                station.tag_shift_ms = clock.now_utc_ms() - start_ms
        while not stop.is_set() and self.now_utc_ms < self.run.end_ms:
            await asyncio.sleep(min(0.05, 1 / speed))
            reached = start_ms + int((clock.monotonic_s() - begun_s) * 1000 * speed)
            reached = min(reached, self.run.end_ms if self.hold_at_ms is None else self.hold_at_ms)
            if reached > self.now_utc_ms and not self._settling:
                self._go_to(reached)


class TimeClient(asyncio.Protocol):
    """One connection to the time socket."""

    def __init__(self, keeper: TimeKeeper) -> None:
        self._keeper = keeper
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the present instant."""
        self._transport = cast(asyncio.Transport, transport)
        self._keeper.enter(self)
        self.tell(self._keeper.now_utc_ms)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Remove the client."""
        self._transport = None
        self._keeper.leave(self)

    def data_received(self, data: bytes) -> None:
        """Receive the instant the client waits for."""
        self._buffer += data
        while len(self._buffer) >= _WIDTH:
            target, self._buffer = self._buffer[:_WIDTH], self._buffer[_WIDTH:]
            self._keeper.wait(self, int.from_bytes(target, "big", signed=True))

    def tell(self, now_utc_ms: int) -> None:
        """Send the instant reached."""
        if self._transport is not None:
            self._transport.write(now_utc_ms.to_bytes(_WIDTH, "big", signed=True))

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()
