# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 2, record: readings become one record per unit and tick, and one more at every status change. Pure, no waiting.

A tick record carries the scheduled tick as its time and, for each quantity, the newest value known by then; a value
older than its source's limit is left out, with quality stale. The record is made `reorder_ms` after its tick, so that
changes tagged by their device before the tick have arrived and are recorded in their order. A change tagged before the
last record of its unit is too late: it is recorded at its arrival, quality late_tag, tag kept.

Within one clock era the times of a unit strictly grow (B9): a step back of the clock opens a new era. Where a quantity
has a primary and a backup source, the backup is used while the primary gives no usable value; its values have quality
substituted, which records the switch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, TypeVar

from collector.agent.device.contract import BlockReadings, Reading, ReadingsByBlock
from collector.agent.record.sources import Place, QuantitySource, SourceTable
from collector.agent.record.unit_state import AT, UnitState, WaitingBlock, WaitingValue, singly
from collector.base.clock_state import ClockState
from collector.base.errors import InvariantBroken
from collector.base.text import tr
from collector.model.interval import format_time
from collector.model.quantity import QUANTITIES
from collector.model.record import Cause, GapRecord, Quality, UnitLayout, UnitRecord
from collector.points import Point

# A change of one of these quantities makes an extra record.
CHANGE_QUANTITIES: Final = frozenset(
    {"on_grid", "agc_in_service", "avc_in_service", "condenser", "spilling", "avc_target_kv"}
)
AGENT_DOWN: Final = "agent_down"
MISSED_TICKS: Final = "missed_ticks"
# A device's time tag further ahead of our clock is not used: the change is recorded at its arrival.
_AHEAD_LIMIT_MS: Final = 1500


@dataclass(frozen=True, slots=True)
class Newest:
    """The present value of a source. `at_utc_ms`: the instant the value belongs to, None before the first."""

    source: QuantitySource
    value: int | None
    quality: Quality
    at_utc_ms: int | None


# Target of a block's values: unit, first slot, slot after the last, and a function that picks them in order.
_Part = tuple[UnitState, int, int, Callable[[Any], Any]]
# Makes a named tuple without the cost of its Python-level constructor.
_new_tuple: Final = tuple.__new__
K = TypeVar("K", tuple[Any, ...], frozenset[int])


def layouts_of(sources: Iterable[QuantitySource]) -> dict[str, UnitLayout]:
    """Per unit the quantities that have a source, in the order of the quantity table."""
    found: dict[str, set[str]] = {}
    for source in sources:
        found.setdefault(source.unit, set()).add(source.point.quantity)
    return {
        unit: UnitLayout(unit, _kept_once(tuple(q.name for q in QUANTITIES if q.name in names)))
        for unit, names in found.items()
    }


@lru_cache(256)
def _kept_once(values: K) -> K:
    """The first tuple or set seen that equals this one, to save memory: most units of a gateway are alike."""
    return values


def _new_unit(layout: UnitLayout, sources: Sequence[QuantitySource], places: dict[int, Place]) -> UnitState:
    """Make a unit with a slot for each source, and enter the slots into `places` by the `id()` of their points."""
    ways: dict[str, list[QuantitySource]] = {quantity: [] for quantity in layout.quantities}
    for source in sorted(sources, key=lambda s: s.backup):
        ways[source.point.quantity].append(source)
    slots = [way[0] for way in ways.values()]
    backups: dict[int, int] = {}
    for slot, way in enumerate(ways.values()):
        if len(way) > 1:
            backups[slot] = len(slots)
            slots += way[1:]
    watched = _kept_once(frozenset(i for i, quantity in enumerate(layout.quantities) if quantity in CHANGE_QUANTITIES))
    unit = UnitState(layout, _kept_once(tuple(s.stale_ms for s in slots)), backups, watched)
    places.update((id(source.point), (unit, slot)) for slot, source in enumerate(slots))
    return unit


