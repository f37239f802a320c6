# SPDX-License-Identifier: GPL-3.0-or-later
"""A month's inputs split by plant, for jobs that run elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from collector.settlement.inputs import Inputs


def inputs_by_plant(
    inputs: Inputs, units_of: Mapping[str, Sequence[str]], plants: Collection[str]
) -> dict[str, Inputs]:
    """The inputs of each plant: only rows of its units."""
    plant_of = {unit: plant for plant in plants for unit in units_of[plant]}
    plan, band = _tables_by_plant(inputs.plan, plant_of), _tables_by_plant(inputs.voltage_band, plant_of)

    def rows(of_all: Sequence[Any] | None) -> dict[str, list[Any]] | None:
        if of_all is None:
            return None
        found: dict[str, list[Any]] = {plant: [] for plant in plants}
        for row in of_all:
            if row.unit in plant_of:
                found[plant_of[row.unit]].append(row)
        return found

    orders, reserves, exclusions = rows(inputs.orders), rows(inputs.reserves), rows(inputs.exclusions)
    changes, calls = rows(inputs.meter_changes), rows(inputs.reserve_calls)
    register = inputs.register
    parts: dict[str, Inputs] = {}
    for plant in plants:
        units = tuple(state for state in register.units if plant_of.get(state.id) == plant)
        theirs = {plant, *(state.plant for state in units)}
        mine = replace(register, plants=tuple(s for s in register.plants if s.id in theirs), units=units)
        parts[plant] = Inputs(
            register=mine,
            records=inputs.records,
            unit_columns={},
            plan=None if plan is None else plan.get(plant, inputs.plan.slice(0, 0)),  # type: ignore[union-attr]
            orders=None if orders is None else tuple(orders[plant]),
            reserves=None if reserves is None else tuple(reserves[plant]),
            voltage_band=None if band is None else band.get(plant, inputs.voltage_band.slice(0, 0)),  # type: ignore[union-attr]
            exclusions=None if exclusions is None else tuple(exclusions[plant]),
            meter_changes=None if changes is None else tuple(changes[plant]),
            reserve_calls=None if calls is None else tuple(calls[plant]),
        )
    return parts


def _tables_by_plant(table: pa.Table | None, plant_of: Mapping[str, str]) -> dict[str, pa.Table] | None:
    """The rows of a long table by plant, in their order."""
    if table is None:
        return None
    names = table.column("unit").cast(pa.string()).combine_chunks().dictionary_encode()
    plants = sorted(set(plant_of.values()))
    index = {plant: n for n, plant in enumerate(plants)}
    of_name = np.array([index.get(plant_of.get(name, ""), -1) for name in names.dictionary.to_pylist()] or [-1])
    codes = of_name[names.indices.to_numpy(zero_copy_only=False)]
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(plants) + 1))
    return {
        plant: table.take(pa.array(order[starts[n] : starts[n + 1]])).combine_chunks()
        for n, plant in enumerate(plants)
        if starts[n] < starts[n + 1]
    }
