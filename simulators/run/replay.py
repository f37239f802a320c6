# SPDX-License-Identifier: GPL-3.0-or-later
"""The replay of recorded values by simulated devices: rows hold until the next; between stretches no device answers.

A stretch of records ends one interval (the commonest distance of two rows of the unit) after its last row. Outside, the
devices refuse connections, as when a controller behind its terminal server is switched off.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from collector.base.errors import ConfigError, Problem
from collector.model.interval import Interval, local_day, parse_time_ms
from collector.model.quantity import BY_NAME, QuantityKind, parse_scaled
from collector.points.agent_config import load_agent
from simulators.plant.scenario import free_ports
from simulators.plant.signals import Board
from simulators.run.devices import Devices
from simulators.run.simulation import Simulation

WAKE_S: Final = 12.0  # longer than the agent's longest back-off from a silent device
_TIME, _UNIT = "time", "unit"
# Register type and scale of a replayed quantity, by its factor: they hold every stored integer exactly.
_EXACT: Final = {1000: ("int32", "0.001"), 1_000_000: ("int64", "0.000001")}


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording: rows of a file in order of time (instant, unit, values by quantity), and each unit's stretches."""

    quantities: tuple[str, ...]
    units: tuple[str, ...]
    rows: tuple[tuple[int, str, tuple[int | None, ...]], ...]
    stretches: Mapping[str, tuple[Interval, ...]]

    @property
    def span(self) -> Interval:
        """The interval from the first row to the end of the last stretch."""
        return Interval(self.rows[0][0], max(s[-1].end_ms for s in self.stretches.values()))


def parse_columns(text: str) -> dict[str, str]:
    """Parse `quantity=column,…`, with `time` and `unit` unless the file has columns of these names.

    Raises:
        ConfigError: a quantity is unknown, or there is none.
    """
    mapping = {_TIME: _TIME, _UNIT: _UNIT}
    problems = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        quantity, equals, column = part.partition("=")
        if not equals or (quantity not in BY_NAME and quantity not in (_TIME, _UNIT)):
            problems.append(Problem("--columns", 0, part, "expected time=…, unit=… or a quantity=column"))
        mapping[quantity] = column
    if len(mapping) == 2 and not problems:
        problems.append(Problem("--columns", 0, "", "name at least one quantity=column, e.g. active_power_mw=p_mw"))
    if problems:
        raise ConfigError(problems)
    return mapping


def load_recording(path: Path, columns: str) -> Recording:
    """Load a recording; an empty cell means that the device has no value.

    Raises:
        ConfigError: every problem with file, row and column.
    """
    mapping = parse_columns(columns)
    quantities = tuple(q for q in BY_NAME if q in mapping)
    problems: list[Problem] = []
    header, cells = _table(path)
    absent = [column for column in mapping.values() if column not in header]
    problems.extend(Problem(str(path), 1, column, "column missing") for column in absent)
    if problems:
        raise ConfigError(problems)
    rows = [_row(path, number, row, mapping, quantities, problems) for number, row in cells]
    if not rows:
        problems.append(Problem(str(path), 0, "", "has no rows"))
    if problems:
        raise ConfigError(problems)
    rows.sort(key=lambda row: row[:2])
    units = tuple(dict.fromkeys(row[1] for row in rows))
    stretches = {unit: _stretches([row[0] for row in rows if row[1] == unit]) for unit in units}
    return Recording(quantities, units, tuple(rows), stretches)


def _table(path: Path) -> tuple[Sequence[str], Iterable[tuple[int, Mapping[str, str]]]]:
    """Header and numbered rows of a CSV or, by its suffix, a Parquet file, every cell as text."""
    try:
        if path.suffix == ".parquet":
            return _parquet(path)
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), 0, "", f"can't be read: {error}")]) from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    return reader.fieldnames or (), ((reader.line_num, cells) for cells in reader)


def _parquet(path: Path) -> tuple[Sequence[str], Iterable[tuple[int, Mapping[str, str]]]]:
    from pyarrow import parquet  # in the center extra only: a gateway replays CSV

    table = parquet.read_table(path)
    rows = ({name: _text(value) for name, value in row.items()} for row in table.to_pylist())
    return table.column_names, enumerate(rows, 2)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(int(value)) if isinstance(value, bool) else str(value)


def _row(
    path: Path, number: int, cells: Mapping[str, str], mapping: Mapping[str, str], quantities: Sequence[str],
    problems: list[Problem],
) -> tuple[int, str, tuple[int | None, ...]]:  # fmt: skip
    time_ms, values = 0, []
    column = mapping[_TIME]
    try:
        time_ms = parse_time_ms(cells[column] or "")
        for quantity in quantities:
            column = mapping[quantity]
            cell = (cells[column] or "").strip()
            values.append(parse_scaled(cell, BY_NAME[quantity].scale) if cell else None)
    except ValueError as error:
        problems.append(Problem(str(path), number, column, str(error)))
    return time_ms, cells[mapping[_UNIT]] or "", tuple(values)


def _stretches(times: Sequence[int]) -> tuple[Interval, ...]:
    steps = Counter(b - a for a, b in pairwise(times) if b > a)
    step = steps.most_common(1)[0][0] if steps else 60_000
    found: list[Interval] = []
    for time in times:
        if found and time <= found[-1].end_ms:
            found[-1] = Interval(found[-1].start_ms, time + step)
        else:
            found.append(Interval(time, time + step))
    return tuple(found)


