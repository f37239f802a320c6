# SPDX-License-Identifier: GPL-3.0-or-later
"""center.toml as frozen, checked data: place of the store, broker, plants and their keys.

The default of every key is here and, in words, in config/center.toml.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field

from collector.base.config import Identifier, Mqtt, Section, load_settings
from collector.base.errors import ConfigError, Problem
from collector.base.text import tr

Part = Literal["receiver", "pages", "settling"]
PARTS: Final[tuple[Part, ...]] = ("receiver", "pages", "settling")


class Center(Section):
    """`[center]`: this machine. `id` makes the fixed MQTT client id; `signing_key_file` signs acknowledgements.

    `rulebook_dir`: empty for the shipped one. `shared_login`: several people work as one user of the system.
    `anchor_file`, `anchor_webhook`: the file on another disk, or the hook, that receives the heads of the store's
    chains. `parts`: what this process does; the others of the center do the rest, on one PostgreSQL.
    """

    id: Identifier = "center"
    parts: Annotated[list[Part], Field(min_length=1)] = list(PARTS)
    state_dir: str = "/var/lib/collector-center"
    database_url: str = ""
    signing_key_file: str = ""
    listen: str = "127.0.0.1:8080"
    rulebook_dir: str = ""
    shared_login: bool = False
    anchor_file: str = ""
    anchor_webhook: bool = False


class ReceiverSettings(Section):
    """`[receiver]`: limits of received data. `shared_group`: MQTT shared subscription of several receivers.

    `max_age_days`, `max_future_s`: how far times of records and gaps may be from the center's own time.
    `max_gaps_per_batch`: gaps of units, so a gap record of three units counts three. `max_rows_per_s_per_plant`: rows
    of the store, not records; faster data waits. `max_bytes_per_plant`: batches kept and day files together. `folder`:
    in addition to the broker, batches as files in `folder`/in and acknowledgements in `folder`/out, across an isolation
    device; empty: none.
    """

    queue_messages: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    group_messages: Annotated[int, Field(ge=1, le=10_000)] = 1024
    max_batch_bytes: Annotated[int, Field(ge=1024, le=268_435_455)] = 4_000_000
    max_age_days: Annotated[int, Field(ge=1, le=36_500)] = 400
    max_future_s: Annotated[float, Field(ge=0, le=3_153_600_000)] = 300.0
    max_days_per_batch: Annotated[int, Field(ge=2, le=36_500)] = 31
    max_gaps_per_batch: Annotated[int, Field(ge=1, le=65_536)] = 4096
    max_units_per_batch: Annotated[int, Field(ge=1, le=256)] = 256
    max_streams_per_plant: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    max_rows_per_s_per_plant: Annotated[int, Field(ge=100, le=10_000_000)] = 20_000
    max_bytes_per_plant: Annotated[int, Field(ge=1_000_000)] = 100_000_000_000
    quarantine_max_bytes: Annotated[int, Field(ge=0)] = 1_000_000_000
    quarantine_max_rows: Annotated[int, Field(ge=100)] = 100_000
    backoff_max_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    shared_group: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,64}$")] = ""
    folder: str = ""


class Lake(Section):
    """`[lake]`: sealing of day files. `seal_after_s`: how long a day must have been quiet.

    `url`: an object store that holds the day files, s3://BUCKET/PREFIX?endpoint_override=HOST:PORT; empty: state_dir.
    `seal_processes`: how many seal at once. `keep_superseded_days`: for replaced day files that no run pins.
    `keep_results_days`: for measured results, since their last use by a closing.
    """

    url: str = ""
    seal_after_s: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    check_every_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    seal_processes: Annotated[int, Field(ge=1, le=64)] = 1
    keep_payload_days: Annotated[int, Field(ge=1, le=3660)] = 62
    keep_superseded_days: Annotated[int, Field(ge=1, le=3660)] = 30
    keep_results_days: Annotated[int, Field(ge=1, le=3660)] = 400


class Alarms(Section):
    """`[alarms]`: limits of the alarms, and their hook. `webhook_url`: http or https, empty for none."""

    silent_after_s: Annotated[float, Field(ge=10, le=604_800)] = 600.0
    unsealed_after_s: Annotated[float, Field(ge=60, le=604_800)] = 7200.0
    quarantined_per_h: Annotated[int, Field(ge=1)] = 10
    disk_free_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.1
    webhook_url: Annotated[str, Field(pattern=r"^(https?://[^\s]+)?$")] = ""
    webhook_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0


class DigestTo(Section):
    """`[[digest.to]]`: an account that gets the digest, and its mail address; without one, by the hook only."""

    account: Identifier
    address: Annotated[str, Field(pattern=r"^([^\s@<>]+@[^\s@<>]+)?$")] = ""


class Digest(Section):
    """`[digest]`: waiting tasks by person, sent once a day `at` a local time, HH:MM; empty: never.

    `url`: of the pages, put before the paths of the tasks.
    """

    at: Annotated[str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9])?$")] = ""
    language: Literal["zh", "en"] = "zh"
    url: Annotated[str, Field(pattern=r"^(https?://[^\s]+)?$")] = ""
    webhook_url: Annotated[str, Field(pattern=r"^(https?://[^\s]+)?$")] = ""
    smtp_host: str = ""
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 25
    smtp_tls: Literal["none", "starttls", "tls"] = "starttls"
    smtp_user: str = ""
    smtp_password_file: str = ""
    sender: str = ""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    to: list[DigestTo] = []


class Web(Section):
    """`[web]`: pages and REST at `center.listen`. `tls_in_front`: a proxy in front of the center speaks TLS.

    `session_max_h`: from log-in on, however much a session is used. `second_factor_required`: of approvers, regulators
    and administrators. `base_path`: the path of the pages at a proxy that removes it before forwarding.
    `plants_see_running`: a plant's view of a month before its disclosure: nothing, its own figures, or also the totals
    of the areas.
    """

    cert_file: str = ""
    key_file: str = ""
    tls_in_front: bool = False
    session_max_h: Annotated[float, Field(gt=0, le=720)] = 12.0
    second_factor_required: bool = False
    base_path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._~-]+)*$")] = ""
    plants_see_running: Literal["nothing", "own", "own_and_areas"] = "own"
    max_upload_bytes: Annotated[int, Field(ge=1024, le=1_073_741_824)] = 64_000_000
    page_rows: Annotated[int, Field(ge=10, le=1000)] = 100


class RunSettings(Section):
    """Settlement runs. `keep_days`: for runs that nothing refers to: no disclosure, filing, review, variant."""

    keep_days: Annotated[int, Field(ge=1, le=3660)] = 30


class PlantSettings(Section):
    """`[[plant]]`: the units of a plant and the keys that sign for them.

    Several `[[plant.key]]` allow a change of keys without a gap. `gateways`: the order that decides when two gateways
    recorded the same unit and instant; others come after it.
    """

    id: Identifier
    units: list[Identifier]
    public_key_files: list[str] = []
    unsigned: bool = False
    gateways: list[Identifier] = []


class CenterSettings(Section):
    """center.toml as written."""

    schema_version: Literal[1] = Field(alias="schema")
    center: Center = Center()
    mqtt: Mqtt = Mqtt()
    receiver: ReceiverSettings = ReceiverSettings()
    lake: Lake = Lake()
    runs: RunSettings = RunSettings()
    alarms: Alarms = Alarms()
    digest: Digest = Digest()
    web: Web = Web()
    plant: list[PlantSettings]


def load_center(path: Path) -> CenterSettings:
    """Load and check center.toml; file names in it become relative to its own folder.

    Raises:
        ConfigError: everything wrong in it.
    """
    settings = load_settings(path, CenterSettings)
    problems = _problems(str(path), settings)
    if problems:
        raise ConfigError(problems)
    return _resolve(path.parent, settings)


def _problems(file: str, settings: CenterSettings) -> list[Problem]:
    problems: list[Problem] = []
    try:
        if settings.center.listen:
            parse_listen(settings.center.listen)
    except ConfigError as error:
        problems.extend(replace(p, file=file) for p in error.problems)
    if set(settings.center.parts) != set(PARTS) and not settings.center.database_url:
        message = tr("SQLite serves one process: leave out center.parts, or name a PostgreSQL in center.database_url")
        problems.append(Problem(file, 0, "center.parts", message))
    try:
        if settings.lake.url:
            parse_lake_url(settings.lake.url)
    except ConfigError as error:
        problems.extend(replace(p, file=file) for p in error.problems)
    if bool(settings.web.cert_file) != bool(settings.web.key_file):
        problems.append(Problem(file, 0, "web.key_file", tr("cert_file and key_file belong together: name both")))
    if any(each.address for each in settings.digest.to) and not (settings.digest.smtp_host and settings.digest.sender):
        problems.append(Problem(file, 0, "digest.smtp_host", tr("addresses need smtp_host and sender")))
    plants: set[str] = set()
    owner: dict[str, str] = {}
    for index, plant in enumerate(settings.plant, 1):
        key = f"plant[{index}]"
        if plant.id in plants:
            problems.append(Problem(file, 0, f"{key}.id", tr("{id!r} is used twice", id=plant.id)))
        plants.add(plant.id)
        if plant.unsigned and plant.public_key_files:
            problems.append(
                Problem(file, 0, f"{key}.unsigned", tr("a plant with keys must sign: remove one of the two"))
            )
        if not plant.unsigned and not plant.public_key_files:
            message = tr("name the plant's public key, or write unsigned = true for a trial")
            problems.append(Problem(file, 0, f"{key}.public_key_files", message))
        for unit in plant.units:
            if unit in owner:
                problems.append(
                    Problem(
                        file,
                        0,
                        f"{key}.units",
                        tr("{unit!r} already belongs to {owner!r}", unit=unit, owner=owner[unit]),
                    )
                )
            owner[unit] = plant.id
    return problems


def _resolve(folder: Path, settings: CenterSettings) -> CenterSettings:
    def resolved(name: str) -> str:
        return str(folder / name) if name else ""

    center = settings.center.model_copy(
        update={
            "state_dir": resolved(settings.center.state_dir),
            "signing_key_file": resolved(settings.center.signing_key_file),
            "rulebook_dir": resolved(settings.center.rulebook_dir),
            "anchor_file": resolved(settings.center.anchor_file),
        }
    )
    files = ("password_file", "ca_file", "cert_file", "key_file")
    mqtt = settings.mqtt.model_copy(update={name: resolved(getattr(settings.mqtt, name)) for name in files})
    web_files = {name: resolved(getattr(settings.web, name)) for name in ("cert_file", "key_file")}
    web = settings.web.model_copy(update=web_files)
    secret = resolved(settings.digest.smtp_password_file)
    digest = settings.digest.model_copy(update={"smtp_password_file": secret})
    plants = [
        p.model_copy(update={"public_key_files": [resolved(n) for n in p.public_key_files]}) for p in settings.plant
    ]
    receiver = settings.receiver.model_copy(update={"folder": resolved(settings.receiver.folder)})
    sections = {"center": center, "mqtt": mqtt, "receiver": receiver, "web": web, "digest": digest, "plant": plants}
    return settings.model_copy(update=sections)


def with_overrides(settings: CenterSettings, *, listen: str, state: str, broker: str) -> CenterSettings:
    """The settings with values of the command line in their place; an empty text changes nothing.

    Raises:
        ConfigError: the broker is not `mqtt://HOST[:PORT]` or `mqtts://HOST[:PORT]`.
    """
    center = settings.center
    if listen:
        parse_listen(listen)
        center = center.model_copy(update={"listen": listen})
    if state:
        center = center.model_copy(update={"state_dir": state})
    mqtt = settings.mqtt
    if broker:
        host, port, tls = parse_broker(broker)
        # mqtts without a CA of its own: the host's list of CAs.
        ca_file = mqtt.ca_file or (ssl.get_default_verify_paths().cafile or "" if tls else "")
        if tls and not ca_file:
            raise ConfigError(
                [Problem("--broker", 0, "", tr("mqtts needs mqtt.ca_file: this host has no list of its own"))]
            )
        mqtt = mqtt.model_copy(update={"host": host, "port": port, "ca_file": ca_file})
    return settings.model_copy(update={"center": center, "mqtt": mqtt})


def parse_broker(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether TLS is used, of `mqtt://HOST[:PORT]`, `mqtts://…` or `HOST:PORT`.

    Without a port 1883, with TLS 8883.

    Raises:
        ConfigError: anything else.
    """
    try:
        parts = urlsplit(url if "://" in url else f"mqtt://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError([Problem("--broker", 0, "", f"{error}: {url!r}")]) from error
    if parts.scheme not in ("mqtt", "mqtts") or not host or parts.path not in ("", "/"):
        raise ConfigError([Problem("--broker", 0, "", tr("expected mqtt://HOST:PORT, got {url!r}", url=url))])
    tls = parts.scheme == "mqtts"
    return host, port or (8883 if tls else 1883), tls


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `[IPv6]:PORT`.

    Raises:
        ConfigError: anything else.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or "@" in text or "/" in text:
        raise ConfigError([Problem("--listen", 0, "center.listen", tr("expected HOST:PORT, got {text!r}", text=text))])
    return host, port


@dataclass(frozen=True, slots=True)
class ObjectStorePlace:
    """The place that lake.url names. `root`: bucket and prefix; `options`: how the store is reached."""

    root: str
    options: Mapping[str, str]


_STORE_OPTIONS = ("endpoint_override", "scheme", "region", "tls_ca_file_path")


def parse_lake_url(url: str) -> ObjectStorePlace:
    """Bucket, prefix and options of `s3://BUCKET[/PREFIX][?OPTION=VALUE&…]`.

    Raises:
        ConfigError: anything else, also credentials: an address is written into logs.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    message = ""
    if parts.scheme != "s3" or not parts.netloc or parts.fragment:
        message = tr(
            "expected s3://BUCKET/PREFIX?endpoint_override=HOST:PORT, got {url!r}", url=url.partition("@")[2] or url
        )
    elif "@" in parts.netloc:
        message = tr("no credentials here: give them to the process as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    elif unknown := sorted(options.keys() - set(_STORE_OPTIONS)):
        message = tr(
            "unknown option {unknown!r}; expected one of {names}", unknown=unknown[0], names=", ".join(_STORE_OPTIONS)
        )
    elif options.get("scheme", "https") not in ("http", "https"):
        message = tr("scheme is http or https")
    if message:
        raise ConfigError([Problem("lake.url", 0, "lake.url", message)])
    return ObjectStorePlace("/".join(filter(None, (parts.netloc, parts.path.strip("/")))), options)
