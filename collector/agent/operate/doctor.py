# SPDX-License-Identifier: GPL-3.0-or-later
"""`agent doctor`: what is wrong with this gateway, in words, and what to do about it.

Looks at the files, the buffer and, where it runs, the agent itself; where it does not run, at the way to the broker.
Nothing is changed and no device is asked.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from collector.agent.buffer.capacity import Capacity, compute_capacity, open_beside
from collector.agent.operate.check import find_problems
from collector.agent.operate.health import DeviceHealth, Health, PointNow, alarm_of, step_words
from collector.agent.operate.status_server import ask_agent
from collector.agent.paths import buffer_path, socket_path
from collector.base.clock import SystemClock
from collector.base.errors import LinkError, StoreError
from collector.base.text import tr
from collector.model.interval import format_time
from collector.points.agent_config import AgentConfig
from collector.wire import FINAL

_CONNECT_S: Final = 3.0
_OLD_ACK_S: Final = 180.0
_POINTS_NAMED: Final = 5
_AHEAD_MS: Final = 60_000
Severity = Literal["error", "warning"]

# What a refusal of the center means, and whose turn it is.
_CODES: Final = {
    "unknown_key": "the center does not know the plant's key: send it the .pub file and have it enrolled",
    "bad_signature": "the signature does not fit: compare plant.signing_key_file with the key the center has",
    "wrong_topic": "plant or gateway differ between topic and batch: does another program publish here?",
    "unknown_plant": "the center has no such plant: compare [[plant]] id with its register, letter by letter",
    "foreign_unit": "a unit is not this plant's at the center: compare [[unit]] ids with its register",
    "malformed": "the center could not read it: compare the versions of agent and center",
    "oversized": "larger than the center takes: lower buffer.batch_max_records",
    "time_out_of_range": "too old, or ahead of the center: compare the two clocks (timedatectl)",
    "too_many_days": "one batch over too many days: did the clock run wild? The center can raise its limit",
    "too_many_gaps": "too many gaps: the center can raise receiver.max_gaps_per_batch",
    "too_many_streams": "too many buffer files so far: the center can raise receiver.max_streams_per_plant",
    "over_share": "too many units in a batch: the center can raise receiver.max_units_per_batch",
}
_QUALITIES: Final = {
    "refused": "the address does not exist at the device: compare the point table with the device's list",
    "garbled": "the answer can't be understood: baud rate, parity, two devices with one address",
    "suspect": "a guard point does not match: the device's map has shifted; has its firmware changed?",
    "out_of_range": "outside the limits: scale, order or unit; `agent read --candidates` shows other decodings",
    "invalid": "the device itself says so: look at the device",
    "stale": "older than stale_after_periods: the period is too short for the line, or the device froze",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `subject`: file, device, link; `remedy`: what to do."""

    severity: Severity
    subject: str
    message: str
    remedy: str


def examine(config: AgentConfig, file: str) -> list[Finding]:
    """Everything found, the worst first."""
    found = [
        Finding("error", f"{p.file}:{p.row}" if p.row else p.file, f"{p.key}: {p.message}", "correct the file")
        for p in find_problems(config, file)
    ]
    found += _keys(config)
    socket_file = socket_path(config)
    try:
        answer, points = ask_agent(socket_file, "/status"), ask_agent(socket_file, "/points")
    except LinkError as error:
        found.append(Finding("error", "agent", error.message, "journalctl -u collector-agent; restart it"))
        answer = points = None
    if answer is not None:
        health = msgspec.json.decode(answer, type=Health)
        # Of a device that does not answer at all that is said, and not of each of its points again.
        gone = {device.device for device in health.devices if not device.answers}
        known = msgspec.json.decode(points or b"[]", type=list[PointNow])
        found += _running(health)
        found += _points([point for point in known if point.device not in gone])
        found += _ahead(config, health.time_utc_ms)
    else:
        found += _stopped(config)
        if not config.settings.gateway.time_server:
            found += _ahead(config, SystemClock().now_utc_ms())
    found += _buffer(config)
    return sorted(dict.fromkeys(found), key=lambda f: f.severity)


