# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording played as devices: values hold from row to row, and between stretches nobody answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from collector.base.clock import SimulatedClock
from collector.base.errors import ConfigError
from collector.model.interval import Interval, parse_time_ms
from simulators.run.replay import load_recording, replay_simulation
from simulators.run.simulation import Simulation, opened
from tests.patience import HANG_S

COLUMNS = "unit=name,active_power_mw=p,agc_in_service=agc"
START = parse_time_ms("2026-03-01T00:00:00+10:00")
FIVE_MINUTES = 300_000


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Unit A: 00:00, 00:05, 00:10, then 01:00 and 01:05. Unit B: 00:00 and 00:05."""
    file = tmp_path / "recording.csv"
    file.write_text(
        "name,time,p,agc\nA,2026-03-01T00:00:00+10:00,1.5,0\nB,2026-03-01T00:00:00+10:00,100,1\n"
        "A,2026-03-01T00:05:00+10:00,-2.25,1\nA,2026-03-01T00:10:00+10:00,,1\nB,2026-03-01T00:05:00+10:00,101,1\n"
        "A,2026-03-01T01:00:00+10:00,7,0\nA,2026-03-01T01:05:00+10:00,8,0\n",
        "utf-8",
    )
    return file


def test_a_stretch_ends_one_interval_after_its_last_row(recording: Path) -> None:
    loaded = load_recording(recording, COLUMNS)
    hour = START + 3_600_000
    assert loaded.stretches == {
        "A": (Interval(START, START + 3 * FIVE_MINUTES), Interval(hour, hour + 2 * FIVE_MINUTES)),
        "B": (Interval(START, START + 2 * FIVE_MINUTES),),
    }


async def poll(simulation: Simulation, unit: str) -> tuple[int, int] | None:
    """(kW, AGC) as a Modbus client reads them; None where nobody is there."""
    place = next(d for d in simulation.config.settings.device if d.unit == unit)
    try:
        reader, writer = await asyncio.open_connection(place.host, place.port)
    except ConnectionRefusedError:
        return None
    writer.write(bytes.fromhex("000100000006010300000003"))
    async with asyncio.timeout(HANG_S):
        answer = await reader.readexactly(15)
    writer.close()
    return int.from_bytes(answer[9:13], "big", signed=True), answer[14]


def test_devices_show_the_row_in_force_and_refuse_between_stretches(recording: Path, tmp_path: Path) -> None:
    async def run() -> list[tuple[tuple[int, int] | None, tuple[int, int] | None]]:
        simulation = replay_simulation(recording, COLUMNS, tmp_path / "agent", wake_s=0.1)
        seen = []
        async with opened(simulation):
            clock = await SimulatedClock.connect("127.0.0.1", simulation.time_port)
            for minutes in (0, 4.99, 5, 12, 15, 59.9, 60, 66):
                await clock.sleep_until(START + int(minutes * 60_000))
                seen.append((await poll(simulation, "A"), await poll(simulation, "B")))
            await clock.close()
        return seen

    assert asyncio.run(run()) == [
        ((1500, 0), (100_000, 1)),
        ((1500, 0), (100_000, 1)),
        ((-2250, 1), (101_000, 1)),
        ((-2250, 1), None),  # an empty cell: a Modbus integer has no way to say so, the device keeps its value
        (None, None),
        (None, None),
        ((7000, 0), None),
        ((8000, 0), None),
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("active_power=p", "expected time=…, unit=… or a quantity=column"),
        ("unit=name", "name at least one quantity=column"),
        ("unit=name,active_power_mw=power", "column missing"),
        ("unit=name,active_power_mw=time", "not a number"),
        ("unit=name,time=p,active_power_mw=p", "a time is ISO 8601 with offset"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_with_its_reason(recording: Path, columns: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recording(recording, columns)


def test_a_parquet_recording_is_read_like_its_csv(recording: Path, tmp_path: Path) -> None:
    text = recording.read_text("utf-8").splitlines()
    columns = dict(zip(text[0].split(","), zip(*(line.split(",") for line in text[1:]), strict=True), strict=True))
    table = pa.table(
        {
            "name": columns["name"],
            "time": [parse_time_ms(time) for time in columns["time"]],
            "p": [float(value) if value else None for value in columns["p"]],
            "agc": [value == "1" for value in columns["agc"]],
        }
    )
    parquet.write_table(table, tmp_path / "recording.parquet")
    assert load_recording(tmp_path / "recording.parquet", COLUMNS) == load_recording(recording, COLUMNS)
