# SPDX-License-Identifier: GPL-3.0-or-later
"""`agent check`: everything that can be checked without touching a device: problems, and the read plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from collector.agent.device.dlt645.codec import WILDCARD, layout_of
from collector.agent.device.dlt645.driver import layouts_of
from collector.agent.device.dlt698.driver import ATTRIBUTES_PER_REQUEST, check_attributes
from collector.agent.device.factory import limits_of, line_name, serial_line
from collector.agent.device.iec101.driver import layout_of as widths_of
from collector.agent.device.iec60870.asdu import OBJECT_BYTES
from collector.agent.device.modbus.plan import plan_reads
from collector.agent.device.registers import Guard
from collector.agent.operate.status_server import loopback
from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.points import Point
from collector.points.agent_config import AgentConfig, DeviceConfig

_MODBUS_TCP_EXTRA_BYTES = 8
# A usual answer time inside a plant network; `agent read` shows the real one.
_ROUND_TRIP_S = 0.01
_DLT645_REQUEST_BYTES = 20
# Preamble, head, identifier and tail of an answer.
_DLT645_ANSWER_BYTES = 20
_DLT698_HEAD_BYTES = 26
_DLT698_ATTRIBUTE_BYTES = 4 + 4 + 3 + 3 * 5


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """The cost of one cycle of a device. `requests`: Modbus requests, frames to a meter or a 101 station, or 104
    interrogations.

    `bytes`: request and reply of a cycle, framing included, without TCP/IP. `cycle_s`: seconds a cycle takes: bits over
    baud rate on a serial line, else a usual round trip per request, and the pauses. `worst_s`: seconds until a dead
    device frees its line.
    """

    device: str
    protocol: str
    line: str
    period_s: float
    requests: int
    points: int
    bytes: int
    cycle_s: float
    worst_s: float


def compute_plan(config: AgentConfig) -> list[DevicePlan]:
    """The read plan, device by device."""
    return [_plan(config, device) for device in config.settings.device]


def _plan(config: AgentConfig, device: DeviceConfig) -> DevicePlan:
    points = config.points[device.id]
    period_s = device.period_s or config.settings.gateway.record_period_s
    if device.protocol.startswith("modbus"):
        blocks = plan_reads(points, limits_of(device))
        extra = _MODBUS_TCP_EXTRA_BYTES if device.protocol == "modbus_tcp" else 0
        requests, count = len(blocks), sum(block.request_bytes + extra for block in blocks)
    elif device.protocol == "iec104":
        # An interrogation per station: its frame, confirmation and end, and one object for each point.
        period_s = float(device.interrogation_period_s)
        requests = len(device.common_addresses)
        objects = {(p.common_address, p.address): p for p in points}.values()
        count = requests * 3 * 16 + sum(_IEC104_HEAD_BYTES + OBJECT_BYTES[int(p.area)] for p in objects)
    elif device.is_iec101:
        # As much, each message asked for by a frame of its own.
        period_s = float(device.interrogation_period_s)
        widths = widths_of(device)
        objects = {(p.common_address, p.address): p for p in points}.values()
        requests = 3 * len(device.common_addresses) + len(objects)
        head = widths.head + widths.object_address
        count = requests * (2 * device.link_address_octets + _IEC101_FRAMES_BYTES + head)
        count += sum(OBJECT_BYTES[int(p.area)] for p in objects)
    elif device.protocol.startswith("dlt698"):
        # The list of attributes out; three elements on average come back for each.
        attributes = {p.address & ~0xFF for p in points}
        per_request = 1 if device.one_point_per_request else ATTRIBUTES_PER_REQUEST
        requests = -(-len(attributes) // per_request)
        count = requests * 2 * _DLT698_HEAD_BYTES + len(attributes) * _DLT698_ATTRIBUTE_BYTES
    else:
        layouts = [layout_of(identifier) for identifier in {p.address for p in points}]
        requests = len(layouts)
        count = sum(_DLT645_REQUEST_BYTES + _DLT645_ANSWER_BYTES + (layout.size if layout else 4) for layout in layouts)
    serial = serial_line(device)
    pauses_s = requests * device.pause_ms / 1000
    moving_s = count * serial.bits_per_byte / serial.baud if serial else requests * _ROUND_TRIP_S
    return DevicePlan(
        device.id,
        device.protocol,
        line_name(device),
        period_s,
        requests,
        len(points),
        count,
        round(moving_s + pauses_s, 4),
        device.timeout_s,
    )


_IEC101_FRAMES_BYTES = 12  # start, length, control, checksum and end of a request and of an answer with data
_IEC104_HEAD_BYTES = 15  # APCI, ASDU head and object address, one object per frame


def find_problems(config: AgentConfig, file: str) -> list[Problem]:
    """Problems that loading does not check: widths, guards, lines, files, units without points, periods too short."""
    problems = [*_gateway_problems(config, file), *_line_problems(config, file)]
    for index, device in enumerate(config.settings.device, 1):
        key = f"device[{index}]"
        if device.protocol.startswith("dlt"):
            problems += _meter_problems(config, device, file, key)
        for point in config.points[device.id]:
            problems += _point_problems(point, device)
    if problems:
        return problems
    for index, plan in enumerate(compute_plan(config), 1):
        if plan.cycle_s > plan.period_s:
            message = tr(
                "one cycle takes {cycle_s:.1f} s, the period is {period_s:g} s",
                cycle_s=plan.cycle_s,
                period_s=plan.period_s,
            )
            problems.append(Problem(file, 0, f"device[{index}].period_s", message))
    return problems + list(_unit_problems(config, file)) + list(_file_problems(config, file))


def _gateway_problems(config: AgentConfig, file: str) -> Iterator[Problem]:
    if place := config.settings.gateway.metrics_listen:
        try:
            loopback(place)
        except ConfigError as error:
            yield from (replace(problem, file=file) for problem in error.problems)


def _point_problems(point: Point, device: DeviceConfig) -> Iterator[Problem]:
    if point.guard:
        try:
            Guard.parse(point.guard)
        except ValueError as error:
            yield Problem(point.file, point.row, "guard", tr("expected a number or min..max: {error}", error=error))
    if device.protocol.startswith("modbus") and point.registers > device.max_registers:
        message = tr(
            "{type} fills {registers} registers; device {id} reads at most {limit}",
            type=point.type, registers=point.registers, id=device.id, limit=device.max_registers,
        )  # fmt: skip
        yield Problem(point.file, point.row, "type", message)


def _meter_problems(config: AgentConfig, device: DeviceConfig, file: str, key: str) -> Iterator[Problem]:
    if device.address == WILDCARD:
        message = tr("twelve A ask whoever is there, for `agent read` alone: write the meter's own address")
        yield Problem(file, 0, f"{key}.address", message)
    try:
        check = check_attributes if device.protocol.startswith("dlt698") else layouts_of
        check(config.points[device.id])
    except ConfigError as error:
        yield from error.problems


def _line_problems(config: AgentConfig, file: str) -> Iterator[Problem]:
    lines: dict[str, tuple[int, DeviceConfig]] = {}
    slaves: dict[tuple[str, int | str], int] = {}
    for index, device in enumerate(config.settings.device, 1):
        first_index, first = lines.setdefault(line_name(device), (index, device))
        of_link = ("link_mode", "link_address_octets") if device.is_iec101 else ()
        same = ("protocol", "transaction_id", *of_link, *(("baud", "parity", "data_bits") if device.serial else ()))
        for key in same:
            if getattr(first, key) != getattr(device, key):
                message = tr(
                    "device[{first_index}] uses the same line with {first!r}",
                    first_index=first_index,
                    first=getattr(first, key),
                )
                yield Problem(file, 0, f"device[{index}].{key}", message)
        if device.protocol == "iec104":
            continue
        if device.link_mode == "balanced" and first is not device:
            message = tr("a balanced link has its line for itself; device[{other}] is on it too", other=first_index)
            yield Problem(file, 0, f"device[{index}].link_mode", message)
            continue
        if device.is_iec101:
            if (other := slaves.setdefault((line_name(device), device.link_address), index)) != index:
                message = tr("device[{other}] is the same station on the same line", other=other)
                yield Problem(file, 0, f"device[{index}].link_address", message)
            continue
        address = device.slave if device.protocol.startswith("modbus") else device.address.zfill(12)
        if (other := slaves.setdefault((line_name(device), address), index)) != index:
            yield Problem(
                file, 0, f"device[{index}].slave", tr("device[{other}] is the same slave on the same line", other=other)
            )


def _unit_problems(config: AgentConfig, file: str) -> Iterator[Problem]:
    given = {
        point.unit or device.unit
        for device in config.settings.device
        for point in config.points[device.id]
        if not point.guard
    }
    for index, unit in enumerate(config.settings.unit, 1):
        if unit.id not in given:
            yield Problem(file, 0, f"unit[{index}].id", tr("no point of any device is meant for {id!r}", id=unit.id))


def _file_problems(config: AgentConfig, file: str) -> Iterator[Problem]:
    mqtt = config.settings.mqtt
    named = {f"mqtt.{key}": getattr(mqtt, key) for key in ("password_file", "ca_file", "cert_file", "key_file")}
    named["uplink.center_key_file"] = config.settings.uplink.center_key_file
    for index, plant in enumerate(config.settings.plant, 1):
        named[f"plant[{index}].signing_key_file"] = plant.signing_key_file
    for key, name in named.items():
        if name and not config.resolve(name).is_file():
            yield Problem(file, 0, key, tr("there is no file {name}", name=config.resolve(name)))
    if bool(mqtt.cert_file) != bool(mqtt.key_file):
        yield Problem(file, 0, "mqtt.key_file", tr("a certificate needs its key, and a key its certificate"))
