# SPDX-License-Identifier: GPL-3.0-or-later
"""Plant keys enrolled and revoked in the store, beside those of center.toml, without a restart.

Valid keys are those of center.toml and the enrolled ones, less the revoked ones. A revoked key stays revoked: a new one
is enrolled. Batches signed with it go to quarantine as `unknown_key`; the plant sends them again, signed with a valid
key.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, func, insert, select, update

import collector.wire as wire
from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.seals.sealed_rows import row_holds
from collector.center.db.store import CenterStore
from collector.center.db.tables_people import audit as audit_log
from collector.center.db.tables_quality import plant_key
from collector.center.db.tables_receive import enrolled
from collector.center.people import audit
from collector.center.people.access import Actor, Permission
from collector.center.receive.admission import Admission, EnrolledPlant, plants_of
from collector.center.settings import CenterSettings
from collector.model.interval import format_time

CONFIGURED: Final = "key.configured"
REVOKED: Final = "key.revoke"
MAX_PEM_BYTES: Final = 10_000
logger: Final = logging.getLogger("collector.center.receive.keys")


def enrol_key(connection: Connection, *, actor: Actor, plant: str, pem: bytes, now_ms: int) -> str:
    """Accept a plant's public key (PEM) from now on; returns its key id.

    Raises:
        Denied: the role may not.
        ConfigError: not an Ed25519 public key.
        StoreError: no such plant, or the key is enrolled for a plant, or was revoked.
    """
    actor.require(Permission.ADMINISTER)
    key_id = wire.key_id(wire.parse_public_key(pem[:MAX_PEM_BYTES], "public key"))
    if connection.execute(select(enrolled.c.plant).where(enrolled.c.plant == plant)).scalar() is None:
        raise StoreError(tr("no plant of center.toml, as the running center last read it, has this id"), subject=plant)
    known = connection.execute(select(plant_key).where(plant_key.c.key_id == key_id)).first()
    if known is not None:
        what = tr("was revoked: make a new pair") if known.revoked_ms is not None else tr("is enrolled already")
        raise StoreError(
            tr("key {key_id} of {plant} {what}", key_id=key_id, plant=known.plant, what=what), subject=plant
        )
    values = {
        "plant": plant,
        "key_id": key_id,
        "public_key": pem[:MAX_PEM_BYTES].decode("ascii"),
        "enrolled_ms": now_ms,
        "enrolled_by": actor.name,
        "reason": "",
    }
    connection.execute(insert(plant_key).values(values))
    audit.append(connection, actor=actor, action="key.enrol", subject=plant, detail={"key_id": key_id}, now_ms=now_ms)
    return key_id


def revoke_key(connection: Connection, *, actor: Actor, plant: str, key_id: str, reason: str, now_ms: int) -> None:
    """Revoke a key of a plant, also one that center.toml names.

    Raises:
        Denied: the role may not.
        StoreError: it was revoked before, or no reason is given.
    """
    actor.require(Permission.ADMINISTER)
    if not reason.strip():
        raise StoreError(tr("say why the key is revoked"), subject=key_id)
    values = {"revoked_ms": now_ms, "revoked_by": actor.name, "reason": reason}
    where = (plant_key.c.plant == plant) & (plant_key.c.key_id == key_id)
    found = connection.execute(select(plant_key.c.revoked_ms).where(where)).one_or_none()
    if found is not None and found.revoked_ms is not None:
        raise StoreError(tr("was revoked {time}", time=format_time(int(found.revoked_ms))), subject=key_id)
    if found is None:  # a key of center.toml
        connection.execute(insert(plant_key).values(values | {"plant": plant, "key_id": key_id, "public_key": ""}))
    else:
        connection.execute(update(plant_key).where(where).values(values))
    detail = {"key_id": key_id, "reason": reason}
    audit.append(connection, actor=actor, action=REVOKED, subject=plant, detail=detail, now_ms=now_ms)


def note_configured_keys(connection: Connection, plants: Mapping[str, EnrolledPlant], now_ms: int) -> None:
    """Write the keys of center.toml into the audit log, by plant, where they changed since the last start.

    No key means that batches are accepted unsigned. The file is not in the store, so nothing else would record who was
    given access.
    """
    actor = Actor.at_command_line("center.toml")
    for plant, known in sorted(plants.items()):
        mine = (audit_log.c.action == CONFIGURED) & (audit_log.c.subject == plant)
        query = select(audit_log.c.detail).where(mine).order_by(audit_log.c.sequence.desc()).limit(1)
        last, keys = connection.execute(query).scalar(), sorted(known.keys)
        if last is None or json.loads(last)["keys"] != keys:
            detail = {"keys": keys}
            audit.append(connection, actor=actor, action=CONFIGURED, subject=plant, detail=detail, now_ms=now_ms)


def with_stored_keys(connection: Connection, plants: Mapping[str, EnrolledPlant]) -> dict[str, EnrolledPlant]:
    """The plants of center.toml with the keys that are valid now."""
    keys: dict[str, dict[str, Ed25519PublicKey]] = {plant: dict(known.keys) for plant, known in plants.items()}
    revoked: dict[str, dict[str, str]] = {plant: {} for plant in plants}
    for plant, key_id in _revoked_by_log(connection):  # holds even where the row of the revocation is gone
        if plant in plants and keys[plant].pop(key_id, None) is not None:
            revoked[plant][key_id] = "was revoked"
    for row in connection.execute(select(plant_key)):
        if row.plant not in plants:
            continue
        # batches signed with it stay at the plant until a valid key is enrolled
        if not row_holds(connection, plant_key, [row.id]):
            keys[row.plant].pop(row.key_id, None)
            revoked[row.plant][row.key_id] = "is not as it was enrolled: `collector center check` says more"
            logger.error("key %s of %s: not as this program wrote it; it does not count", row.key_id, row.plant)
        elif row.revoked_ms is not None:
            keys[row.plant].pop(row.key_id, None)
            revoked[row.plant][row.key_id] = f"was revoked {format_time(int(row.revoked_ms))}"
        else:
            keys[row.plant][row.key_id] = wire.parse_public_key(row.public_key.encode(), row.key_id)
    return {p: replace(known, keys=keys[p], revoked=revoked[p]) for p, known in plants.items()}


def _revoked_by_log(connection: Connection) -> list[tuple[str, str]]:
    query = select(audit_log.c.subject, audit_log.c.detail).where(audit_log.c.action == REVOKED)
    return [(row.subject, json.loads(row.detail)["key_id"]) for row in connection.execute(query)]


def list_keys(connection: Connection, plants: Mapping[str, EnrolledPlant]) -> list[dict[str, Any]]:
    """Every key by plant. `source`: `center.toml` or `store`; `state`: `counts` or `revoked`."""
    names = ("plant", "key_id", "enrolled_ms", "enrolled_by", "revoked_ms", "revoked_by", "reason")
    rows = [
        {name: getattr(row, name) for name in names}
        | {"source": "store" if row.public_key else "center.toml", "state": "revoked" if row.revoked_ms else "counts"}
        for row in connection.execute(select(plant_key))
    ]
    told = {(row["plant"], row["key_id"]) for row in rows}
    for plant, known in plants.items():
        rows += [
            dict.fromkeys(names)
            | {"plant": plant, "key_id": key_id, "reason": "", "source": "center.toml", "state": "counts"}
            for key_id in known.keys
            if (plant, key_id) not in told
        ]
    return sorted(rows, key=lambda row: (row["plant"], row["state"], row["key_id"]))


class KeyRing:
    """The valid keys, brought up to date in a running admission."""

    def __init__(self, settings: CenterSettings) -> None:
        self.plants = plants_of(settings)
        self._seen: tuple[int, int] | None = None

    def refresh(self, connection: Connection, admission: Admission) -> bool:
        """Update the admission's keys if any was enrolled or revoked since the last call; True if so."""
        # Rows are never deleted and a key is revoked once, so these two numbers show every change.
        counts = select(func.count().label("rows"), func.count(plant_key.c.revoked_ms).label("revoked"))
        row = connection.execute(counts.select_from(plant_key)).one()
        seen = (int(row.rows), int(row.revoked))
        if seen == self._seen:
            return False
        admission.replace_plants(with_stored_keys(connection, self.plants))
        self._seen = seen
        return True


def current_admission(store: CenterStore, settings: CenterSettings) -> Admission:
    """An admission with the keys that are valid now, for a readmission from quarantine.

    Raises:
        ConfigError: a key file is missing, or is not a key.
    """
    admission = Admission.from_settings(settings, store.clock)
    store.read(lambda connection: KeyRing(settings).refresh(connection, admission))
    return admission


def enrolled_units(connection: Connection) -> dict[str, list[str]]:
    """The plants of center.toml and their units, as the running center last read them."""
    rows = connection.execute(select(enrolled.c.plant, enrolled.c.units))
    return {str(row.plant): list(json.loads(row.units)) for row in rows}
