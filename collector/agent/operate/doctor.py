# SPDX-License-Identifier: GPL-3.0-or-later
"""`agent doctor`: the problems of this gateway in words, each with its remedy.

It checks the files, the buffer and, where the agent runs, the agent itself; else the connection to the broker. Nothing
is changed and no device is read.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from collector.agent.operate.config_check import find_problems
from collector.agent.operate.doctor_buffer import buffer_troubles, is_locked, one_way_troubles, times_ahead
from collector.agent.operate.doctor_words import CLOCKS, QUALITIES, QUALITY_NAMES, WHY, Trouble, way_of
from collector.agent.operate.health import DeviceHealth, Health, PointNow, step_words
from collector.agent.operate.status_server import ask_agent
from collector.agent.paths import buffer_path, find_socket
from collector.agent.uplink.broker_client import TAKEN_OVER
from collector.agent.uplink.broker_words import REMEDIES
from collector.agent.uplink.uplink import SHORT_SESSIONS
from collector.base.clock import SystemClock
from collector.base.errors import ConfigError, LinkError, Problem
from collector.base.text import Text, tr
from collector.points.agent_config import AgentConfig, load_agent

_CONNECT_S: Final = 3.0
_OLD_ACK_S: Final = 180.0
_POINTS_NAMED: Final = 5
_AHEAD_MS: Final = 60_000

# A larger offset of a device's clock is reported; hours mean another time zone rather than a bad clock.
_CLOCK_OFF_MS: Final = 60_000


def examine(file: Path, language: str = "en") -> list[Trouble]:
    """The problems found, the worst first. A running agent is examined even if its files have changed or are bad.

    `language`: for the texts that a running agent makes itself.

    Raises:
        ConfigError: the file can't be read, or names no gateway.
    """
    socket_file = find_socket(file)
    config: AgentConfig | None = None
    try:
        config = load_agent(file)
        problems: Sequence[Problem] = find_problems(config, str(file))
    except ConfigError as error:
        problems = error.problems
    found = [
        Trouble(
            "error",
            f"{p.file}:{p.row}" if p.row else p.file,
            tr("{key}: {message}", key=p.key, message=p.message),
            tr("correct the file"),
        )
        for p in problems
    ]
    found += _running_agent(socket_file, config, language)
    if config is not None:
        found += [*_keys(config), *buffer_troubles(config), *one_way_troubles(config)]
    return sorted(dict.fromkeys(found), key=lambda f: f.severity)


def _running_agent(socket_file: Path, config: AgentConfig | None, language: str) -> Iterator[Trouble]:
    """The problems that the agent reports itself; where none runs, the problems that keep it from running."""
    try:
        answer, points = ask_agent(socket_file, "/status", language=language), ask_agent(socket_file, "/points")
    except LinkError as error:
        yield Trouble("error", tr("agent"), error.message, tr("journalctl -u collector-agent; restart it"))
        answer = points = None
    if answer is not None:
        health = msgspec.json.decode(answer, type=Health)
        yield from seen_from_inside(health, msgspec.json.decode(points or b"[]", type=list[PointNow]))
        yield from times_ahead(socket_file.with_suffix(".buffer"), health.time_utc_ms)
    elif config is not None:
        yield from _stopped(config)
        if not config.settings.gateway.time_server:
            yield from times_ahead(buffer_path(config), SystemClock().now_utc_ms())


def _keys(config: AgentConfig) -> Iterator[Trouble]:
    settings = config.settings
    private = [p.signing_key_file for p in settings.plant] + [settings.mqtt.key_file, settings.mqtt.password_file]
    for name in (name for name in private if name):
        path = config.resolve(name)
        if path.is_file() and path.stat().st_mode & 0o007:
            yield Trouble(
                "error", str(path), tr("everybody on this machine may use it"), tr("chmod 0640 {path}", path=path)
            )
    if not settings.uplink.center_key_file:
        yield Trouble(
            "warning",
            "uplink.center_key_file",
            tr("not set: anybody at the broker can acknowledge in the center's name"),
            tr("enter the key file you got from the center"),
        )
    for plant in settings.plant:
        if not plant.signing_key_file:
            yield Trouble(
                "warning",
                tr("plant {id}", id=plant.id),
                tr("its batches are not signed"),
                tr("collector agent keygen, docs step 4"),
            )


def seen_from_inside(health: Health, points: Sequence[PointNow]) -> list[Trouble]:
    """The problems that a running agent knows of, the worst first."""
    # A device that does not answer at all is one problem; its points are not listed again.
    gone = {device.device for device in health.devices if not device.answers}
    found = [*_running(health), *_points([point for point in points if point.device not in gone])]
    return sorted(dict.fromkeys(found), key=lambda f: f.severity)


def _running(health: Health) -> Iterator[Trouble]:
    if health.store_error:
        yield Trouble(
            "error",
            tr("store"),
            tr("takes nothing: {store_error}", store_error=health.store_error),
            tr("make room on the disk, see df -h"),
        )
    if health.clock != "synchronised":
        yield Trouble(
            "error" if health.clock == "unsynchronised" else "warning",
            tr("clock"),
            CLOCKS[health.clock],
            tr("timedatectl; chronyc sources: NTP or GPS must be reachable"),
        )
    if words := step_words(health.ticks):
        steps = health.ticks.clock_steps + health.ticks.clock_steps_forward
        yield Trouble(
            "warning",
            tr("clock"),
            tr("{words}; {steps} steps since the start", words=words, steps=steps),
            tr("right where NTP or a person corrected it; else timedatectl, chronyc tracking"),
        )
    if health.ticks.missed:
        yield Trouble(
            "warning",
            tr("ticks"),
            tr("{missed} were missed since the start", missed=health.ticks.missed),
            tr("is the machine overloaded, the disk slow, or was the clock set?"),
        )
    if health.reload_error:
        yield Trouble(
            "error", tr("reload"), health.reload_error, tr("correct it and reload again; the old one is in force")
        )
    for device in health.devices:
        yield from _device(device)
    yield from _uplink(health)


def _device(device: DeviceHealth) -> Iterator[Trouble]:
    if device.faults:
        yield Trouble(
            "warning" if device.answers else "error",
            tr("device {device}", device=device.device),
            tr(
                "{faults} reads failed by a mistake in this program, not in the device: {last_fault}",
                faults=device.faults,
                last_fault=device.last_fault,
            ),
            tr("other devices go on, this one is tried again; report it with the traceback in the journal"),
        )
    if not device.answers and device.reads and not (device.faults and device.last_error.endswith(device.last_fault)):
        yield Trouble(
            "error",
            tr("device {device}", device=device.device),
            tr("{failures}: {error}", failures=_failures(device), error=device.last_error),
            tr("cable, power, address, port; another master on the line? Try `agent read` with the service stopped"),
        )
    for sentence, count in device.oddities.items():
        yield Trouble(
            "warning",
            tr("device {device}", device=device.device),
            tr("{sentence} ({count} messages)", sentence=sentence, count=count),
            tr("compare the point table and agent.toml with the station's list"),
        )
    if device.clock_offset_ms is not None and abs(device.clock_offset_ms) >= _CLOCK_OFF_MS:
        yield Trouble(
            "warning",
            tr("device {device}", device=device.device),
            _clock_words(device.clock_offset_ms),
            tr("its time source; utc_offset_min where it is whole hours; changes are recorded at their arrival"),
        )
    if device.overruns:
        yield Trouble(
            "warning",
            tr("device {device}", device=device.device),
            tr("{overruns} reads were due again before they were done", overruns=device.overruns),
            tr("a longer period_s, fewer points, or a faster line; `agent check` shows what a cycle takes"),
        )


def _clock_words(offset_ms: int) -> Text:
    minutes = round(abs(offset_ms) / 60_000)
    length = tr("{hours} h {minutes} min", hours=minutes // 60, minutes=minutes % 60)
    if offset_ms < 0:
        return tr("its clock is {length} behind ours", length=length)
    return tr("its clock is {length} ahead of ours", length=length)


def _failures(device: DeviceHealth) -> Text:
    count = device.failures_in_a_row
    return tr("the last read failed") if count == 1 else tr("{count} failures in a row", count=count)


def _remedy(place: str) -> Text:
    if place.startswith("/"):
        return tr("the folder's rights, its mount, and room on it")
    return tr("network, firewall, certificate, password")


def _uplink(health: Health) -> Iterator[Trouble]:
    uplink = health.uplink
    if uplink.broker_code is not None:
        remedy = REMEDIES.get(uplink.broker_code, tr("the broker's log says more"))
        yield Trouble(
            "error",
            way_of(uplink.broker),
            tr("refuses: {last_error}", last_error=uplink.last_error),
            remedy,
        )
    elif not uplink.connected:
        words = tr("not connected: {last_error}", last_error=uplink.last_error or tr("no answer yet"))
        yield Trouble("error", way_of(uplink.broker), words, _remedy(uplink.broker))
    elif uplink.earlier_store:
        yield Trouble(
            "error",
            tr("center"),
            tr("acknowledges from its earlier store {store}: another came after it", store=uplink.earlier_store),
            tr(
                "did a second center answer here, a test? Was a backup put back by other means than `collector center "
                "restore`? Stop what should not answer; at the center that stays: `collector center renew`"
            ),
        )
    elif (
        not uplink.is_one_way
        and health.buffer.pending
        and (uplink.last_ack_age_s is None or uplink.last_ack_age_s > _OLD_ACK_S)
    ):
        yield Trouble(
            "error",
            tr("center"),
            tr("{pending} batches wait and the center does not acknowledge", pending=health.buffer.pending),
            tr("is the center running? Are its key and mqtt.root the right ones?"),
        )
    if uplink.short_sessions >= SHORT_SESSIONS:
        yield Trouble(
            "error",
            way_of(uplink.broker),
            tr("ended the last {short_sessions} connections within seconds", short_sessions=uplink.short_sessions),
            REMEDIES[TAKEN_OVER],
        )
    if uplink.divided:
        yield Trouble(
            "warning",
            way_of(uplink.broker),
            tr("{divided} batches were too large for it and divided", divided=uplink.divided),
            tr(
                "lower buffer.batch_max_bytes to what the broker takes, or raise its limit (mosquitto: max_packet_size)"
            ),
        )
    if uplink.ignored:
        yield Trouble(
            "warning",
            tr("center"),
            tr("{ignored} messages were not valid and were ignored", ignored=uplink.ignored),
            tr("compare uplink.center_key_file with the center's key"),
        )


def _points(points: list[PointNow]) -> Iterator[Trouble]:
    for code, (severity, words, remedy) in WHY.items():
        for device, count, shown in _by_device(p for p in points if p.why == code and p.quality != "good"):
            yield Trouble(
                severity,
                tr("device {device}", device=device),
                tr("{count} points, {words}: {shown}", count=count, words=words, shown=shown),
                remedy,
            )
    for quality, remedy in QUALITIES.items():
        for device, count, shown in _by_device(p for p in points if p.quality == quality and p.why not in WHY):
            yield Trouble(
                "error",
                tr("device {device}", device=device),
                tr("{count} points {quality}: {shown}", count=count, quality=QUALITY_NAMES[quality], shown=shown),
                remedy,
            )


def _by_device(points: Iterable[PointNow]) -> Iterator[tuple[str, int, str]]:
    """Device, number of its points, and the first few of their names."""
    names: dict[str, list[str]] = {}
    for point in points:
        names.setdefault(point.device, []).append(point.point)
    for device, found in names.items():
        yield device, len(found), ", ".join(found[:_POINTS_NAMED]) + (" …" if len(found) > _POINTS_NAMED else "")


def _stopped(config: AgentConfig) -> Iterator[Trouble]:
    running = is_locked(buffer_path(config))
    yield Trouble(
        "error",
        tr("agent"),
        tr("runs and can't be asked") if running else tr("is not running"),
        tr("look as its user or root")
        if running
        else tr("systemctl start collector-agent; journalctl -u collector-agent"),
    )
    mqtt = config.settings.mqtt
    if config.settings.uplink.kind == "file":
        return
    try:
        socket.create_connection((mqtt.host, mqtt.port), _CONNECT_S).close()
    except OSError as error:
        yield Trouble(
            "error",
            tr("broker {host}:{port}", host=mqtt.host, port=mqtt.port),
            tr("no connection: {error}", error=error),
            tr("network, firewall, name, port"),
        )
