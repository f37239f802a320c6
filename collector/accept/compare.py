# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of a phase: its records with the expected ticks, their values with the simulated truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from collector.accept.stored import StoredRecord, StoredRecords
from collector.accept.truth import TrueSource, Truth
from collector.model.interval import format_time
from collector.model.record import Cause

Key = tuple[str, str]


@dataclass
class PhaseResult:
    """The result for a stretch of time.

    `missing`: records neither stored nor in a gap record; `silent_usable`: usable values of silenced sources.
    """

    wanted: int = 0
    held: int = 0
    in_gaps: int = 0
    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    values: int = 0
    unusable: list[str] = field(default_factory=list)
    compared: int = 0
    wrong: list[str] = field(default_factory=list)
    silenced: Counter[str] = field(default_factory=Counter)
    silent_usable: list[str] = field(default_factory=list)

    @property
    def usable(self) -> int:
        """Number of usable values of sources that were not silenced."""
        return self.values - len(self.unusable)


@dataclass(frozen=True)
class RecordComparison:
    """The reference of a run. `truth` None: unknown (real devices). `tolerance`: allowed besides the register steps."""

    stored: StoredRecords
    sources: dict[Key, list[TrueSource]]
    period_ms: int
    stale_after_periods: int
    truth: Truth | None
    tolerance: Callable[[int], int]

    @property
    def units(self) -> list[str]:
        """The recorded units."""
        return sorted({unit for unit, _ in self.sources})

    @property
    def first_ms(self) -> int:
        """The first tick at the center, UTC ms; earlier ticks are not expected."""
        return min((row.time_ms for row in self.stored.rows if row.cause is Cause.TICK), default=0)

    def ticks(self, from_ms: int, to_ms: int) -> Iterator[int]:
        """The ticks after `from_ms` up to and including `to_ms`."""
        return iter(range((from_ms // self.period_ms + 1) * self.period_ms, to_ms + 1, self.period_ms))

    def look(self, from_ms: int, to_ms: int, *, silenced: Sequence[str] = (), noticed_ms: int = 0) -> PhaseResult:
        """Compare a stretch; `silenced`: devices that do not answer; `noticed_ms`: time until their link detects it."""
        found = PhaseResult()
        grace_ms = from_ms + noticed_ms + self.stale_after_periods * self._longest_ms(silenced)
        for time_ms in self.ticks(from_ms, to_ms):
            for unit in self.units:
                found.wanted += 1
                rows = self.stored.by_place.get((unit, time_ms), [])
                if not rows:
                    if self.stored.in_gap(unit, time_ms):
                        found.in_gaps += 1
                    else:
                        found.missing.append(f"{unit} {format_time(time_ms)}")
                    continue
                found.held += 1
                if len(rows) > 1:
                    found.doubled.append(f"{unit} {format_time(time_ms)} × {len(rows)}")
                self._look_at(rows[0], found, silenced, in_grace=time_ms <= grace_ms)
        return found

    def _longest_ms(self, devices: Sequence[str]) -> int:
        every = (source for sources in self.sources.values() for source in sources)
        return max((source.period_ms for source in every if source.device in devices), default=0)

    def _look_at(self, row: StoredRecord, found: PhaseResult, silenced: Sequence[str], *, in_grace: bool) -> None:
        for (unit, quantity), sources in self.sources.items():
            if unit != row.unit:
                continue
            value, quality = row.values.get(quantity, (None, None))
            usable = value is not None and quality is not None and quality.usable
            shown = f"{unit} {quantity} {format_time(row.time_ms)}"
            if all(source.device in silenced for source in sources):
                found.silenced[quality.name.lower() if quality is not None else "absent"] += 1
                if usable and not in_grace:
                    found.silent_usable.append(f"{shown}: {value}")
                continue
            found.values += 1
            if not usable:
                found.unusable.append(f"{shown}: {quality.name.lower() if quality is not None else 'absent'}")
            elif value is not None:
                self._compare(row.time_ms, (unit, quantity), value, found, fall_back=bool(silenced))

    def _compare(self, time_ms: int, key: Key, value: int, found: PhaseResult, *, fall_back: bool) -> None:
        """Check that the plant had this value within the period of its source."""
        if self.truth is None:
            return
        sources = self.sources[key] if fall_back else self.sources[key][:1]
        truths = [t for t in self._truths(time_ms, key, max(s.period_ms for s in sources)) if t is not None]
        if not truths:
            return
        found.compared += 1
        if not any(abs(value - t) <= max(s.tolerance(t) for s in sources) + self.tolerance(t) for t in truths):
            found.wrong.append(f"{key[0]} {key[1]} {format_time(time_ms)}: {value}, truth {truths[-1]}")

    def _truths(self, time_ms: int, key: Key, source_ms: int) -> Iterable[int | None]:
        """The plant's values at the instants when a source of this period may have been read last."""
        assert self.truth is not None
        age_ms = source_ms if source_ms > self.period_ms else 0
        for at_ms in range(time_ms - age_ms, time_ms + 1, self.period_ms):
            if at_ms in self.truth.ticks:
                yield self.truth.ticks[at_ms][key]

    def made_up(self, to_ms: int) -> list[str]:
        """Records at instants that are no tick, or with the tag of a change that never happened."""
        found = []
        for row in self.stored.rows:
            astray = row.cause is Cause.TICK and row.time_ms % self.period_ms
            # At whole seconds the plant itself changes statuses: a target or a limit is reached.
            invented = (
                self.truth is not None and row.cause is Cause.CHANGE and row.time_ms <= to_ms
                and row.device_time_ms is not None and row.device_time_ms % 1000
                and (row.device_time_ms, row.unit) not in self.truth.instants
            )  # fmt: skip
            if astray or invented:
                found.append(f"{row.unit} {row.time_ms} {row.cause.name.lower()}")
        return found

    def changes(self, from_ms: int, to_ms: int, limit_ms: int) -> tuple[int, list[str]]:
        """Number of true status changes in a stretch, and those not recorded in order with tag and value."""
        assert self.truth is not None
        wanted = [switch for switch in self.truth.switches if from_ms < switch[0] <= to_ms]
        wrong = []
        for unit in self.units:
            own = iter([row for row in self.stored.rows if row.unit == unit and row.cause is Cause.CHANGE])
            for at_ms, name, quantity, value in wanted:
                if name != unit:
                    continue
                hit = next((r for r in own if abs((r.device_time_ms or 0) - at_ms) <= limit_ms
                            and r.values.get(quantity, (None, None))[0] == value), None)  # fmt: skip
                if hit is None:
                    wrong.append(f"{unit} {quantity} → {value} {format_time(at_ms)}")
                    own = iter([row for row in self.stored.rows if row.unit == unit and row.cause is Cause.CHANGE])
        return len(wanted), wrong