def _keys(config: AgentConfig) -> Iterator[Finding]:
    settings = config.settings
    private = [p.signing_key_file for p in settings.plant] + [settings.mqtt.key_file, settings.mqtt.password_file]
    for name in (name for name in private if name):
        path = config.resolve(name)
        if path.is_file() and path.stat().st_mode & 0o007:
            yield Finding("error", str(path), "everybody on this machine may use it", f"chmod 0640 {path}")
    if not settings.uplink.center_key_file:
        yield Finding(
            "warning", "uplink.center_key_file", "not set: anybody at the broker can acknowledge in the center's name",
            "enter the key file you got from the center",
        )  # fmt: skip
    for plant in settings.plant:
        if not plant.signing_key_file:
            yield Finding(
                "warning", f"plant {plant.id}", "its batches are not signed", "collector agent keygen, docs step 4"
            )


def _running(health: Health) -> Iterator[Finding]:
    if health.store_error:
        yield Finding("error", "store", f"takes nothing: {health.store_error}", "make room on the disk, see df -h")
    if health.clock != "synchronised":
        yield Finding(
            "error" if health.clock == "unsynchronised" else "warning", "clock",
            f"{health.clock}; every record says so", "timedatectl; chronyc sources: NTP or GPS must be reachable",
        )  # fmt: skip
    if words := step_words(health.ticks):
        steps = health.ticks.clock_steps + health.ticks.clock_steps_forward
        yield Finding(
            "warning", "clock", f"{words}; {steps} steps since the start",
            "right where NTP or a person corrected it; else timedatectl, chronyc tracking",
        )  # fmt: skip
    if health.ticks.missed:
        yield Finding(
            "warning", "ticks", f"{health.ticks.missed} were missed since the start",
            "is the machine overloaded, the disk slow, or was the clock set?",
        )  # fmt: skip
    if health.reload_error:
        yield Finding("error", "reload", health.reload_error, "correct it and reload again; the old one is in force")
    for device in health.devices:
        yield from _device(device)
    yield from _uplink(health)


def _device(device: DeviceHealth) -> Iterator[Finding]:
    if device.faults:
        yield Finding(
            "warning" if device.answers else "error", f"device {device.device}",
            f"{device.faults} reads failed by a mistake in this program, not in the device: {device.last_fault}",
            "other devices go on, this one is tried again; report it with the traceback: journalctl -u collector-agent",
        )  # fmt: skip
    if not device.answers and device.reads and not (device.faults and device.last_error.endswith(device.last_fault)):
        yield Finding(
            "error", f"device {device.device}", f"{_failures(device)}: {device.last_error}",
            "cable, power, address, port; another master on the line? Try `agent read` with the service stopped",
        )  # fmt: skip
    if device.overruns:
        yield Finding(
            "warning", f"device {device.device}", f"{device.overruns} reads were due again before they were done",
            "a longer period_s, fewer points, or a faster line; `agent check` shows what a cycle takes",
        )  # fmt: skip


def _failures(device: DeviceHealth) -> str:
    count = device.failures_in_a_row
    return "the last read failed" if count == 1 else f"{count} failures in a row"


def _uplink(health: Health) -> Iterator[Finding]:
    uplink = health.uplink
    if not uplink.connected:
        words = f"not connected: {uplink.last_error or 'no answer yet'}"
        yield Finding("error", f"broker {uplink.broker}", words, "network, firewall, certificate, password")
    elif health.buffer.pending and (uplink.last_ack_age_s is None or uplink.last_ack_age_s > _OLD_ACK_S):
        yield Finding(
            "error", "center", f"{health.buffer.pending} batches wait and the center does not acknowledge",
            "is the center running? Are its key and mqtt.root the right ones?",
        )  # fmt: skip
    if uplink.ignored:
        yield Finding(
            "warning", "center", f"{uplink.ignored} messages were not valid and were ignored",
            "compare uplink.center_key_file with the center's key",
        )  # fmt: skip


def _points(points: list[PointNow]) -> Iterator[Finding]:
    for quality, remedy in _QUALITIES.items():
        bad = [p for p in points if p.quality == quality]
        for device in dict.fromkeys(p.device for p in bad):
            names = [p.point for p in bad if p.device == device]
            shown = ", ".join(names[:_POINTS_NAMED]) + (" …" if len(names) > _POINTS_NAMED else "")
            yield Finding("error", f"device {device}", f"{len(names)} points {quality}: {shown}", remedy)


