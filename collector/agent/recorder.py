# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 2, record: readings become one record per unit and tick, and one more at every status change. Pure, no waiting.

A tick record carries the scheduled tick as its time, and for each quantity the newest value known by then; what is
older than its source's limit is nothing, quality stale. It is asked for `reorder_ms` after its instant, so that a
change tagged by its device before the tick has arrived and takes its place; a change tagged before the last record of
its unit comes too late for that and is recorded at its arrival, quality late_tag, tag kept.

Within one clock era the times of a unit strictly grow (B9): a step back of the clock opens a new era. Where a quantity
has a primary and a backup source, the backup stands in while the primary gives nothing usable; the values it gave are
substituted, which is how a switch is recorded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Final, NamedTuple

from collector.agent.device.base import Reading
from collector.errors import InvariantBroken
from collector.model.quantity import QUANTITIES
from collector.model.record import Cause, ClockState, GapRecord, Quality, UnitLayout, UnitRecord
from collector.points import Point

# A change of one of these makes a record of its own.
CHANGE_QUANTITIES: Final = frozenset(
    {"on_grid", "agc_in_service", "avc_in_service", "condenser", "spilling", "avc_target_kv"}
)
# A tag further ahead of our clock than this is not believed: the change is recorded at its arrival.
_AHEAD_LIMIT_MS: Final = 1500


@dataclass(frozen=True, slots=True)
class Source:
    """Where a quantity of a unit comes from. `stale_ms`: how old its newest value may be; `backup`: second choice.

    `device`: the id of the device the point is read from.
    """

    point: Point
    unit: str
    stale_ms: int
    device: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """What must be equal for a value to mean the same after a reload: all but where the row stands in its file."""
        return (self.device, self.unit, replace(self.point, file="", row=0, description=""))

    @property
    def backup(self) -> bool:
        """Whether another point is asked first."""
        return self.point.backup


@dataclass(slots=True)
class _State:
    """What is known of one source. `at_ms`: the instant its value belongs to; `held_ms`: vouched for up to then.

    `stale_ms`: as in `source`; `watched`: first choice of a quantity whose changes make records.
    """

    source: Source
    unit: _Unit
    stale_ms: int
    watched: bool = False
    at_ms: int = 0
    held_ms: int = 0
    value: int | None = None
    quality: Quality = Quality.SILENT

    def at(self, time_ms: int) -> tuple[int | None, Quality]:
        """The value as of `time_ms`, judged by its age."""
        limit_ms = time_ms - self.stale_ms
        if self.at_ms < limit_ms and self.held_ms < limit_ms and self.quality < Quality.STALE:
            return None, Quality.STALE
        return self.value, self.quality


@dataclass(frozen=True, slots=True)
class Newest:
    """What is known of a source at present. `at_utc_ms`: the instant its value belongs to, None before the first."""

    source: Source
    value: int | None
    quality: Quality
    at_utc_ms: int | None


class _Change(NamedTuple):
    """A value that waits for the record it belongs to. `tag_ms`: its device's own time; `event`: reported by itself."""

    at_ms: int
    state: _State
    value: int | None
    quality: Quality
    tag_ms: int | None
    event: bool


_AT: Final = itemgetter(0)  # at_ms
_new_tuple: Final = tuple.__new__


@dataclass(slots=True)
class _Unit:
    """`choices`: per quantity its primary source, then its backup; `pending`: in order of arrival.

    `reported`: something in `pending` was reported by its device itself. `qualities`: of the last record.
    """

    layout: UnitLayout
    choices: list[tuple[_State, ...]] = field(default_factory=list)
    pending: list[_Change] = field(default_factory=list)
    reported: bool = False
    qualities: tuple[Quality, ...] = ()
    last_ms: int | None = None
    fresh_start: bool = True

    def take_due(self, time_ms: int) -> list[_Change]:
        """Take out what belongs to instants up to this one, by instant, then by arrival."""
        pending = self.pending
        if not pending:
            return pending
        pending.sort(key=_AT)
        count = bisect_right(pending, time_ms, key=_AT)
        self.pending = pending[count:]
        return pending[:count]


def layouts_of(sources: Iterable[Source]) -> dict[str, UnitLayout]:
    """Per unit the quantities that some source gives it, in the order of the quantity table."""
    found: dict[str, set[str]] = {}
    for source in sources:
        found.setdefault(source.unit, set()).add(source.point.quantity)
    return {
        unit: UnitLayout(unit, tuple(q.name for q in QUANTITIES if q.name in names)) for unit, names in found.items()
    }


