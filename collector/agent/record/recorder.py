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

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from collector.agent.device.contract import BlockReadings, Reading, ReadingsByBlock
from collector.agent.record.sources import Place, Source, SourceTable
from collector.agent.record.unit_state import AT, Change, Stretch, UnitState, singly
from collector.base.clock_state import ClockState
from collector.base.errors import InvariantBroken
from collector.model.interval import format_time
from collector.model.quantity import QUANTITIES
from collector.model.record import Cause, GapRecord, Quality, UnitLayout, UnitRecord
from collector.points import Point

# A change of one of these makes a record of its own.
CHANGE_QUANTITIES: Final = frozenset(
    {"on_grid", "agc_in_service", "avc_in_service", "condenser", "spilling", "avc_target_kv"}
)
AGENT_DOWN: Final = "agent_down"
MISSED_TICKS: Final = "missed_ticks"
# A tag further ahead of our clock than this is not believed: the change is recorded at its arrival.
_AHEAD_LIMIT_MS: Final = 1500


@dataclass(frozen=True, slots=True)
class Newest:
    """What is known of a source at present. `at_utc_ms`: the instant its value belongs to, None before the first."""

    source: Source
    value: int | None
    quality: Quality
    at_utc_ms: int | None


# Where the values of a block's points go: unit, first slot, slot after the last, and how to take them out in order.
_Part = tuple[UnitState, int, int, Callable[[Any], Any]]
# What a named tuple does when called, without the detour through its signature.
_new_tuple: Final = tuple.__new__


def layouts_of(sources: Iterable[Source]) -> dict[str, UnitLayout]:
    """Per unit the quantities that some source gives it, in the order of the quantity table."""
    found: dict[str, set[str]] = {}
    for source in sources:
        found.setdefault(source.unit, set()).add(source.point.quantity)
    return {
        unit: UnitLayout(unit, _kept_once(tuple(q.name for q in QUANTITIES if q.name in names)))
        for unit, names in found.items()
    }


