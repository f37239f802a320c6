# SPDX-License-Identifier: GPL-3.0-or-later
"""`center doctor`: the problems of this center in words, each with its remedy. Changes nothing.

It checks the settings and their files, the store, and the connection to the broker; beside a running center or without
one.
"""

from __future__ import annotations

import socket
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import Connection, func, select

import collector.wire as wire
from collector.base.clock import clock_state
from collector.base.clock_state import ClockState
from collector.base.errors import ConfigError
from collector.base.text import Text, join, tr
from collector.center.db.seals.seal_key import KEY_FILE
from collector.center.db.seals.sealed_rows import altered_rows
from collector.center.db.storage.lake_place import LakePath, ObjectStoreFault
from collector.center.db.store import READ_ONLY, CenterStore
from collector.center.db.tables_quality import finding, plant_key, validated_day
from collector.center.db.tables_receive import lake_day, quarantine
from collector.center.kept_words import in_words
from collector.center.operate.alarms import Alarm, find_alarms, list_alarms
from collector.center.operate.readiness import ask_running_center, require_usable
from collector.center.people import audit
from collector.center.people.accounts import altered_access
from collector.center.quality.validation import register_in_force
from collector.center.runs.asking.handed_over import left_waiting
from collector.center.settings import CenterSettings, ReceiverSettings, RunSettings
from collector.model.interval import DAY_MS, local_day, time_to_read
from collector.model.register import Register

CONNECT_S: Final = 3.0
OLD_BACKUP_DAYS: Final = 2
UNMADE_MS: Final = 120_000
_CLOCK_SLACK_MS: Final = 300_000
_NAMED: Final = 8
Severity = Literal["error", "warning"]

_ALARM_REMEDIES: Final[Mapping[str, Text]] = {
    "plant_silent": tr("call the plant: is its gateway on, does it reach the broker? `collector agent doctor` there"),
    "quarantine_growing": tr(
        "`collector center quarantine` says who and why; docs/center.md says what each code means"
    ),
    "days_unsealed": tr("is the center running? its log says why a day can't be written"),
    "disk_nearly_full": tr("make room, or lower lake.keep_payload_days"),
    "gateway_clock": tr("see to NTP at the plant: its records count, and are flagged"),
    "plant_flooding": tr(
        "call the plant: what does it send? Others are served first; see docs/center.md for its share"
    ),
    "gateway_twice": tr("call the plant: which machine shall send? Stop the other, or give it a gateway.id of its own"),
}


@dataclass(frozen=True, slots=True)
class Complaint:
    """One problem. `subject`: file, plant, unit, part of the center; `remedy`: the action to take."""

    severity: Severity
    subject: str
    message: str
    remedy: str


def examine(store: CenterStore, settings: CenterSettings | None, *, backups: Path | None = None) -> list[Complaint]:
    """The problems found, errors first. `settings`: None where only the state directory is known."""
    now_ms = store.clock.now_utc_ms()
    found: list[Complaint] = []
    if clock_state(store.clock) is ClockState.UNSYNCHRONISED:
        message = tr("the host says that it is not synchronised")
        found.append(
            Complaint("warning", tr("host clock"), message, tr("see to NTP: `timedatectl`; duties go by this clock"))
        )
    if store.is_read_only:
        remedy = tr("give this user write rights, or mount the file system for writing; `mount` and dmesg say why not")
        found.append(Complaint("error", str(store.directory), READ_ONLY, remedy))
    else:
        found += [*_lake(store.lake), *_seal_key(store.directory / KEY_FILE)]
    if settings is not None:
        found += [*_running(settings), *_keys(settings), *_broker(settings), *_anchors(settings)]
        plants = [plant.id for plant in settings.plant]
        alarms = store.read(lambda c: find_alarms(c, settings.alarms, plants, store.directory, now_ms=now_ms))
        found += [_of_alarm(each) for each in alarms]
        # Only the receiver of the running center sees this; it is taken from its alarms.
        standing = [row for row in store.read(list_alarms) if row["code"] == "plant_flooding"]
        found += [_of_alarm(Alarm(row["code"], in_words(row["subject"]), in_words(row["text"]))) for row in standing]
        found += store.read(lambda c: list(_register(register_in_force(c), settings, local_day(now_ms))))
    found += store.read(
        lambda c: [
            *_clock(c, now_ms),
            *_unmade(c, now_ms),
            *_findings(c),
            *_quarantine(c),
            *_validation(c),
            *_audit(c),
            *_access(c),
        ]
    )
    if backups is not None:
        found += _backups(backups, now_ms)
    return sorted(found, key=lambda each: each.severity != "error")


