# SPDX-License-Identifier: GPL-3.0-or-later
"""The send queue of the uplink: the next batch to send and the batches in flight. No I/O, no clock.

Lanes, in the order they are served: live (with `live_first`: sealed since this connection began), asked (requested
again by the center), backlog (all others, oldest first), put off (refused for now). Within a lane batches are sent in
sequence order (B4). Asked batches may fill half of the window; the backlog may fill all but a quarter of it while
batches are asked for or `live_first` is set.

A batch that the center refused for now leaves the window at once, so that it blocks no others. The lane of such batches
opens `ack_timeout_s` after the first refusal, or when a connection begins and no back-off runs; it sends each of them
once, and opens again after twice that time, at most half an hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from collector.agent.buffer.buffer import Buffer, Outgoing, Position
from collector.points import agent_config

LaneName = Literal["live", "asked", "backlog", "put_off"]
_IDLE_S: Final = 5.0
_OFFER_AGAIN_MAX_S: Final = 1800.0


@dataclass(frozen=True, slots=True)
class SendLane:
    """A range of a plant's batches still to be sent: after position `after`, up to and with `up_to`; None: no bound."""

    name: LaneName
    plant: str
    after: Position | None
    up_to: Position | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The batch to send next; `index` is its lane's index in the request."""

    index: int
    outgoing: Outgoing


@dataclass(frozen=True, slots=True)
class Request:
    """A query to the buffer for the next batch: a snapshot of the lanes, safe to pass to another thread."""

    lanes: tuple[SendLane, ...]
    asked: tuple[Position, ...]
    in_flight: frozenset[Position]


@dataclass(slots=True)
class _Offer:
    """Back-off of a plant's batches that the center put off: time of the next retry, and the wait after it."""

    due_s: float
    rest_s: float


@dataclass(slots=True)
class _Flight:
    lane: LaneName
    plant: str
    sent_s: float
    is_overtaken: bool = False


def take(buffer: Buffer, request: Request) -> Choice | None:
    """The first batch found in the lanes of the request, in their order; runs on the uplink's thread."""
    for index, lane in enumerate(request.lanes):
        if lane.name == "asked":
            for position in request.asked:
                if position not in request.in_flight and (outgoing := buffer.read(position)) is not None:
                    return Choice(index, outgoing)
            continue
        after = lane.after
        find = buffer.next_put_off if lane.name == "put_off" else buffer.next_batch
        while (found := find(lane.plant, after, lane.up_to)) is not None:
            after = found
            if found not in request.in_flight and (outgoing := buffer.read(found)) is not None:
                return Choice(index, outgoing)
    return None


