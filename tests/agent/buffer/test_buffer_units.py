# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of a buffer: more than one batch may name, and others than before while it is open."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from collector.agent.buffer.buffer import Buffer
from collector.base.errors import InvariantBroken
from collector.model.record import UnitLayout, UnitRecord
from collector.points import agent_config
from tests.agent.buffer.agent_buffers import GOOD, QUANTITIES, T0, contents, open_buffer, pending, record


def test_more_units_than_a_batch_may_name_fill_several(tmp_path: Path) -> None:
    units = [f"U{number:03}" for number in range(300)]
    buffer = Buffer.open(
        tmp_path / "b", gateway="g1", plants_of_unit=dict.fromkeys(units, "P1"), settings=agent_config.BufferConfig(),
        layouts={unit: UnitLayout(unit, QUANTITIES) for unit in units}, signers={}, now_utc_ms=T0,
    )  # fmt: skip
    with closing(buffer):
        buffer.append([UnitRecord(unit, T0, (1, 1), GOOD) for unit in units])
        buffer.seal_all()
        batches = [contents(outgoing) for outgoing in pending(buffer)]
    assert [len(batch.layouts) for batch in batches] == [256, 44]
    assert [r.unit for batch in batches for r in batch.records] == units


def test_a_value_beyond_the_wires_bounds_names_its_unit_and_nothing_is_written(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b")) as buffer:
        for value in (2**61 + 1, -(2**61) - 1):
            bad = UnitRecord("U2", T0 + 1000, (None, value), GOOD)
            with pytest.raises(InvariantBroken, match="beyond") as told:
                buffer.append([record(1), bad])
            assert told.value.subject == "U2"
        assert buffer.counts().recorded == 0
        buffer.append([record(1), UnitRecord("U2", T0 + 1000, (None, 2**61), GOOD)])
        assert buffer.counts().recorded == 2


def test_other_units_and_quantities_while_it_is_open_seal_what_was_recorded_before(tmp_path: Path) -> None:
    wider = UnitLayout("U1", (*QUANTITIES, "frequency_hz"))
    plants = {"U1": "P1", "U2": "P1", "V1": "P2", "U9": "P1"}
    layouts = {unit: UnitLayout(unit, QUANTITIES) for unit in plants} | {"U1": wider}
    with closing(open_buffer(tmp_path / "b")) as buffer:
        buffer.append([record(1)])
        buffer.change_units(plants, layouts)
        assert buffer.last("U1") == (0, T0 + 1000)
        with pytest.raises(InvariantBroken, match="layout"):
            buffer.append([record(2)])
        buffer.append([UnitRecord("U1", T0 + 2000, (2, 1, 50_000_000), (*GOOD, GOOD[0])), record(2, unit="U9")])
        buffer.seal_all()
        batches = [contents(outgoing) for outgoing in pending(buffer)]
        with pytest.raises(ValueError, match="no stream for plant P9"):
            buffer.change_units({"W": "P9"}, {"W": UnitLayout("W", QUANTITIES)})
    assert [[(layout.unit, len(layout.quantities)) for layout in b.layouts] for b in batches] == [
        [("U1", 2)], [("U1", 3), ("U9", 2)],
    ]  # fmt: skip