def _running(settings: CenterSettings) -> Iterator[Complaint]:
    """The problems that the running center reports itself."""
    if words := ask_running_center(settings):
        remedy = tr("its log says since when; nothing is lost: plants keep what is not acknowledged")
        yield Complaint("error", tr("running center"), words, remedy)


def _unmade(connection: Connection, now_ms: int) -> Iterator[Complaint]:
    """Runs that pages handed over, and that no process has begun."""
    if left := left_waiting(connection, now_ms - UNMADE_MS):
        words = ", ".join(map(str, left[:_NAMED]))
        remedy = tr("is a center with `settling` in center.parts running? Another run may also be taking long")
        yield Complaint("warning", tr("run {number}", number=words), tr("waits for a process that settles"), remedy)


def _anchors(settings: CenterSettings) -> Iterator[Complaint]:
    """A missing file of anchors: it was never written, or somebody removed it."""
    name = settings.center.anchor_file
    if name and not (Path(name).exists() and Path(name).stat().st_size):
        remedy = tr("a running center writes it every ten minutes; where it did, somebody took it away: look who")
        yield Complaint("warning", name, tr("holds no anchors"), remedy)


def _lake(lake: LakePath) -> Iterator[Complaint]:
    try:
        require_usable(lake)
    except ObjectStoreFault as error:
        remedy = join("; ", (error.remedy, tr("records are taken meanwhile, and no day is sealed or settled")))
        yield Complaint("error", str(lake), tr("the object store {reason}", reason=error.reason), remedy)
    except OSError as error:
        remedy = tr("no day is sealed or settled meanwhile; `mount`, dmesg and the folder's owner say why not")
        yield Complaint("error", str(lake), tr("can't be read: {strerror}", strerror=error.strerror), remedy)


def _keys(settings: CenterSettings) -> Iterator[Complaint]:
    name = settings.center.signing_key_file
    if not name:
        message = tr("acknowledgements and requests are not signed; agents that know the center's key refuse them")
        yield Complaint(
            "warning", "center.signing_key_file", message, tr("`collector agent keygen center`, then name the file")
        )
    for file in (name, settings.mqtt.key_file, settings.mqtt.password_file, settings.web.key_file):
        if file:
            yield from _secret(Path(file))
    for file in (settings.mqtt.ca_file, settings.mqtt.cert_file, settings.web.cert_file):
        if file:
            yield from _opens(Path(file))
    if name:
        yield from _loads(partial(wire.load_signing_key, Path(name)))
    for plant in settings.plant:
        for file in plant.public_key_files:
            yield from _loads(partial(wire.load_public_key, Path(file)))
        if plant.unsigned:
            message = tr("its batches are taken unsigned: anybody who reaches the broker can write its records")
            yield Complaint(
                "warning", plant.id, message, tr("enrol its key: `collector center key enroll`; trials only")
            )


def _opens(path: Path) -> Iterator[Complaint]:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        message = tr("can't be read: {strerror}", strerror=error.strerror)
        yield Complaint("error", str(path), message, tr("put the file there, for this user to read"))


def _secret(path: Path) -> Iterator[Complaint]:
    if unreadable := list(_opens(path)):
        yield from unreadable
        return
    mode = path.stat().st_mode
    if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        message = tr("others may use it (mode {mode:o})", mode=stat.S_IMODE(mode))
        yield Complaint("error", str(path), message, tr("chmod 0640 {path}; chown root:collector {path}", path=path))


def _seal_key(path: Path) -> Iterator[Complaint]:
    mode = path.stat().st_mode if path.exists() else 0
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        message = tr("others may use it (mode {mode:o})", mode=stat.S_IMODE(mode))
        yield Complaint("error", str(path), message, tr("chmod 0600 {path}", path=path))