class Recorder:
    """The recorder of all units of a gateway.

    Args:
        sources: every point that gives a quantity of a unit.
        period_ms: time between two ticks.
        last: per unit the era and time of the last record kept before this start, from the buffer.
    """

    def __init__(
        self, sources: Sequence[QuantitySource], *, period_ms: int, last: Mapping[str, tuple[int, int] | None]
    ) -> None:
        self._period_ms = period_ms
        self._units: dict[str, UnitState] = {}
        self._parts: dict[int, tuple[tuple[Point, ...], list[_Part]]] = {}
        of_unit: dict[str, list[QuantitySource]] = {}
        for source in sources:
            of_unit.setdefault(source.unit, []).append(source)
        places: dict[int, Place] = {}
        for name, layout in layouts_of(sources).items():
            unit = self._units[name] = _new_unit(layout, of_unit[name], places)
            if (before := last.get(name)) is not None:
                unit.last_ms = before[1]
        self._sources = SourceTable(sources, places)
        # Cache of places by `id()` of the point, for points that arrive singly; a block looks its places up once.
        self._places: dict[int, Place | None] = {}
        self.era = max((before[0] for before in last.values() if before is not None), default=0)
        self.late_tags = 0
        # Units without a record in this era yet: the reason that their gap record will give.
        self._since_era: dict[str, str] = {}

    @property
    def layouts(self) -> dict[str, UnitLayout]:
        """Per unit the quantities that its records carry."""
        return {name: unit.layout for name, unit in self._units.items()}

    @property
    def last_ms(self) -> int | None:
        """Time of the last record of any unit in this era, UTC ms; None before the first."""
        return max((unit.last_ms for unit in self._units.values() if unit.last_ms is not None), default=None)

    def newest(self, time_utc_ms: int) -> list[Newest]:
        """The newest value of every source and its quality by age at an instant, also while it waits for its tick."""
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
        """Apply the values of instants up to `time_utc_ms` without making a record, for a display of live values."""
        for unit in self._units.values():
            unit.apply(unit.take_due(time_utc_ms))

    def succeed(self, former: Recorder) -> None:
        """Continue where another recorder stopped: its era, last times, values, and changes that wait for their tick.

        A source's value is kept only where its point, device and unit are the same.
        """
        self.era, self.late_tags = former.era, former.late_tags
        self._since_era = {name: why for name, why in former._since_era.items() if name in self._units}
        for name, unit in self._units.items():
            if (before := former._units.get(name)) is not None:
                unit.last_ms, unit.fresh_start = before.last_ms, before.fresh_start
            else:
                unit.fresh_start = False
        known = {source.key: (unit, slot) for source, unit, slot in former._sources}
        waiting: dict[tuple[int, int], list[WaitingValue]] = {}
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
        """Take readings, polled or reported spontaneously, in order of arrival."""
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
            unit.pending.append(_new_tuple(WaitingValue, (at_ms, slot, value, quality, tag_ms, event)))

    def _place(self, point: Point) -> Place | None:
        try:
            return self._places[id(point)]
        except KeyError:
            place = self._places[id(point)] = self._sources.find(point)
            return place

    def _feed_block(self, block: BlockReadings) -> None:
        known = self._parts.get(id(block.points))
        if known is None:
            # Devices plan their requests anew now and then; forget the blocks they no longer read.
            if len(self._parts) > len(self._sources):
                self._parts.clear()
            known = self._parts[id(block.points)] = (block.points, self._parts_of(block.points))
        at_ms, values, qualities = block.time_utc_ms, block.values, block.qualities
        for unit, start, stop, take in known[1]:
            unit.pending.append(_new_tuple(WaitingBlock, (at_ms, start, stop, take(values), take(qualities))))

    def _parts_of(self, points: Sequence[Point]) -> list[_Part]:
        """Group the points of a block by unit, and those of a unit by runs of neighbouring slots."""
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
        """True if the device's time tag can be the record's time; otherwise the arrival is."""
        return tag_ms <= arrival_ms + _AHEAD_LIMIT_MS and (unit.last_ms is None or tag_ms > unit.last_ms)

    def hold(self, points: Iterable[Point], time_utc_ms: int) -> None:
        """Count the last reported values of `points` as still valid at this instant."""
        for point in points:
            if (place := self._place(point)) is not None:
                unit, slot = place
                unit.held_ms[slot] = time_utc_ms

    def record(
        self, tick_ms: int, clock: ClockState, *, silent_ms: int = 0
    ) -> tuple[list[UnitRecord], list[GapRecord]]:
        """The records due at a tick (changes up to it, and the tick record of every unit) and the gaps found.

        Args:
            tick_ms: the scheduled tick, UTC ms.
            clock: the present state of our clock.
            silent_ms: at the first tick of an era, real time since the tick before it; 0 where it is unknown.
        """
        gaps: list[GapRecord] = []
        units = self._units.values()
        # Time of the tick before this one. Mostly every unit has a record since then, so no gap needs a search.
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
        """Open a new era if the clock stepped back, and return the gaps before this tick."""
        if any(u.last_ms is not None and tick_ms <= u.last_ms for u in self._units.values()):
            self.open_era(tick_ms)
        return self._gaps(tick_ms, silent_ms)

    def open_era(self, time_utc_ms: int) -> None:
        """Open a new era: the clock stepped back to this instant. Later times are set back to this instant."""
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
                # Times of the old era don't tell how long the gap was. After a start it is only known that at least
                # the tick before is missing.
                from_ms = max(0, tick_ms - max(silent_ms, self._period_ms))
                gaps.append(GapRecord((name,), from_ms, tick_ms, why))
            elif unit.last_ms is not None:
                due_ms = (unit.last_ms // self._period_ms + 1) * self._period_ms
                # After a start even where no tick is missing: a status may have changed and changed back meanwhile.
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
        self, unit: UnitState, due: list[WaitingValue], tick_ms: int, clock: ClockState, records: list[UnitRecord]
    ) -> int | None:
        """Apply values, with a record at each status change; returns the tag of a change at the tick itself."""
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
        self, unit: UnitState, due: list[WaitingValue], index: int, tick_ms: int
    ) -> tuple[int, bool, int | None, int]:
        """Apply all values of one instant; a second change of the same source at it is recorded a millisecond later.

        Returns the instant, whether a status changed, the device's tag of that change, and the next index in `due`.
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
    def _is_change(unit: UnitState, change: WaitingValue) -> bool:
        """True if a spontaneously reported status differs from the known one; the first value ever is no change."""
        slot = change.slot
        return change.event and slot in unit.watched and unit.at_ms[slot] != 0 and change.value != unit.values[slot]

    def _emit(
        self, unit: UnitState, time_ms: int, cause: Cause, clock: ClockState, tag: int | None, records: list[UnitRecord]
    ) -> None:
        if unit.last_ms is not None and time_ms <= unit.last_ms:
            raise InvariantBroken(
                tr(
                    "a record at {time} would follow one at {last} in era {era}",
                    time=format_time(time_ms),
                    last=format_time(unit.last_ms),
                    era=self.era,
                ),
                subject=unit.layout.unit,
            )
        values, qualities = unit.at(time_ms)
        unit.last_ms = time_ms
        fields = (unit.layout.unit, time_ms, values, qualities, cause, self.era, clock, tag)
        records.append(_new_tuple(UnitRecord, fields))


def _taking(indexes: Sequence[int]) -> Callable[[Any], Any]:
    """A function that picks the elements at `indexes` out of a sequence."""
    if list(indexes) == list(range(indexes[0], indexes[-1] + 1)):
        return itemgetter(slice(indexes[0], indexes[-1] + 1))
    return itemgetter(*indexes)
