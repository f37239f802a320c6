# SPDX-License-Identifier: GPL-3.0-or-later
"""agent.toml: a gateway, its uplink and buffer, its plants, units and devices, with the point tables of the devices.

The agent, `verify`, `accept` and the simulators all start from it. Every default stands here and, in words, in the
samples under config/.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from collector.base.config import Identifier, Mqtt, PortNumber, Section, load_settings
from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.points.load import load_device_ids, load_points
from collector.points.point import Point

ServerPlace = Annotated[str, Field(pattern=r"^[^\s:]+:[0-9]{1,5}$")]


class Gateway(Section):
    """`[gateway]`: this machine. `time_server`: HOST:PORT of a simulator that keeps the time, else the host's clock."""

    id: Identifier
    state_dir: str = "/var/lib/collector"
    record_period_s: Annotated[int, Field(ge=1, le=3600)] = 1
    reorder_ms: Annotated[int, Field(ge=0, le=60_000)] = 1500
    stale_after_periods: Annotated[int, Field(ge=1, le=100)] = 3
    time_server: str = ""
    metrics_listen: str = ""


class Uplink(Section):
    """`[uplink]`: how sealed batches leave. `center_key_file`: the center's Ed25519 key, PEM; empty only for trials."""

    order: Literal["oldest_first", "live_first"] = "oldest_first"
    window: Annotated[int, Field(ge=1, le=1000)] = 16
    rate_cap_bytes_per_s: Annotated[int, Field(ge=0)] = 0
    ack_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    backoff_max_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    center_key_file: str = ""


class Buffer(Section):
    """`[buffer]`: the durable queue on disk."""

    max_bytes: Annotated[int, Field(ge=1_000_000)] = 2_000_000_000
    batch_max_age_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    batch_max_records: Annotated[int, Field(ge=1, le=100_000)] = 4096
    seal_on_change: bool = True
    keep_after_ack_h: Annotated[int, Field(ge=0)] = 168


class Plant(Section):
    """`[[plant]]`: one stream of batches. `signing_key_file`: the plant's Ed25519 key, PEM; empty only for trials."""

    id: Identifier
    signing_key_file: str = ""


class Unit(Section):
    """`[[unit]]`: a generating unit."""

    id: Identifier
    plant: Identifier


class Device(Section):
    """`[[device]]`: one governor, AVC controller or meter. `unit`: default generating unit of its points.

    `slave`: Modbus unit id. `max_registers`, `max_coils`, `max_gap`, `one_point_per_request`, `pause_ms`: what the
    device takes. `retry_refused_s`: rest of a point at a refused address. `backoff_max_s`: longest of a silent device.
    `common_addresses`: 104 stations asked on the link. `redundant`: HOST:PORT of their other servers. `address`: DL/T
    645 meter, 12 digits; 12 A: whoever is there, for `agent read` when commissioning.
    """

    id: Identifier
    protocol: Literal["modbus_tcp", "modbus_rtu", "modbus_rtu_over_tcp", "iec104", "dlt645", "dlt645_over_tcp"]
    points: str
    unit: str = ""
    host: str = ""
    port: PortNumber | None = None
    serial: str = ""
    baud: Annotated[int, Field(ge=300, le=4_000_000)] = 9600
    parity: Literal["none", "even", "odd"] = "even"
    slave: Annotated[int, Field(ge=0, le=255)] = 1
    common_addresses: list[Annotated[int, Field(ge=1, le=65534)]] = []
    address: str = ""
    redundant: list[ServerPlace] = []
    period_s: Annotated[int, Field(ge=1, le=3600)] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    pause_ms: Annotated[int, Field(ge=0, le=10_000)] = 0
    max_registers: Annotated[int, Field(ge=1, le=125)] = 125
    max_coils: Annotated[int, Field(ge=1, le=2000)] = 2000
    max_gap: Annotated[int, Field(ge=0, le=124)] = 0
    one_point_per_request: bool = False
    retry_refused_s: Annotated[int, Field(ge=1, le=86_400)] = 600
    backoff_max_s: Annotated[float, Field(ge=0, le=300)] = 10.0
    interrogation_period_s: Annotated[int, Field(ge=1, le=86_400)] = 900
    k: Annotated[int, Field(ge=1, le=32767)] = 12
    w: Annotated[int, Field(ge=1, le=32767)] = 8
    t0_s: Annotated[int, Field(ge=1, le=255)] = 30
    t1_s: Annotated[int, Field(ge=1, le=255)] = 15
    t2_s: Annotated[int, Field(ge=1, le=255)] = 10
    t3_s: Annotated[int, Field(ge=1, le=255)] = 20
    utc_offset_min: Annotated[int, Field(ge=-840, le=840)] = 480