class Playback:
    """Plays a recording into the signals, and switches devices off where nothing was recorded."""

    def __init__(self, recording: Recording, board: Board) -> None:
        self._recording = recording
        self._board = board
        self._devices: Devices | None = None
        self._next = 0
        self._dark: dict[str, bool] = {}
        self.on_light: Callable[[], None] = lambda: None
        self.now_utc_ms = recording.span.start_ms

    def attach(self, devices: Devices) -> None:
        """Attach the devices to switch off and on; a device belongs to the unit it is configured for."""
        self._devices = devices
        self.advance(self.now_utc_ms)

    def advance(self, time_utc_ms: int) -> None:
        """Play the rows up to and including an instant, then switch devices off or on."""
        rows, quantities = self._recording.rows, self._recording.quantities
        while self._next < len(rows) and rows[self._next][0] <= time_utc_ms:
            time_ms, unit, values = rows[self._next]
            self._next += 1
            for quantity, value in zip(quantities, values, strict=True):
                self._board.signal(unit, quantity).set(value, time_ms)
        self.now_utc_ms = time_utc_ms
        for unit, stretches in self._recording.stretches.items():
            dark = not any(s.start_ms <= time_utc_ms < s.end_ms for s in stretches)
            if dark != self._dark.get(unit, False) and self._devices is not None:
                self._dark[unit] = dark
                self._devices.darken(unit, dark=dark)
                if not dark:
                    self.on_light()

    def book_lines(self) -> list[dict[str, str]]:
        """Always empty: a recording has no books."""
        return []

    def book_parts(self) -> dict[str, Any]:
        """The number of rows played."""
        return {"rows": self._next}


def write_agent(
    directory: Path, recording: Recording, *, record_period_s: int = 60, plant: str = "replay", mqtt_port: int = 1883,
    timeout_s: float = 1.0, stale_after_periods: int = 3,
) -> Path:  # fmt: skip
    """Write an agent.toml and its point table for the replayed units, a Modbus TCP governor each, on free ports.

    `record_period_s` must not exceed the recording's interval; then the last row of a stretch is held no longer than it
    was recorded for.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "governor.csv").write_text(_point_table(recording.quantities), "utf-8")
    time_port, *ports = free_ports(1 + len(recording.units))
    parts = [
        "schema = 1\n",
        f'[gateway]\nid = "{plant}-gateway"\nstate_dir = "state"\nrecord_period_s = {record_period_s}\n'
        f'stale_after_periods = {stale_after_periods}\ntime_server = "127.0.0.1:{time_port}"\n',
        f'[mqtt]\nhost = "127.0.0.1"\nport = {mqtt_port}\n',
        f'[[plant]]\nid = "{plant}"\n',
        *(f'[[unit]]\nid = "{unit}"\nplant = "{plant}"\n' for unit in recording.units),
        *(
            f'[[device]]\nid = "{unit}-governor"\nprotocol = "modbus_tcp"\npoints = "governor.csv"\nunit = "{unit}"\n'
            f'host = "127.0.0.1"\nport = {port}\ntimeout_s = {timeout_s}\n'
            for unit, port in zip(recording.units, ports, strict=True)
        ),
    ]
    file = directory / "agent.toml"
    file.write_text("\n".join(parts), "utf-8")
    return file


def _point_table(quantities: Iterable[str]) -> str:
    """A point table: analog values first, then one word of status bits, so that a single request reads them all."""
    lines, address = ["name,quantity,area,type,address,bit,scale,raw_unit"], 0
    statuses: list[str] = []
    for name in quantities:
        quantity = BY_NAME[name]
        if quantity.kind is QuantityKind.STATUS:
            statuses.append(name)
            continue
        kind, scale = _EXACT[quantity.scale]
        lines.append(f"{name},{name},holding,{kind},{address},,{scale},{quantity.unit}")
        address += 2 if kind == "int32" else 4
    lines.extend(f"{name},{name},holding,bit,{address},{bit},," for bit, name in enumerate(statuses))
    return "\n".join(lines) + "\n"


def replay_simulation(recording_file: Path, columns: str, place: Path, *, wake_s: float = WAKE_S) -> Simulation:
    """A simulation that plays a recording by the devices of `place`: an agent.toml, or a folder to write one into.

    `wake_s`: seconds of real time for which simulated time stands still when devices return after a silence. Days of
    silence pass in real seconds, but the agent's back-off runs in real time: without this wait it would not yet poll
    again while the next recorded days pass.

    Raises:
        ConfigError: the recording or the configuration is invalid.
    """
    recording = load_recording(recording_file, columns)
    agent_file = place if place.suffix == ".toml" else write_agent(place, recording)
    config = load_agent(agent_file)
    known = {unit.id for unit in config.settings.unit}
    missing = [unit for unit in recording.units if unit not in known]
    if missing:
        raise ConfigError(
            [Problem(str(agent_file), 0, "unit", f"no [[unit]] for {u!r} of the recording") for u in missing]
        )
    board = Board()
    playback = Playback(recording, board)
    devices = Devices(config, board=board, now_utc_ms=lambda: playback.now_utc_ms)
    playback.attach(devices)
    simulation = Simulation(config, devices, playback, recording.span, str(local_day(recording.span.start_ms))[:7])
    playback.on_light = lambda: simulation.keeper.linger(wake_s)
    return simulation