def _loads(load: Callable[[], object]) -> Iterator[Complaint]:
    try:
        load()
    except ConfigError as error:
        for problem in error.problems:
            yield Complaint(
                "error", problem.file, problem.message, tr("name the right file, or make a new pair of keys")
            )


def _broker(settings: CenterSettings) -> Iterator[Complaint]:
    host, port = settings.mqtt.host, settings.mqtt.port
    try:
        with socket.create_connection((host, port), timeout=CONNECT_S):
            pass
    except OSError as error:
        remedy = tr("is the broker running? mqtt.host and mqtt.port; a firewall between")
        yield Complaint(
            "error",
            tr("broker {host}:{port}", host=host, port=port),
            tr("can't be reached: {strerror}", strerror=error.strerror or error),
            remedy,
        )
    if not settings.mqtt.ca_file and host not in ("127.0.0.1", "::1", "localhost"):
        remedy = tr("set mqtt.ca_file, mqtt.cert_file and mqtt.key_file")
        yield Complaint(
            "warning", tr("broker {host}:{port}", host=host, port=port), tr("is reached without TLS"), remedy
        )


def _of_alarm(alarm: Alarm) -> Complaint:
    severity: Severity = "error" if alarm.code in ("disk_nearly_full", "plant_silent") else "warning"
    return Complaint(severity, alarm.subject, join(": ", (alarm.code, alarm.text)), _ALARM_REMEDIES[alarm.code])


def _register(register: Register, settings: CenterSettings, today: date) -> Iterator[Complaint]:
    """Units known to only one of center.toml and the register in force."""
    if not register.units:
        yield Complaint(
            "warning", tr("register"), tr("none was imported"), tr("`collector center import register register.toml`")
        )
        return
    owners = {unit: plant.id for plant in settings.plant for unit in plant.units}
    # A state that has ended needs no enrolment; a future one does.
    registered = {u.id: u.plant for u in register.units if u.until_day is None or u.until_day > today}
    for unit in sorted(registered.keys() - owners.keys()):
        message = tr(
            "registered with {registered} and not enrolled: its records are refused as foreign_unit",
            registered=registered[unit],
        )
        yield Complaint(
            "error",
            unit,
            message,
            tr("add it to units of [[plant]] {registered} in center.toml; restart", registered=registered[unit]),
        )
    for unit in sorted(owners.keys() - {u.id for u in register.units}):
        message = tr("enrolled with {owners} and not registered: its records settle nothing", owners=owners[unit])
        yield Complaint("warning", unit, message, tr("add [[unit]] to the register and import it with --replace"))
    for unit in sorted(owners.keys() & registered.keys()):
        if owners[unit] != registered[unit]:
            message = tr(
                "enrolled with {owners}, registered with {registered}", owners=owners[unit], registered=registered[unit]
            )
            yield Complaint("error", unit, message, tr("make center.toml and the register say the same"))


def _clock(connection: Connection, now_ms: int) -> Iterator[Complaint]:
    """The center's own clock compared with its earlier entries."""
    latest = int(connection.execute(select(func.max(lake_day.c.changed_ms))).scalar() or 0)
    if latest > now_ms + _CLOCK_SLACK_MS:
        message = tr(
            "reads {now}, and the store has entries of {latest}", now=time_to_read(now_ms), latest=time_to_read(latest)
        )
        yield Complaint(
            "error", "clock", message, tr("see to NTP: `timedatectl`; acknowledgements do not depend on it, duties do")
        )


def _findings(connection: Connection) -> Iterator[Complaint]:
    """Open findings by code, the most frequent first."""
    query = select(finding.c.code, finding.c.unit, func.count().label("n")).where(finding.c.closed_ms.is_(None))
    counts: Counter[str] = Counter()
    units: dict[str, set[str]] = {}
    for row in connection.execute(query.group_by(finding.c.code, finding.c.unit)):
        counts[row.code] += int(row.n)
        units.setdefault(row.code, set()).add(row.unit)
    for code, count in counts.most_common():
        names = sorted(units[code])
        named = ", ".join(names[:_NAMED]) + (
            tr(" and {count} more", count=len(names) - _NAMED) if len(names) > _NAMED else ""
        )
        remedy = tr("`collector center findings` shows each; ask the plant, or substitute")
        yield Complaint(
            "warning",
            "records",
            tr("{count} open findings {code}: {named}", count=count, code=code, named=named),
            remedy,
        )


