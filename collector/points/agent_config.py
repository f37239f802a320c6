# SPDX-License-Identifier: GPL-3.0-or-later
"""agent.toml: a gateway, its uplink and buffer, its plants, units and devices, with the point tables of the devices.

The agent, `verify`, `accept` and the simulators all start from it. Every default stands here and, in words, in the
samples under config/.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from collector.base.config import Identifier, Mqtt, PortNumber, Section, load_settings
from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.points.load import load_device_ids, load_points
from collector.points.point import Point

ServerPlace = Annotated[str, Field(pattern=r"^[^\s:]+:[0-9]{1,5}$")]


def _in_tenths(value_s: float) -> float:
    if round(value_s, 1) != value_s:
        raise ValueError(tr("a period is given in tenths of a second: 0.1, 0.5, 1, 60"))
    return value_s


PeriodSeconds = Annotated[float, Field(ge=0.1, le=3600), AfterValidator(_in_tenths)]


class GatewayConfig(Section):
    """`[gateway]`: this machine. `time_server`: HOST:PORT of a simulator that keeps the time, else the host's clock."""

    id: Identifier
    state_dir: str = "/var/lib/collector"
    record_period_s: PeriodSeconds = 1.0
    reorder_ms: Annotated[int, Field(ge=0, le=60_000)] = 1500
    stale_after_periods: Annotated[int, Field(ge=1, le=100)] = 3
    time_server: str = ""
    metrics_listen: str = ""

    @property
    def record_period_ms(self) -> int:
        """Time between two records of a unit, ms."""
        return round(self.record_period_s * 1000)


class UplinkConfig(Section):
    """`[uplink]`: how sealed batches leave. `center_key_file`: the center's Ed25519 key, PEM; empty only for trials.

    `kind`: `file` where an isolation device carries files from `folder`/out to the center, and back into `folder`/in.
    `ack`: `none` where that device lets nothing back: a batch handed over is kept `keep_days` and then counted as
    handed over, unconfirmed.
    """

    kind: Literal["mqtt", "file"] = "mqtt"
    folder: str = ""
    ack: Literal["center", "none"] = "center"
    keep_days: Annotated[int, Field(ge=1, le=366)] = 30
    order: Literal["oldest_first", "live_first"] = "oldest_first"
    window: Annotated[int, Field(ge=1, le=1000)] = 16
    rate_cap_bytes_per_s: Annotated[int, Field(ge=0)] = 0
    ack_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    backoff_max_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    center_key_file: str = ""

    @property
    def is_one_way(self) -> bool:
        """True if the center never answers: no acknowledgements come back."""
        return self.ack == "none"


class BufferConfig(Section):
    """`[buffer]`: the durable queue on disk. `batch_max_bytes`: below the 128 KiB that many brokers take at most."""

    max_bytes: Annotated[int, Field(ge=1_000_000)] = 2_000_000_000
    batch_max_age_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    batch_max_records: Annotated[int, Field(ge=1, le=100_000)] = 4096
    batch_max_bytes: Annotated[int, Field(ge=2048, le=4_194_304)] = 120_000
    seal_on_change: bool = True
    keep_after_ack_h: Annotated[int, Field(ge=0)] = 168


class PlantConfig(Section):
    """`[[plant]]`: one stream of batches. `signing_key_file`: the plant's Ed25519 key, PEM; empty only for trials."""

    id: Identifier
    signing_key_file: str = ""


class UnitConfig(Section):
    """`[[unit]]`: a generating unit."""

    id: Identifier
    plant: Identifier


