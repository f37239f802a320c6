# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: plants with their gateways and keys, and what is in quarantine."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar.params import JSONBody, QueryParameter

from collector.center.inputs.service import readmit_all
from collector.center.operate.status import read_gateways
from collector.center.people.access import Permission
from collector.center.receive.admission import plants_of
from collector.center.receive.keys import current_admission, enrol_key, enrolled_units, list_keys, revoke_key
from collector.center.receive.quarantine import list_quarantine
from collector.center.web.context import Ctx
from collector.center.web.paging import Listed, Listing, as_row
from collector.center.web.routes import api_get, api_post

Plant = Annotated[str, QueryParameter(max_length=64, description="of this plant only")]


class PlantOut(msgspec.Struct, frozen=True):
    """A plant of center.toml and its units."""

    plant: str
    units: list[str]


class GatewayOut(msgspec.Struct, frozen=True):
    """A gateway over all its epochs. `state`: what it last said of itself."""

    plant: str
    gateway: str
    epochs: int
    batches: int
    records: int
    repeats: int
    missing_sequences: int
    last_received_ms: int | None
    state: dict[str, Any] | None
    state_received_ms: int | None


class KeyOut(msgspec.Struct, frozen=True):
    """A public key of a plant. `source`: center.toml or store; `state`: counts or revoked."""

    plant: str
    key_id: str
    source: str
    state: str
    enrolled_ms: int | None
    enrolled_by: str | None
    revoked_ms: int | None
    revoked_by: str | None
    reason: str


class KeyIn(msgspec.Struct, frozen=True):
    """An Ed25519 public key (PEM) of a plant."""

    plant: Annotated[str, msgspec.Meta(max_length=64)]
    pem: Annotated[str, msgspec.Meta(max_length=10_000)]


class KeyIdOut(msgspec.Struct, frozen=True):
    """The id of a key, as batches name it."""

    key_id: str


class RevokeIn(msgspec.Struct, frozen=True):
    """A key to be taken no longer, and why."""

    plant: Annotated[str, msgspec.Meta(max_length=64)]
    key_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class QuarantineOut(msgspec.Struct, frozen=True):
    """A message that could not be accepted, with the code the plant was told. `received`: local ISO 8601."""

    received: str
    plant: str
    gateway: str
    epoch: str | None
    sequence: int | None
    code: str
    reason: str
    topic: str
    repeats: int
    size_bytes: int


class ReadmittedOut(msgspec.Struct, frozen=True):
    """The numbers of batches and records that left the quarantine."""

    batches: int
    records: int


@api_get("/plants", Permission.SEE_OWN, own=True, table=True)
def list_plants(ctx: Ctx, listing: Listing) -> Listed[PlantOut]:
    """Plants that may send and their units; one's own for a plant's user."""
    found = ctx.read(enrolled_units)
    rows = [PlantOut(plant, units) for plant, units in sorted(found.items()) if ctx.actor.may_see(plant)]
    return listing.of(rows, PlantOut, "plants")


@api_get("/gateways", Permission.SEE_OWN, own=True, table=True)
def list_gateways(ctx: Ctx, listing: Listing) -> Listed[GatewayOut]:
    """Gateways: what came, what is missing, what they last said; one's own for a plant's user."""
    found = ctx.read(read_gateways)
    rows = [as_row(GatewayOut, each) for each in found if ctx.actor.may_see(each.plant)]
    return listing.of(rows, GatewayOut, "gateways")


@api_get("/keys", Permission.SEE_OWN, own=True, table=True)
def list_all_keys(ctx: Ctx, listing: Listing) -> Listed[KeyOut]:
    """Keys that count and keys revoked; one's own for a plant's user."""
    known = plants_of(ctx.settings)
    found = ctx.read(lambda c: list_keys(c, known))
    rows = [as_row(KeyOut, each) for each in found if ctx.actor.may_see(each["plant"])]
    return listing.of(rows, KeyOut, "keys")


@api_post("/keys", Permission.ADMINISTER)
def enrol(ctx: Ctx, data: JSONBody[KeyIn]) -> KeyIdOut:
    """Take a plant's public key from now on."""
    pem = data.pem.encode()
    return KeyIdOut(ctx.write(lambda c: enrol_key(c, actor=ctx.actor, plant=data.plant, pem=pem, now_ms=ctx.now_ms)))


@api_post("/keys/revoke", Permission.ADMINISTER)
def revoke(ctx: Ctx, data: JSONBody[RevokeIn]) -> KeyIdOut:
    """Take a plant's key no longer."""
    ctx.write(
        lambda c: revoke_key(
            c, actor=ctx.actor, plant=data.plant, key_id=data.key_id, reason=data.reason, now_ms=ctx.now_ms
        )
    )
    return KeyIdOut(data.key_id)


@api_get("/quarantine", Permission.SEE_ALL, table=True)
def list_quarantined(ctx: Ctx, listing: Listing, plant: Plant = "") -> Listed[QuarantineOut]:
    """What could not be accepted, oldest first."""
    found = ctx.read(list_quarantine)
    rows = [as_row(QuarantineOut, each) for each in found if plant in ("", each["plant"])]
    return listing.of(rows, QuarantineOut, "quarantine")


@api_post("/quarantine/readmit", Permission.IMPORT)
def readmit(ctx: Ctx) -> ReadmittedOut:
    """Look at the quarantine again with the keys and units that count now."""
    admission = current_admission(ctx.store, ctx.settings)
    done = ctx.write(lambda c: readmit_all(c, admission.admit, actor=ctx.actor, now_ms=ctx.now_ms))
    return ReadmittedOut(done.committed, done.records)


ROUTES: Final = [
    list_plants, list_gateways, list_all_keys, enrol, revoke, list_quarantined, readmit,
]  # fmt: skip