def _stopped(config: AgentConfig) -> Iterator[Finding]:
    running = is_locked(buffer_path(config))
    yield Finding(
        "error", "agent", "runs and can't be asked" if running else "is not running",
        "look as its user or root" if running else "systemctl start collector-agent; journalctl -u collector-agent",
    )  # fmt: skip
    mqtt = config.settings.mqtt
    try:
        socket.create_connection((mqtt.host, mqtt.port), _CONNECT_S).close()
    except OSError as error:
        yield Finding(
            "error", f"broker {mqtt.host}:{mqtt.port}", f"no connection: {error}", "network, firewall, name, port"
        )


def is_locked(path: Path) -> bool:
    """Whether a process holds the buffer."""
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _buffer(config: AgentConfig) -> Iterator[Finding]:
    path = buffer_path(config)
    for aside in sorted(path.parent.glob(f"{path.name}.damaged-*")):
        if not aside.name.endswith(("-wal", "-shm")):
            yield Finding(
                "warning", str(aside), "a damaged buffer was set aside; what could be read went on",
                "look at the disk (smartctl, power supply), then delete the file",
            )  # fmt: skip
    if path.with_name(path.name + ".suspect").exists():
        yield Finding("error", str(path), "was found damaged while in use", "restart the agent: it sets it aside")
    try:
        capacity = compute_capacity(config)
        refused = refusals(path)
    except StoreError as error:
        yield Finding("error", str(path), error.message, "start the agent; is the state folder readable?")
        return
    for code, batches in refused.items():
        remedy = _CODES.get(code, "ask the center's people what it means")
        word = "refused" if code in FINAL else "kept and offered again, refused for now"
        yield Finding("error", "center", f"{batches} batches {word}: {code}", remedy)
    yield from _room(config, capacity)


def _ahead(config: AgentConfig, now_ms: int) -> Iterator[Finding]:
    """Records of a time that has not come: the clock was wrong when they were made."""
    try:
        ahead = records_ahead(buffer_path(config), now_ms)
    except StoreError:
        return  # said below
    if ahead is not None:
        yield Finding(
            "error", "clock", f"{ahead[0]} batches hold records of times to come, up to {format_time(ahead[1])}",
            "the clock was ahead when they were made; tell the center's people, who see them in `center findings`",
        )  # fmt: skip


def records_ahead(path: Path, now_ms: int) -> tuple[int, int] | None:
    """How many batches hold records more than a minute ahead of `now_ms`, and the last time of any (UTC ms).

    Raises:
        StoreError: the buffer can't be read.
    """
    try:
        with closing(open_beside(path)) as db:
            count, last_ms = db.execute(
                "SELECT count(*), max(last_ms) FROM batches WHERE records > 0 AND last_ms > ?"
                " AND typeof(last_ms) = 'integer'",
                (now_ms + _AHEAD_MS,),
            ).fetchone()
    except sqlite3.Error as error:
        raise StoreError(tr("can't be read: {error}", error=error), subject=str(path)) from error
    return (count, last_ms) if count else None


def _room(config: AgentConfig, capacity: Capacity) -> Iterator[Finding]:
    if alarm := alarm_of(capacity.unsent_ratio):
        yield Finding(
            "error" if alarm == "critical" else "warning", "buffer",
            f"{capacity.unsent_ratio:.0%} full of unsent data, {capacity.hours_left:.1f} h left",
            "repair the way to the center, or raise buffer.max_bytes",
        )  # fmt: skip
    free = shutil.disk_usage(buffer_path(config).parent).free
    if free < capacity.max_bytes - capacity.used_bytes:
        yield Finding(
            "warning", "disk", f"{free / 1e6:.0f} MB free, the buffer may still grow by "
            f"{(capacity.max_bytes - capacity.used_bytes) / 1e6:.0f} MB", "make room, or lower buffer.max_bytes",
        )  # fmt: skip
    if capacity.full_catch_up_s == float("inf"):
        yield Finding(
            "error", "uplink.rate_cap_bytes_per_s", "is less than what is recorded: a backlog never ends",
            f"raise it above {capacity.bytes_per_record * capacity.records_per_hour / 3600:.0f}",
        )  # fmt: skip


def refusals(path: Path) -> dict[str, int]:
    """Batches in the buffer with a refusal of the center, by code.

    Raises:
        StoreError: it can't be read.
    """
    try:
        with closing(open_beside(path)) as db:
            rows = db.execute("SELECT refused, count(*) FROM batches WHERE refused IS NOT NULL GROUP BY refused")
            return dict(rows.fetchall())
    except sqlite3.Error as error:
        raise StoreError(tr("can't be read: {error}", error=error), subject=str(path)) from error