class DeviceConfig(Section):
    """`[[device]]`: one governor, AVC controller or meter. `unit`: default generating unit of its points.

    `ignore_columns`: headings of its point table that are passed over.
    `slave`: Modbus unit id. `max_registers`, `max_coils`, `max_gap`, `one_point_per_request`, `pause_ms`: what the
    device takes. `quiet_ms`: silence after which a line out of step is used again. `transaction_id`: "any" for a Modbus
    gateway that answers with numbers of its own. `retry_refused_s`: longest rest of a point at a refused address.
    `backoff_max_s`: longest of a silent device. `common_addresses`: 101 or 104 stations asked on the link. `link_mode`:
    "balanced" where a 101 station sends by itself. `link_address`: of a 101 station. `link_address_octets`,
    `cause_octets`, `common_address_octets`, `object_address_octets`: widths of these fields on a 101 link.
    `link_retries`: how often a request without answer is repeated before the link counts as down. `transit_s`: how
    long a double point may be between its two positions. `redundant`: HOST:PORT of their other servers. `address`: DL/T
    645 or 698.45 meter, 12 digits; 12 A: whoever is there, for `agent read` when commissioning. `logical_address`,
    `client_address`: of a 698.45 meter, and of this gateway as it asks it.
    """

    id: Identifier
    protocol: Literal[
        "modbus_tcp", "modbus_udp", "modbus_rtu", "modbus_rtu_over_tcp", "modbus_ascii", "modbus_ascii_over_tcp",
        "iec104", "iec101", "iec101_over_tcp", "dlt645", "dlt645_over_tcp", "dlt698", "dlt698_over_tcp",
    ]  # fmt: skip
    points: str
    ignore_columns: list[str] = []
    unit: str = ""
    host: str = ""
    port: PortNumber | None = None
    serial: str = ""
    baud: Annotated[int, Field(ge=300, le=4_000_000)] = 9600
    parity: Literal["none", "even", "odd"] = "even"
    data_bits: Literal[7, 8] = 8
    slave: Annotated[int, Field(ge=0, le=255)] = 1
    common_addresses: list[Annotated[int, Field(ge=1, le=65534)]] = []
    link_mode: Literal["unbalanced", "balanced"] = "unbalanced"
    link_address: Annotated[int, Field(ge=0, le=65534)] = 1
    link_address_octets: Annotated[int, Field(ge=0, le=2)] = 1
    cause_octets: Annotated[int, Field(ge=1, le=2)] = 1
    common_address_octets: Annotated[int, Field(ge=1, le=2)] = 1
    object_address_octets: Annotated[int, Field(ge=1, le=3)] = 2
    link_retries: Annotated[int, Field(ge=0, le=10)] = 2
    address: str = ""
    logical_address: Annotated[int, Field(ge=0, le=3)] = 0
    client_address: Annotated[int, Field(ge=0, le=255)] = 16
    redundant: list[ServerPlace] = []
    period_s: PeriodSeconds | None = None
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    pause_ms: Annotated[int, Field(ge=0, le=10_000)] = 0
    quiet_ms: Annotated[int, Field(ge=1, le=10_000)] = 200
    transaction_id: Literal["same", "any"] = "same"
    max_registers: Annotated[int, Field(ge=1, le=125)] = 125
    max_coils: Annotated[int, Field(ge=1, le=2000)] = 2000
    max_gap: Annotated[int, Field(ge=0, le=124)] = 0
    one_point_per_request: bool = False
    retry_refused_s: Annotated[int, Field(ge=1, le=86_400)] = 600
    backoff_max_s: Annotated[float, Field(ge=0, le=300)] = 10.0
    interrogation_period_s: Annotated[int, Field(ge=1, le=86_400)] = 900
    transit_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    k: Annotated[int, Field(ge=1, le=32767)] = 12
    w: Annotated[int, Field(ge=1, le=32767)] = 8
    t0_s: Annotated[int, Field(ge=1, le=255)] = 30
    t1_s: Annotated[int, Field(ge=1, le=255)] = 15
    t2_s: Annotated[int, Field(ge=1, le=255)] = 10
    t3_s: Annotated[int, Field(ge=1, le=255)] = 20
    utc_offset_min: Annotated[int, Field(ge=-840, le=840)] = 480

    @property
    def is_telecontrol(self) -> bool:
        """Whether the device speaks IEC 60870-5-101 or -104: it is interrogated, and reports changes by itself."""
        return self.protocol.startswith("iec10")

    @property
    def is_iec101(self) -> bool:
        """Whether the device is a 101 station, on a serial line or behind a serial server."""
        return self.protocol.startswith("iec101")