def _quarantine(connection: Connection) -> Iterator[Complaint]:
    query = select(quarantine.c.code, func.count().label("n")).group_by(quarantine.c.code).order_by(quarantine.c.code)
    counts = {row.code: int(row.n) for row in connection.execute(query)}
    if words := ", ".join(f"{code} {n}" for code, n in counts.items() if code not in wire.CURABLE):
        remedy = tr("`collector center quarantine`; remove the cause, then --readmit")
        yield Complaint("warning", "quarantine", tr("holds {words}", words=words), remedy)
    if words := ", ".join(f"{code} {n}" for code, n in counts.items() if code in wire.CURABLE):
        remedy = tr(
            "`collector center quarantine` names the plant and the limit; its gateway keeps them and offers them again"
        )
        yield Complaint("warning", "limits", tr("batches refused for now: {words}", words=words), remedy)


def limits_in_words(limits: ReceiverSettings) -> str:
    """The limits of a batch and of a plant in center.toml, in words."""
    return tr(
        "times from {age} days ago to {future:g} s ahead; of a batch {bytes} bytes, {days} days, {gaps} gaps, "
        "{units} units; of a plant {streams} streams, {rows} rows a second and {plant_bytes} bytes",
        age=limits.max_age_days,
        future=limits.max_future_s,
        bytes=limits.max_batch_bytes,
        days=limits.max_days_per_batch,
        gaps=limits.max_gaps_per_batch,
        units=limits.max_units_per_batch,
        streams=limits.max_streams_per_plant,
        rows=limits.max_rows_per_s_per_plant,
        plant_bytes=limits.max_bytes_per_plant,
    )


def runs_in_words(runs: RunSettings) -> str:
    """The time that runs are kept, from center.toml, in words."""
    return tr(
        "kept for {days} days, and for good where disclosed, filed, reviewed or measured against", days=runs.keep_days
    )


def _validation(connection: Connection) -> Iterator[Complaint]:
    sealed = select(func.count()).select_from(lake_day).where(lake_day.c.sealed > 0)
    looked = select(func.count()).select_from(validated_day)
    missing = int(connection.execute(sealed).scalar_one()) - int(connection.execute(looked).scalar_one())
    if missing > 0:
        remedy = tr("the running center does it; its log says what stands in the way")
        yield Complaint("warning", "records", tr("{missing} sealed days were never validated", missing=missing), remedy)


def _audit(connection: Connection) -> Iterator[Complaint]:
    for words in audit.verify(connection)[:_NAMED]:
        yield Complaint(
            "error", "audit log", words, tr("compare with the head printed in the last package; keep this store")
        )


def _access(connection: Connection) -> Iterator[Complaint]:
    """Accounts, log-ins, tokens and plants' keys that were not written by this program."""
    if found := [*altered_access(connection), *altered_rows(connection, plant_key)]:
        named = ", ".join(found[:_NAMED]) + (
            tr(" and {count} more", count=len(found) - _NAMED) if len(found) > _NAMED else ""
        )
        message = tr("not as this program wrote them, so nobody gets in by them: {named}", named=named)
        remedy = tr("who can write the database? An account is put right by `collector center user role`")
        yield Complaint("error", "accounts", message, remedy)


def _backups(folder: Path, now_ms: int) -> Iterator[Complaint]:
    remedy = tr("`collector center backup` every day, by a timer; copy it to another machine")
    times = [int(path.stat().st_mtime * 1000) for path in folder.glob("*/backup.json")] if folder.is_dir() else []
    if not times:
        yield Complaint("error", str(folder), tr("holds no backup"), remedy)
    elif now_ms - max(times) > OLD_BACKUP_DAYS * DAY_MS:
        yield Complaint(
            "warning", str(folder), tr("the latest backup is of {time}", time=time_to_read(max(times))), remedy
        )