class Flights:
    """The lanes of all plants and the batches that wait for their ack. The caller gives times in monotonic seconds."""

    def __init__(self, settings: agent_config.UplinkConfig) -> None:
        self._settings = settings
        self._flights: dict[Position, _Flight] = {}
        self._lanes: dict[tuple[str, LaneName], SendLane] = {}
        self._asked: list[Position] = []
        self._offers: dict[str, _Offer] = {}
        self._turn = 0

    def begin(self, newest: Mapping[str, Position], sent: Mapping[str, Position | None] | None = None) -> None:
        """Begin a new connection: nothing is in flight, every batch not acknowledged is sent again.

        `sent`: per plant the last batch not to send again, because no acknowledgement ever comes (one-way).
        """
        self._flights.clear()
        self._lanes.clear()
        for plant, position in newest.items():
            self.restart(plant, position)
            if sent is not None:
                self._lanes[plant, "backlog"] = SendLane("backlog", plant, sent[plant])
            # For batches an earlier run left. A running back-off is not cut short by an unstable connection.
            self._offers.setdefault(plant, _Offer(0.0, self._settings.ack_timeout_s))

    def restart(self, plant: str, newest: Position) -> None:
        """Reset a plant's lanes; batches up to `newest` are backlog, later ones live."""
        self._flights = {p: f for p, f in self._flights.items() if f.plant != plant}
        self._lanes.pop((plant, "put_off"), None)
        live_first = self._settings.order == "live_first"
        self._lanes[plant, "backlog"] = SendLane("backlog", plant, None, newest if live_first else None)
        if live_first:
            self._lanes[plant, "live"] = SendLane("live", plant, newest)

    def ask(self, positions: Iterable[Position]) -> None:
        """Put batches into the asked lane."""
        self._asked = sorted({*self._asked, *positions})

    def request(self) -> Request | None:
        """The query for the next batch, plants in rotation; None while the window is full."""
        window = self._settings.window
        flying = [f.lane for f in self._flights.values()]
        if len(flying) >= window:
            return None
        reserve = max(1, window // 4) if self._asked or self._settings.order == "live_first" else 0
        names: list[LaneName] = ["live"]
        if self._asked and flying.count("asked") < max(1, window // 2):
            names.append("asked")
        if flying.count("backlog") < max(1, window - reserve):
            names.append("backlog")
        if flying.count("put_off") < max(1, window // 4):
            names.append("put_off")
        plants = sorted({plant for plant, _ in self._lanes})
        self._turn += 1
        start = self._turn % max(1, len(plants))
        turn = plants[start:] + plants[:start]
        lanes: list[SendLane] = []
        for name in names:
            if name == "asked":
                lanes.append(SendLane("asked", "", None))
            else:
                lanes += [lane for plant in turn if (lane := self._lanes.get((plant, name))) is not None]
        return Request(tuple(lanes), tuple(self._asked), frozenset(self._flights))

    def depart(self, request: Request, choice: Choice, now_s: float) -> bool:
        """Count a chosen batch as in flight, just before it is published; False where the lanes were reset."""
        lane, position = request.lanes[choice.index], choice.outgoing.position
        if lane.name == "asked":
            # The positions before it in the queue are in flight or no longer in the buffer.
            self._asked = [p for p in self._asked if p > position]
        elif self._lanes.get((lane.plant, lane.name)) is not lane:
            return False
        else:
            self._lanes[lane.plant, lane.name] = SendLane(lane.name, lane.plant, position, lane.up_to)
        self._flights[position] = _Flight(lane.name, choice.outgoing.plant, now_s)
        return True

    def land(self, positions: Iterable[Position]) -> None:
        """Take batches out of the window: the center has settled them, or the buffer no longer has them."""
        landed = sorted(positions)
        for position in landed:
            self._flights.pop(position, None)
        for position, flight in self._flights.items():
            flight.is_overtaken |= any(p.stream == position.stream and p > position for p in landed[-1:])

    def is_overtaken(self, position: Position) -> bool:
        """True if the center has settled a later batch of the same stream since this one was published."""
        flight = self._flights.get(position)
        return flight is not None and flight.is_overtaken

    def put_off(self, plant: str, positions: Iterable[Position], now_s: float) -> None:
        """Take batches that the center refused for now out of the window and plan their retry."""
        self.land(positions)
        rest_s = self._settings.ack_timeout_s
        self._offers.setdefault(plant, _Offer(now_s + rest_s, 2 * rest_s))

    def due_offers(self, now_s: float) -> list[str]:
        """Plants whose put-off batches are due for a retry."""
        return [plant for plant, offer in self._offers.items() if offer.due_s <= now_s]

    def offer_again(self, plant: str, last: Position | None, now_s: float) -> None:
        """Open the lane of put-off batches up to `last`; None: no batch is put off any more."""
        if last is None:
            del self._offers[plant]
            self._lanes.pop((plant, "put_off"), None)
            return
        offer = self._offers[plant]
        offer.due_s, offer.rest_s = now_s + offer.rest_s, min(2 * offer.rest_s, _OFFER_AGAIN_MAX_S)
        self._lanes[plant, "put_off"] = SendLane("put_off", plant, None, last)

    def in_flight(self, stream: int) -> Sequence[Position]:
        """The batches of a stream that wait for their ack."""
        return [p for p in self._flights if p.stream == stream]

    def overdue(self, now_s: float) -> list[Position]:
        """The batches whose ack is overdue, in sequence order."""
        limit = now_s - self._settings.ack_timeout_s
        return sorted(p for p, f in self._flights.items() if f.sent_s <= limit)

    def sent_again(self, position: Position, now_s: float) -> None:
        """Restart the ack timeout of an overdue batch that was published again."""
        if (flight := self._flights.get(position)) is not None:
            flight.sent_s, flight.is_overtaken = now_s, False

    def next_timeout_s(self, now_s: float) -> float:
        """Seconds until the next ack is overdue, at most 5."""
        due = min((f.sent_s for f in self._flights.values()), default=now_s + _IDLE_S) + self._settings.ack_timeout_s
        return min(_IDLE_S, max(0.0, due - now_s))