@lru_cache(256)
def _kept_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The tuple that was first equal to this: most units of a gateway are alike."""
    return values


def _new_unit(layout: UnitLayout, sources: Sequence[Source], places: dict[int, Place]) -> UnitState:
    """A unit with a slot for each of its sources, which `places` then has by the ids of their points."""
    ways: dict[str, list[Source]] = {quantity: [] for quantity in layout.quantities}
    for source in sorted(sources, key=lambda s: s.backup):
        ways[source.point.quantity].append(source)
    slots = [way[0] for way in ways.values()]
    backups: dict[int, int] = {}
    for slot, way in enumerate(ways.values()):
        if len(way) > 1:
            backups[slot] = len(slots)
            slots += way[1:]
    watched = frozenset(i for i, quantity in enumerate(layout.quantities) if quantity in CHANGE_QUANTITIES)
    unit = UnitState(layout, _kept_once(tuple(s.stale_ms for s in slots)), backups, watched)
    places.update((id(source.point), (unit, slot)) for slot, source in enumerate(slots))
    return unit


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
        self._units: dict[str, UnitState] = {}
        self._parts: dict[int, tuple[tuple[Point, ...], list[_Part]]] = {}
        of_unit: dict[str, list[Source]] = {}
        for source in sources:
            of_unit.setdefault(source.unit, []).append(source)
        places: dict[int, Place] = {}
        for name, layout in layouts_of(sources).items():
            unit = self._units[name] = _new_unit(layout, of_unit[name], places)
            if (before := last.get(name)) is not None:
                unit.last_ms = before[1]
        self._sources = SourceTable(sources, places)
        # Those of points that come one by one, by their ids, as they are needed; blocks find theirs once.
        self._places: dict[int, Place | None] = {}
        self.era = max((before[0] for before in last.values() if before is not None), default=0)
        self.late_tags = 0
        # Units whose last record belongs to a former era: why nothing was recorded since, once that is told.
        self._since_era: dict[str, str] = {}

    @property
    def layouts(self) -> dict[str, UnitLayout]:
        """Per unit which quantities its records carry."""
        return {name: unit.layout for name, unit in self._units.items()}

    @property
    def last_ms(self) -> int | None:
        """Time of the last record of any unit in this era, None before the first."""
        return max((unit.last_ms for unit in self._units.values() if unit.last_ms is not None), default=None)

    def newest(self, time_utc_ms: int) -> list[Newest]:
        """The newest value of every source, judged by its age at an instant; what waits for its tick counts too."""
        waiting = {(id(unit), c.slot): c for unit in self._units.values() for c in singly(sorted(unit.pending, key=AT))}
        found = []
        for source, unit, slot in self._sources:
            if (change := waiting.get((id(unit), slot))) is not None:
                found.append(Newest(source, change.value, change.quality, change.at_ms))
                continue
            value, quality = unit.slot_at(slot, time_utc_ms)
            found.append(Newest(source, value, quality, max(unit.at_ms[slot], unit.held_ms[slot]) or None))
        return found

    def settle(self, time_utc_ms: int) -> None:
        """Take in what belongs to instants up to now without making a record, for those who only look."""
        for unit in self._units.values():
            unit.apply(unit.take_due(time_utc_ms))

    def succeed(self, former: Recorder) -> None:
        """Go on where another recorder stopped: its era, last times, values, and changes that wait for their tick.

        What a source knew counts on only where its point, device and unit are the same.
        """
        self.era, self.late_tags = former.era, former.late_tags
        self._since_era = {name: why for name, why in former._since_era.items() if name in self._units}
        for name, unit in self._units.items():
            if (before := former._units.get(name)) is not None:
                unit.last_ms, unit.fresh_start = before.last_ms, before.fresh_start
            else:
                unit.fresh_start = False
        known = {source.key: (unit, slot) for source, unit, slot in former._sources}
        waiting: dict[tuple[int, int], list[Change]] = {}
        for before in former._units.values():
            for change in singly(before.pending):
                waiting.setdefault((id(before), change.slot), []).append(change)
        for source, unit, slot in self._sources:
            if (place := known.get(source.key)) is None:
                continue
            old, old_slot = place
            unit.at_ms[slot], unit.held_ms[slot] = old.at_ms[old_slot], old.held_ms[old_slot]
            unit.values[slot], unit.qualities[slot] = old.values[old_slot], old.qualities[old_slot]
            for change in waiting.get((id(old), old_slot), ()):
                unit.pending.append(change._replace(slot=slot))
                unit.reported |= change.event

    def feed(self, readings: Iterable[Reading]) -> None:
        """Take what was read or reported, in order of arrival."""
        if isinstance(readings, ReadingsByBlock):
            for block in readings.blocks:
                self._feed_block(block)
            readings = readings.others
        for point, value, quality, time_utc_ms, tag_ms, event, _ in readings:
            place = self._place(point)
            if place is None:
                continue
            (unit, slot), at_ms = place, time_utc_ms
            if tag_ms is not None:
                if self._is_believed(unit, tag_ms, time_utc_ms):
                    at_ms = tag_ms
                elif event and quality is Quality.GOOD:
                    quality = Quality.LATE_TAG
                    self.late_tags += 1
            if event:
                unit.reported = True
            unit.pending.append(_new_tuple(Change, (at_ms, slot, value, quality, tag_ms, event)))

    def _place(self, point: Point) -> Place | None:
        try:
            return self._places[id(point)]
        except KeyError:
            place = self._places[id(point)] = self._sources.find(point)
            return place

    def _feed_block(self, block: BlockReadings) -> None:
        known = self._parts.get(id(block.points))
        if known is None:
            # Devices plan their requests anew now and then; what they no longer ask goes.
            if len(self._parts) > len(self._sources):
                self._parts.clear()
            known = self._parts[id(block.points)] = (block.points, self._parts_of(block.points))
        at_ms, values, qualities = block.time_utc_ms, block.values, block.qualities
        for unit, start, stop, take in known[1]:
            unit.pending.append(_new_tuple(Stretch, (at_ms, start, stop, take(values), take(qualities))))

    def _parts_of(self, points: Sequence[Point]) -> list[_Part]:
        """The points of a block by units, and those of a unit by runs of neighbouring slots."""
        runs: list[tuple[UnitState, int, list[int]]] = []
        found = [(*place, index) for index, p in enumerate(points) if (place := self._sources.find(p)) is not None]
        for unit, slot, index in sorted(found, key=lambda place: (place[0].layout.unit, place[1])):
            if runs and runs[-1][0] is unit and slot == runs[-1][1] + len(runs[-1][2]):
                runs[-1][2].append(index)
            else:
                runs.append((unit, slot, [index]))
        return [(unit, start, start + len(indexes), _taking(indexes)) for unit, start, indexes in runs]

    @staticmethod
    def _is_believed(unit: UnitState, tag_ms: int, arrival_ms: int) -> bool:
        """Whether the device's tag can be the instant; else the arrival is."""
        return tag_ms <= arrival_ms + _AHEAD_LIMIT_MS and (unit.last_ms is None or tag_ms > unit.last_ms)

    def hold(self, points: Iterable[Point], time_utc_ms: int) -> None:
        """The last reported values of `points` are vouched for at this instant."""
        for point in points:
            if (place := self._place(point)) is not None:
                unit, slot = place
                unit.held_ms[slot] = time_utc_ms

    def record(
        self, tick_ms: int, clock: ClockState, *, silent_ms: int = 0
    ) -> tuple[list[UnitRecord], list[GapRecord]]:
        """The records due at a tick: changes up to it, and the tick's own, of every unit; and gaps found.

        Args:
            tick_ms: the scheduled tick, UTC ms.
            clock: what is known of our clock now.
            silent_ms: at the first tick of an era, how long before it the tick before was; 0 where nobody knows.
        """
        gaps: list[GapRecord] = []
        units = self._units.values()
        # The tick before this one, if they are in step: most follow their unit's last record without a gap.
        before_ms = -(-tick_ms // self._period_ms) * self._period_ms - self._period_ms
        for unit in units:
            if unit.fresh_start or unit.last_ms is None or not before_ms <= unit.last_ms < tick_ms:
                gaps = self._mend(tick_ms, silent_ms)
                break
        records: list[UnitRecord] = []
        for unit in units:
            self._advance(unit, tick_ms, clock, records)
        return records, gaps

    def _mend(self, tick_ms: int, silent_ms: int) -> list[GapRecord]:
        """Open an era where the clock stepped back; tell what is missing before this tick."""
        if any(u.last_ms is not None and tick_ms <= u.last_ms for u in self._units.values()):
            self.open_era(tick_ms)
        return self._gaps(tick_ms, silent_ms)

    def open_era(self, time_utc_ms: int) -> None:
        """The clock stepped back to this instant: what carries a time of the old era counts as of now."""
        self.era += 1
        for name, unit in self._units.items():
            if unit.last_ms is not None:
                self._since_era[name] = AGENT_DOWN if unit.fresh_start else MISSED_TICKS
            unit.last_ms, unit.fresh_start = None, False
            unit.pending = [entry._replace(at_ms=min(entry.at_ms, time_utc_ms)) for entry in unit.pending]
            unit.at_ms = [min(at_ms, time_utc_ms) for at_ms in unit.at_ms]
            unit.held_ms = [min(held_ms, time_utc_ms) for held_ms in unit.held_ms]

    def _gaps(self, tick_ms: int, silent_ms: int) -> list[GapRecord]:
        gaps = []
        for name, unit in self._units.items():
            if (why := self._since_era.pop(name, "")) and (why == AGENT_DOWN or silent_ms > self._period_ms):
                # The old clock's times say nothing of how long it was. After a start nobody knows more than that at
                # least the tick before is missing.
                from_ms = max(0, tick_ms - max(silent_ms, self._period_ms))
                gaps.append(GapRecord((name,), from_ms, tick_ms, why))
            elif unit.last_ms is not None:
                due_ms = (unit.last_ms // self._period_ms + 1) * self._period_ms
                # After a start also where no tick is missing: a change between the two may have come and gone.
                if unit.fresh_start:
                    gaps.append(GapRecord((name,), unit.last_ms, tick_ms, AGENT_DOWN))
                elif due_ms < tick_ms:
                    gaps.append(GapRecord((name,), unit.last_ms, tick_ms, MISSED_TICKS))
            unit.fresh_start = False
        return gaps

    def _advance(self, unit: UnitState, tick_ms: int, clock: ClockState, records: list[UnitRecord]) -> None:
        due, tag = unit.take_due(tick_ms), None
        if unit.reported:
            tag = self._apply_reported(unit, singly(due), tick_ms, clock, records)
            unit.reported = any(entry.event for entry in unit.pending)
        else:
            unit.apply(due)
        self._emit(unit, tick_ms, Cause.TICK, clock, tag, records)

    def _apply_reported(
        self, unit: UnitState, due: list[Change], tick_ms: int, clock: ClockState, records: list[UnitRecord]
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
        self, unit: UnitState, due: list[Change], index: int, tick_ms: int
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
            moves = self._is_change(unit, change)
            if moves and change.slot in seen and at_ms < tick_ms:
                break
            if moves:
                changed, tag = True, change.tag_ms
                seen.add(change.slot)
            unit.apply((change,))
            index += 1
        return at_ms, changed, tag, index

    @staticmethod
    def _is_change(unit: UnitState, change: Change) -> bool:
        """Whether a status reported by itself differs from what was known; the first value ever is no change."""
        slot = change.slot
        return change.event and slot in unit.watched and unit.at_ms[slot] != 0 and change.value != unit.values[slot]

    def _emit(
        self, unit: UnitState, time_ms: int, cause: Cause, clock: ClockState, tag: int | None, records: list[UnitRecord]
    ) -> None:
        if unit.last_ms is not None and time_ms <= unit.last_ms:
            raise InvariantBroken(
                f"a record at {format_time(time_ms)} would follow one at {format_time(unit.last_ms)} in era {self.era}",
                subject=unit.layout.unit,
            )
        values, qualities = unit.at(time_ms)
        unit.last_ms = time_ms
        fields = (unit.layout.unit, time_ms, values, qualities, cause, self.era, clock, tag)
        records.append(_new_tuple(UnitRecord, fields))


def _taking(indexes: Sequence[int]) -> Callable[[Any], Any]:
    """Takes what stands at `indexes` out of a sequence, all at once."""
    if list(indexes) == list(range(indexes[0], indexes[-1] + 1)):
        return itemgetter(slice(indexes[0], indexes[-1] + 1))
    return itemgetter(*indexes)