class AgentSettings(Section):
    """agent.toml as written."""

    schema_version: Literal[1] = Field(alias="schema")
    gateway: GatewayConfig
    mqtt: Mqtt = Mqtt()
    uplink: UplinkConfig = UplinkConfig()
    buffer: BufferConfig = BufferConfig()
    plant: list[PlantConfig]
    unit: list[UnitConfig]
    device: list[DeviceConfig]


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
                path.parent / device.points, device.protocol.removesuffix("_over_tcp"), device.id, device.ignore_columns
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
    """Refuse a device column with an unknown id: such rows would silently belong to no device."""
    known = {device.id for device in settings.device}
    for name in dict.fromkeys(device.points for device in settings.device):
        for device_id, row in load_device_ids(path.parent / name).items():
            if device_id not in known:
                near = difflib.get_close_matches(device_id, known, 1)
                hint = tr("; did you mean {near!r}?", near=near[0]) if near else ""
                message = tr("no [[device]] has id {device_id!r}{hint}", device_id=device_id, hint=hint)
                problems.append(Problem(str(path.parent / name), row, "device", message))


def _check_references(file: str, settings: AgentSettings, problems: list[Problem]) -> None:
    tables: dict[str, Sequence[PlantConfig | UnitConfig | DeviceConfig]] = {
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
    if (settings.uplink.kind == "file") != bool(settings.uplink.folder):
        problems.append(Problem(file, 0, "uplink.folder", tr('is needed with kind = "file", and only there')))
    if settings.uplink.is_one_way and settings.uplink.kind != "file":
        message = tr('"none" is for kind = "file": a broker carries acknowledgements')
        problems.append(Problem(file, 0, "uplink.ack", message))
    if settings.uplink.is_one_way and settings.uplink.order != "oldest_first":
        message = tr('"oldest_first" is the only order with ack = "none"')
        problems.append(Problem(file, 0, "uplink.order", message))
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
        if device.protocol in ("modbus_rtu", "modbus_ascii", "dlt645", "dlt698", "iec101") and not device.serial:
            problems.append(
                Problem(file, 0, f"{key}.serial", tr("{protocol} needs the serial line", protocol=device.protocol))
            )
        if device.protocol.startswith("dlt") and re.fullmatch(r"[0-9]{1,12}|A{12}", device.address) is None:
            message = tr(
                "a meter's address has 12 digits (leading zeros may be left out), got {address!r}",
                address=device.address,
            )
            problems.append(Problem(file, 0, f"{key}.address", message))
        if device.is_telecontrol and not device.common_addresses:
            problems.append(Problem(file, 0, f"{key}.common_addresses", tr("name at least one common address")))
        if device.is_iec101:
            problems += _link_problems(file, key, device)


def _link_problems(file: str, key: str, device: DeviceConfig) -> Iterator[Problem]:
    """The problems of a device's settings of its 101 link."""
    if not device.link_address_octets and device.link_mode != "balanced":
        message = tr("0: only a balanced link may go without an address, two stations on a line need theirs")
        yield Problem(file, 0, f"{key}.link_address_octets", message)
    # The highest value of each width means all stations.
    limit = 256**device.link_address_octets - 2
    if device.link_address_octets and device.link_address > limit:
        message = tr("{value} does not fit: {octets} octets hold up to {limit}", value=device.link_address,
                     octets=device.link_address_octets, limit=limit)  # fmt: skip
        yield Problem(file, 0, f"{key}.link_address", message)
    limit = 256**device.common_address_octets - 2
    for common_address in device.common_addresses:
        if common_address > limit:
            message = tr("{value} does not fit: {octets} octets hold up to {limit}", value=common_address,
                         octets=device.common_address_octets, limit=limit)  # fmt: skip
            yield Problem(file, 0, f"{key}.common_addresses", message)


def _check_units(
    file: str, index: int, device: DeviceConfig, points: tuple[Point, ...], units: set[str], problems: list[Problem]
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
        if device.is_telecontrol and point.common_address is None and len(device.common_addresses) > 1:
            problems.append(Problem(point.file, point.row, "common_address", tr("the device has several: name one")))
        limit = 256**device.object_address_octets - 1
        if device.is_iec101 and point.address > limit:
            message = tr("{value} does not fit: {octets} octets hold up to {limit}", value=point.address,
                         octets=device.object_address_octets, limit=limit)  # fmt: skip
            problems.append(Problem(point.file, point.row, "address", message))