class Recorder:
    """All units of a gateway.

    Args:
        sources: every point that gives a quantity, for its unit.
        period_ms: distance of the ticks.
        last: per unit the era and time of the last record kept before this start, from the buffer.
    """

    def __init__(
        self, sources: Sequence[Source], *, period_ms: int, last: Mapping[str, tuple[int, int] | None]
    ) -> None:
        self._period_ms = period_ms
        self._units = {unit: _Unit(layout) for unit, layout in layouts_of(sources).items()}
        # By identity: two devices may read by the same table, whose rows are then equal.
        self._states: dict[int, _State] = {}
        for source in sources:
            self._states[id(source.point)] = _State(source, self._units[source.unit], source.stale_ms)
        for name, unit in self._units.items():
            mine = [s for s in self._states.values() if s.source.unit == name]
            for quantity in unit.layout.quantities:
                ways = [s for s in mine if s.source.point.quantity == quantity]
                unit.choices.append(tuple(sorted(ways, key=lambda s: s.source.backup)))
                unit.choices[-1][0].watched = quantity in CHANGE_QUANTITIES
            if (before := last.get(name)) is not None:
                unit.last_ms = before[1]
        self.era = max((before[0] for before in last.values() if before is not None), default=0)
        self.late_tags = 0

    @property
    def layouts(self) -> dict[str, UnitLayout]:
        """Per unit which quantities its records carry."""
        return {name: unit.layout for name, unit in self._units.items()}

    def newest(self, time_utc_ms: int) -> list[Newest]:
        """The newest value of every source, judged by its age at an instant; what waits for its tick counts too."""
        waiting = {id(c.state): c for unit in self._units.values() for c in sorted(unit.pending, key=_AT)}
        found = []
        for state in self._states.values():
            if (change := waiting.get(id(state))) is not None:
                found.append(Newest(state.source, change.value, change.quality, change.at_ms))
                continue
            value, quality = state.at(time_utc_ms)
            found.append(Newest(state.source, value, quality, max(state.at_ms, state.held_ms) or None))
        return found

    def settle(self, time_utc_ms: int) -> None:
        """Take in what belongs to instants up to now without making a record, for those who only look."""
        for unit in self._units.values():
            for change in unit.take_due(time_utc_ms):
                self._apply(change)

    def succeed(self, former: Recorder) -> None:
        """Go on where another recorder stopped: its era, last times, values, and changes that wait for their tick.

        What a source knew counts on only where its point, device and unit are the same.
        """
        self.era, self.late_tags = former.era, former.late_tags
        for name, unit in self._units.items():
            if (before := former._units.get(name)) is not None:
                unit.last_ms, unit.fresh_start = before.last_ms, before.fresh_start
            else:
                unit.fresh_start = False
        known = {state.source.key: state for state in former._states.values()}
        waiting: dict[int, list[_Change]] = {}
        for before in former._units.values():
            for change in before.pending:
                waiting.setdefault(id(change.state), []).append(change)
        for state in self._states.values():
            if (old := known.get(state.source.key)) is None:
                continue
            state.at_ms, state.held_ms, state.value, state.quality = old.at_ms, old.held_ms, old.value, old.quality
            for change in waiting.get(id(old), ()):
                state.unit.pending.append(change._replace(state=state))
                state.unit.reported |= change.event

    def feed(self, readings: Iterable[Reading]) -> None:
        """Take what was read or reported, in order of arrival."""
        states = self._states
        for point, value, quality, time_utc_ms, tag_ms, event, _ in readings:
            state = states.get(id(point))
            if state is None:
                continue
            unit, at_ms = state.unit, time_utc_ms
            if tag_ms is not None:
                if self._is_believed(unit, tag_ms, time_utc_ms):
                    at_ms = tag_ms
                elif event and quality is Quality.GOOD:
                    quality = Quality.LATE_TAG
                    self.late_tags += 1
            if event:
                unit.reported = True
            # What a named tuple does when called, without the detour through its signature.
            unit.pending.append(_new_tuple(_Change, (at_ms, state, value, quality, tag_ms, event)))

    @staticmethod
    def _is_believed(unit: _Unit, tag_ms: int, arrival_ms: int) -> bool:
        """Whether the device's tag can be the instant; else the arrival is."""
        return tag_ms <= arrival_ms + _AHEAD_LIMIT_MS and (unit.last_ms is None or tag_ms > unit.last_ms)

    def hold(self, points: Iterable[Point], time_utc_ms: int) -> None:
        """The last reported values of `points` are vouched for at this instant."""
        for point in points:
            state = self._states.get(id(point))
            if state is not None:
                state.held_ms = time_utc_ms

    def record(self, tick_ms: int, clock: ClockState) -> tuple[list[UnitRecord], list[GapRecord]]:
        """The records due at a tick: changes up to it, and the tick's own, of every unit; and gaps found.

        Args:
            tick_ms: the scheduled tick, UTC ms.
            clock: what is known of our clock now.
        """
        gaps: list[GapRecord] = []
        if any(u.last_ms is not None and tick_ms <= u.last_ms for u in self._units.values()):
            self._open_era(tick_ms)
        else:
            gaps = self._gaps(tick_ms)
        records: list[UnitRecord] = []
        for unit in self._units.values():
            self._advance(unit, tick_ms, clock, records)
        return records, gaps

    def _open_era(self, tick_ms: int) -> None:
        """The clock stepped back: what carries a time of the old era counts as of now."""
        self.era += 1
        for unit in self._units.values():
            unit.last_ms, unit.fresh_start = None, False
            unit.pending = [c._replace(at_ms=min(c.at_ms, tick_ms)) for c in unit.pending]
        for state in self._states.values():
            state.at_ms, state.held_ms = min(state.at_ms, tick_ms), min(state.held_ms, tick_ms)

    def _gaps(self, tick_ms: int) -> list[GapRecord]:
        gaps = []
        for name, unit in self._units.items():
            if unit.last_ms is not None:
                due_ms = (unit.last_ms // self._period_ms + 1) * self._period_ms
                # After a start also where no tick is missing: a change between the two may have come and gone.
                if unit.fresh_start:
                    gaps.append(GapRecord((name,), unit.last_ms, tick_ms, "agent_down"))
                elif due_ms < tick_ms:
                    gaps.append(GapRecord((name,), unit.last_ms, tick_ms, "missed_ticks"))
            unit.fresh_start = False
        return gaps

    def _advance(self, unit: _Unit, tick_ms: int, clock: ClockState, records: list[UnitRecord]) -> None:
        due, tag = unit.take_due(tick_ms), None
        if unit.reported:
            tag = self._apply_reported(unit, due, tick_ms, clock, records)
            unit.reported = any(c.event for c in unit.pending)
        else:
            for at_ms, state, value, quality, _, _ in due:
                state.at_ms, state.value, state.quality = at_ms, value, quality
        self._emit(unit, tick_ms, Cause.TICK, clock, tag, records)

    def _apply_reported(
        self, unit: _Unit, due: list[_Change], tick_ms: int, clock: ClockState, records: list[UnitRecord]
    ) -> int | None:
        """Apply what may hold changes of status, with a record at each; the tag of a change at the tick itself."""
        tag: int | None = None
        index = 0
        while index < len(due):
            at_ms, changed, tag, following = self._apply_instant(unit, due, index, tick_ms)
            if changed and at_ms < tick_ms:
                self._emit(unit, at_ms, Cause.CHANGE, clock, tag, records)
            index = following
            tag = tag if changed and at_ms == tick_ms else None
        return tag

    def _apply_instant(
        self, unit: _Unit, due: list[_Change], index: int, tick_ms: int
    ) -> tuple[int, bool, int | None, int]:
        """Apply everything that belongs to one instant; two changes of one source at it are kept a millisecond apart.

        Returns the instant, whether a status changed, the device's tag of that change, and where the next one begins.
        """
        at_ms = due[index].at_ms
        if unit.last_ms is not None and at_ms <= unit.last_ms:
            at_ms = min(unit.last_ms + 1, tick_ms)
        seen: set[int] = set()
        changed, tag = False, None
        while index < len(due) and due[index].at_ms <= at_ms:
            change = due[index]
            moves = self._is_change(change)
            if moves and id(change.state) in seen and at_ms < tick_ms:
                break
            if moves:
                changed, tag = True, change.tag_ms
                seen.add(id(change.state))
            self._apply(change)
            index += 1
        return at_ms, changed, tag, index

    @staticmethod
    def _is_change(change: _Change) -> bool:
        """Whether a status reported by itself differs from what was known; the first value ever is no change."""
        state = change.state
        return change.event and state.watched and state.at_ms != 0 and change.value != state.value

    @staticmethod
    def _apply(change: _Change) -> None:
        state = change.state
        state.at_ms, state.value, state.quality = change.at_ms, change.value, change.quality

    def _emit(
        self, unit: _Unit, time_ms: int, cause: Cause, clock: ClockState, tag: int | None, records: list[UnitRecord]
    ) -> None:
        if unit.last_ms is not None and time_ms <= unit.last_ms:
            raise InvariantBroken(
                f"a record at {time_ms} would follow one at {unit.last_ms} in era {self.era}",
                subject=unit.layout.unit,
            )
        values: list[int | None] = []
        qualities: list[Quality] = []
        for choice in unit.choices:
            value, quality = choice[0].at(time_ms)
            if len(choice) > 1 and not quality < Quality.STALE:
                second, second_quality = choice[1].at(time_ms)
                if second_quality < Quality.STALE:
                    value, quality = second, Quality.SUBSTITUTED
            values.append(value)
            qualities.append(quality)
        unit.last_ms = time_ms
        # They rarely change, and thousands of records wait for their batch: those alike share one tuple.
        if (found := tuple(qualities)) != unit.qualities:
            unit.qualities = found
        records.append(
            UnitRecord(unit.layout.unit, time_ms, tuple(values), unit.qualities, cause, self.era, clock, tag)
        )