class AgentSettings(Section):
    """agent.toml as written."""

    schema_version: Literal[1] = Field(alias="schema")
    gateway: Gateway
    mqtt: Mqtt = Mqtt()
    uplink: Uplink = Uplink()
    buffer: Buffer = Buffer()
    plant: list[Plant]
    unit: list[Unit]
    device: list[Device]


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """agent.toml with its point tables read. `points` per device id; `directory` resolves relative file names."""

    settings: AgentSettings
    points: Mapping[str, tuple[Point, ...]]
    directory: Path

    def resolve(self, name: str) -> Path:
        """A file named in the configuration: relative to the configuration's own folder."""
        return self.directory / name


def load_agent(path: Path) -> AgentConfig:
    """agent.toml and the point tables it names.

    Raises:
        ConfigError: everything wrong in all of these files.
    """
    settings = load_settings(path, AgentSettings)
    problems: list[Problem] = []
    _check_references(str(path), settings, problems)
    tables: dict[str, tuple[Point, ...]] = {}
    for index, device in enumerate(settings.device, 1):
        try:
            tables[device.id] = load_points(
                path.parent / device.points, device.protocol.removesuffix("_over_tcp"), device.id
            )
        except ConfigError as error:
            problems.extend(p for p in error.problems if p not in problems)
            continue
        _check_units(str(path), index, device, tables[device.id], {u.id for u in settings.unit}, problems)
    _check_device_column(path, settings, problems)
    if problems:
        raise ConfigError(problems)
    return AgentConfig(settings, tables, path.parent)


def _check_device_column(path: Path, settings: AgentSettings, problems: list[Problem]) -> None:
    """A misspelt id in a table's device column would silently drop its rows."""
    known = {device.id for device in settings.device}
    for name in dict.fromkeys(device.points for device in settings.device):
        for device_id, row in load_device_ids(path.parent / name).items():
            if device_id not in known:
                near = difflib.get_close_matches(device_id, known, 1)
                hint = tr("; did you mean {near!r}?", near=near[0]) if near else ""
                message = tr("no [[device]] has id {device_id!r}{hint}", device_id=device_id, hint=hint)
                problems.append(Problem(str(path.parent / name), row, "device", message))


def _check_references(file: str, settings: AgentSettings, problems: list[Problem]) -> None:
    tables: dict[str, Sequence[Plant | Unit | Device]] = {
        "plant": settings.plant, "unit": settings.unit, "device": settings.device,
    }  # fmt: skip
    for name, rows in tables.items():
        seen: set[str] = set()
        for index, row in enumerate(rows, 1):
            if row.id in seen:
                problems.append(Problem(file, 0, f"{name}[{index}].id", tr("{id!r} is used twice", id=row.id)))
            seen.add(row.id)
        if not rows:
            problems.append(Problem(file, 0, name, tr("at least one [[{name}]] is needed", name=name)))
    plants = {p.id for p in settings.plant}
    for index, unit in enumerate(settings.unit, 1):
        if unit.plant not in plants:
            near = difflib.get_close_matches(unit.plant, plants, 1)
            hint = tr("; did you mean {near!r}?", near=near[0]) if near else ""
            problems.append(
                Problem(
                    file,
                    0,
                    f"unit[{index}].plant",
                    tr("no [[plant]] has id {plant!r}{hint}", plant=unit.plant, hint=hint),
                )
            )
    for index, device in enumerate(settings.device, 1):
        key = f"device[{index}]"
        if device.serial:
            if device.host:
                problems.append(Problem(file, 0, key, tr("give either host and port, or serial")))
        elif not device.host or device.port is None:
            problems.append(Problem(file, 0, key, tr("{protocol} needs host and port", protocol=device.protocol)))
        if device.protocol in ("modbus_rtu", "dlt645") and not device.serial:
            problems.append(
                Problem(file, 0, f"{key}.serial", tr("{protocol} needs the serial line", protocol=device.protocol))
            )
        if device.protocol.startswith("dlt645") and re.fullmatch(r"[0-9]{1,12}|A{12}", device.address) is None:
            message = tr(
                "a meter's address has 12 digits (leading zeros may be left out), got {address!r}",
                address=device.address,
            )
            problems.append(Problem(file, 0, f"{key}.address", message))
        if device.protocol == "iec104" and not device.common_addresses:
            problems.append(Problem(file, 0, f"{key}.common_addresses", tr("name at least one common address")))


def _check_units(
    file: str, index: int, device: Device, points: tuple[Point, ...], units: set[str], problems: list[Problem]
) -> None:
    if device.unit and device.unit not in units:
        problems.append(Problem(file, 0, f"device[{index}].unit", tr("no [[unit]] has id {unit!r}", unit=device.unit)))
    for point in points:
        unit = point.unit or device.unit
        if point.guard:
            continue
        if not unit:
            problems.append(
                Problem(
                    point.file, point.row, "unit", tr("neither the row nor device {id!r} names a unit", id=device.id)
                )
            )
        elif unit not in units:
            problems.append(Problem(point.file, point.row, "unit", tr("no [[unit]] has id {unit!r}", unit=unit)))
        if device.protocol == "iec104" and point.common_address is None and len(device.common_addresses) > 1:
            problems.append(Problem(point.file, point.row, "common_address", tr("the device has several: name one")))
