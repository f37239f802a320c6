# SPDX-License-Identifier: GPL-3.0-or-later
"""Which unit, plant and area state is in force when.

A unit is registered at an instant if a state of the unit, of its plant and of its settling area are all in force then:
no pay before a unit's or plant's `from` (Art. 3), and dated rows of areas are states like the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from .model import AreaState, Folder, PlantState, UnitState
from .times import Span


@dataclass(frozen=True, slots=True)
class State:
    """All that the register says of a unit at one instant. The area is that of the dispatching authority (I-02)."""

    unit: UnitState
    plant: PlantState
    area: AreaState

    @property
    def place(self) -> tuple[str, str]:
        """The area whose pool pays, and the plant that is paid. Source: Art. 21; rules.md, section 4."""
        return self.area.id, self.plant.id


@dataclass(frozen=True, slots=True)
class Registered:
    """A stretch over which a unit's state does not change."""

    start: int
    end: int
    state: State


class Register:
    """The dated states of a folder."""

    def __init__(self, folder: Folder) -> None:
        self.units = folder.units
        self.plants = folder.plants
        self.areas = folder.areas
        self.cut = folder.cut
        self._states_of = {unit_id: [row for row in folder.units if row.id == unit_id] for unit_id in self.unit_ids()}

    def unit_ids(self) -> list[str]:
        """All unit ids, sorted."""
        return sorted({unit.id for unit in self.units})

    def at(self, unit_id: str, time: int) -> State | None:
        """The state in force at an instant, None where the unit is not registered or a running month is cut off."""
        return self.in_force(unit_id, time) if time < self.cut else None

    def in_force(self, unit_id: str, time: int) -> State | None:
        """The state in force at an instant, also after the cut of a running month: records are judged by it."""
        unit = next((row for row in self._states_of[unit_id] if row.start <= time < row.end), None)
        plant = None if unit is None else self.plant_at(unit.plant, time)
        if unit is None or plant is None:
            return None
        area = self.area_at(unit.area or plant.area, time)
        return None if area is None else State(unit, plant, area)

    def plant_at(self, plant_id: str, time: int) -> PlantState | None:
        """The plant state in force at an instant."""
        return next((row for row in self.plants if row.id == plant_id and row.start <= time < row.end), None)

    def area_at(self, area_id: str, time: int) -> AreaState | None:
        """The area state in force at an instant."""
        return next((row for row in self.areas if row.id == area_id and row.start <= time < row.end), None)

    def changes(self, span: Span) -> set[int]:
        """Every instant inside a span at which any state begins or ends."""
        rows: list[UnitState | PlantState | AreaState] = [*self.units, *self.plants, *self.areas]
        times = {self.cut, *(time for row in rows for time in (row.start, row.end))}
        return {time for time in times if span.start < time < span.end}

    def stretches(self, unit_id: str, span: Span) -> list[Registered]:
        """The registered stretches of a unit inside a span, in order, one per state."""
        cuts = sorted({span.start, span.end} | self.changes(span))
        found = []
        for start, end in pairwise(cuts):
            state = self.at(unit_id, start)
            if state is not None:
                found.append(Registered(start, end, state))
        return found
