# SPDX-License-Identifier: GPL-3.0-or-later
"""Which batch goes next, and which are in flight: the uplink's bookkeeping, without I/O and without a clock.

Lanes in the order they are served: live (with `live_first`: sealed since the connection stands), asked (again, by the
center), backlog (the rest, oldest first). Within a lane batches go in sequence order (B4). A quarter of the window is
kept from the backlog while another lane has something, and half of it from what was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from collector.agent.buffer import Buffer, Outgoing, Position
from collector.points import agent_config

LaneName = Literal["live", "asked", "backlog"]
_IDLE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Lane:
    """A stretch of a plant's batches that are still to be sent: after one position, up to another, both optional."""

    name: LaneName
    plant: str
    after: Position | None
    up_to: Position | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What goes next; `index` is the lane's place in the request."""

    index: int
    outgoing: Outgoing


@dataclass(frozen=True, slots=True)
class Request:
    """What the buffer is asked for: a picture of the lanes, safe to hand to another thread."""

    lanes: tuple[Lane, ...]
    asked: tuple[Position, ...]
    in_flight: frozenset[Position]


@dataclass(slots=True)
class _Flight:
    lane: LaneName
    plant: str
    sent_s: float


def take(buffer: Buffer, request: Request) -> Choice | None:
    """The first batch any lane of the request has; runs on the uplink's thread."""
    for index, lane in enumerate(request.lanes):
        if lane.name == "asked":
            for position in request.asked:
                if position not in request.in_flight and (outgoing := buffer.read(position)) is not None:
                    return Choice(index, outgoing)
            continue
        after = lane.after
        while (found := buffer.next_batch(lane.plant, after, lane.up_to)) is not None:
            after = found
            if found not in request.in_flight and (outgoing := buffer.read(found)) is not None:
                return Choice(index, outgoing)
    return None


class Flights:
    """Lanes of all plants and the batches that await their ack. Times are monotonic seconds given by the caller."""

    def __init__(self, settings: agent_config.Uplink) -> None:
        self._settings = settings
        self._flights: dict[Position, _Flight] = {}
        self._lanes: dict[tuple[str, LaneName], Lane] = {}
        self._asked: list[Position] = []
        self._turn = 0

    def begin(self, newest: Mapping[str, Position]) -> None:
        """A new connection: nothing is in flight, everything not acknowledged is to be sent again."""
        self._flights.clear()
        self._lanes.clear()
        for plant, position in newest.items():
            self.restart(plant, position)

    def restart(self, plant: str, newest: Position) -> None:
        """Start a plant's lanes over; `newest` divides what is backlog from what will be live."""
        self._flights = {p: f for p, f in self._flights.items() if f.plant != plant}
        live_first = self._settings.order == "live_first"
        self._lanes[plant, "backlog"] = Lane("backlog", plant, None, newest if live_first else None)
        if live_first:
            self._lanes[plant, "live"] = Lane("live", plant, newest)

    def ask(self, positions: Iterable[Position]) -> None:
        """Put batches into the asked lane."""
        self._asked = sorted({*self._asked, *positions})

    def request(self) -> Request | None:
        """What may go now, plants taking turns; None while the window is full."""
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
        plants = sorted({plant for plant, _ in self._lanes})
        self._turn += 1
        start = self._turn % max(1, len(plants))
        turn = plants[start:] + plants[:start]
        lanes: list[Lane] = []
        for name in names:
            if name == "asked":
                lanes.append(Lane("asked", "", None))
            else:
                lanes += [lane for plant in turn if (lane := self._lanes.get((plant, name))) is not None]
        return Request(tuple(lanes), tuple(self._asked), frozenset(self._flights))

    def depart(self, request: Request, choice: Choice, now_s: float) -> bool:
        """A chosen batch is about to be published; False where the lanes were started over meanwhile."""
        lane, position = request.lanes[choice.index], choice.outgoing.position
        if lane.name == "asked":
            # What stood before it in the queue is in flight or no longer here.
            self._asked = [p for p in self._asked if p > position]
        elif self._lanes.get((lane.plant, lane.name)) is not lane:
            return False
        else:
            self._lanes[lane.plant, lane.name] = Lane(lane.name, lane.plant, position, lane.up_to)
        self._flights[position] = _Flight(lane.name, choice.outgoing.plant, now_s)
        return True

    def land(self, positions: Iterable[Position]) -> None:
        """The center is done with them, or they are no longer here."""
        for position in positions:
            self._flights.pop(position, None)

    def in_flight(self, stream: int) -> Sequence[Position]:
        """What awaits its ack in a stream."""
        return [p for p in self._flights if p.stream == stream]

    def overdue(self, now_s: float) -> list[Position]:
        """Those whose ack should have come, in sequence order."""
        limit = now_s - self._settings.ack_timeout_s
        return sorted(p for p, f in self._flights.items() if f.sent_s <= limit)

    def sent_again(self, position: Position, now_s: float) -> None:
        """An overdue batch was published again."""
        if (flight := self._flights.get(position)) is not None:
            flight.sent_s = now_s

    def next_timeout_s(self, now_s: float) -> float:
        """Seconds until the next ack is overdue."""
        due = min((f.sent_s for f in self._flights.values()), default=now_s + _IDLE_S) + self._settings.ack_timeout_s
        return min(_IDLE_S, max(0.0, due - now_s))
