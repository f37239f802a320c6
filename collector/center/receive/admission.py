# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks before a message may enter the journal: size, topic, checksum, plant, signature, units, decoding.

Pure except for the key files read at the start; keys enrolled later come from `keys`. Every message, whatever its
bytes, becomes an arrival for the journal; checks go from cheap to expensive, and nothing from an unknown sender is
decompressed. The codes that a plant may receive:

oversized · topic · malformed · bad_checksum · unknown_version · wrong_topic (the header names another plant or gateway
than the topic) · unknown_plant · unknown_key · bad_signature · foreign_unit · epoch_conflict (found by the journal);
and the curable ones of `batch_bounds.py`: time_out_of_range · too_many_days · too_many_gaps · over_share, with
too_many_streams (found by the journal)

Of a batch of schema version 2 only the index is decoded here; malformed columns are found at sealing (bad_columns).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import collector.wire as wire
from collector.base.clock import Clock
from collector.base.errors import Garbled
from collector.base.text import tr
from collector.center.receive.arrivals import Accepted, AgentState, Arrival, Rejected
from collector.center.receive.batch_bounds import check_bounds
from collector.center.receive.day_index import parts_of
from collector.center.settings import CenterSettings, ReceiverSettings

MAX_STATE_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class EnrolledPlant:
    """An enrolled plant: its units, and the keys that sign for them.

    Without any key, also without revoked ones, it is a trial plant, whose batches are accepted unsigned. `revoked`: key
    id to the reason.
    """

    units: frozenset[str]
    keys: Mapping[str, Ed25519PublicKey]
    revoked: Mapping[str, str] = field(default_factory=dict)

    @property
    def signs(self) -> bool:
        """True if a batch must be signed. It must even where every key was revoked: then nothing is accepted."""
        return bool(self.keys or self.revoked)


def plants_of(settings: CenterSettings) -> dict[str, EnrolledPlant]:
    """The plants of center.toml with the keys it names.

    Raises:
        ConfigError: a key file is missing, or is not a key.
    """
    plants = {}
    for plant in settings.plant:
        keys = [wire.load_public_key(Path(name)) for name in plant.public_key_files]
        plants[plant.id] = EnrolledPlant(frozenset(plant.units), {wire.key_id(key): key for key in keys})
    return plants


class Admission:
    """Admits or rejects messages of the enrolled plants. Thread-safe, also while the plants are replaced.

    `clock`: the center's; record times are compared with it.
    """

    def __init__(
        self, *, root: str, plants: Mapping[str, EnrolledPlant], limits: ReceiverSettings, clock: Clock
    ) -> None:
        self._root = root
        self._plants = plants
        self._limits = limits
        self._clock = clock
        self._used: Counter[str] = Counter()
        self._max_batch_bytes = min(limits.max_batch_bytes, wire.MAX_PAYLOAD_BYTES)

    @classmethod
    def from_settings(cls, settings: CenterSettings, clock: Clock) -> Admission:
        """Read the public keys that the settings name.

        Raises:
            ConfigError: a key file is missing, or is not a key.
        """
        return cls(root=settings.mqtt.root, plants=plants_of(settings), limits=settings.receiver, clock=clock)

    def replace_plants(self, plants: Mapping[str, EnrolledPlant]) -> None:
        """Use these plants from the next message on."""
        self._plants = plants

    def replace_shares(self, used: Mapping[str, int]) -> None:
        """Set the bytes of disk that each plant uses; later admissions are added to them."""
        self._used = Counter(used)

    def admit(self, topic: str, payload: bytes) -> Arrival | None:
        """Check a message: an arrival for the journal, or None for a state message without usable content."""
        try:
            address = wire.parse_topic(self._root, topic)
        except Garbled as error:
            return self._reject(wire.Address("", "", ""), topic, payload, error.code, error.message)
        if address.leaf == "state":
            known = address.plant in self._plants and 0 < len(payload) <= MAX_STATE_BYTES
            return AgentState(address.plant, address.gateway, payload) if known else None
        return self._admit_batch(address, topic, payload)

    def _admit_batch(self, address: wire.Address, topic: str, payload: bytes) -> Arrival:
        envelope: wire.Envelope | None = None
        authentic = False
        try:
            envelope = wire.open_envelope(payload)
            plant = self._authenticate(address, envelope)
            authentic = True
            if len(payload) > self._max_batch_bytes:
                raise Garbled(
                    tr(
                        "{count} bytes, at most {max_batch_bytes} taken",
                        count=len(payload),
                        max_batch_bytes=self._max_batch_bytes,
                    ),
                    code="oversized",
                )
            found = wire.decode_times(envelope)
            named = {u.unit for u in found.units}.union(*(gap.units for gap in found.gaps))
            if foreign := sorted(named - plant.units):
                raise Garbled(
                    tr("not a unit of {plant}: {names}", plant=address.plant, names=", ".join(foreign)[:200]),
                    code="foreign_unit",
                )
            check_bounds(found, self._limits, self._clock.now_utc_ms())
            self._take_share(address.plant, len(payload))
        except Garbled as error:
            return self._reject(address, topic, payload, error.code, error.message, envelope, authentic=authentic)
        return Accepted(
            plant=address.plant,
            gateway=address.gateway,
            epoch=envelope.stream.epoch,
            sequence=envelope.sequence,
            # Hash the signed header, which includes the body's hash: the frame around the two can be written in several
            # ways,
            # and a change of the frame alone must not make the plant's batch look like a conflict.
            sha256=hashlib.sha256(envelope.header).digest(),
            payload=payload,
            record_count=envelope.record_count,
            first_ms=envelope.first_ms,
            last_ms=envelope.last_ms,
            parts=parts_of(found),
            gaps=found.gaps,
            topic=topic,
        )

    def _take_share(self, plant: str, size: int) -> None:
        """Add a batch to the disk use of its plant.

        Raises:
            Garbled: over_share: with this batch the plant would use more of the disk than its share.
        """
        most = self._limits.max_bytes_per_plant
        if self._used[plant] + size > most:
            message = tr(
                "the plant uses {used} bytes of the disk, at most {most} are its own (receiver.max_bytes_per_plant)",
                used=self._used[plant],
                most=most,
            )
            raise Garbled(message, code="over_share")
        self._used[plant] += size

    def _authenticate(self, address: wire.Address, envelope: wire.Envelope) -> EnrolledPlant:
        """The plant that sent a batch.

        Raises:
            Garbled: codes wrong_topic, unknown_plant, unknown_key, bad_signature.
        """
        stream = envelope.stream
        if (stream.plant, stream.gateway) != (address.plant, address.gateway):
            raise Garbled(
                tr("the header names {plant}/{gateway}", plant=stream.plant, gateway=stream.gateway), code="wrong_topic"
            )
        plant = self._plants.get(address.plant)
        if plant is None:
            raise Garbled(tr("plant {plant!r} is not enrolled here", plant=address.plant), code="unknown_plant")
        if plant.signs:
            if not envelope.signature:
                raise Garbled(tr("it is not signed; this plant signs"), code="bad_signature")
            key = plant.keys.get(envelope.key_id)
            if key is None:
                what = plant.revoked.get(envelope.key_id, f"is not enrolled for {address.plant}")
                raise Garbled(tr("key {key_id!r} {what}", key_id=envelope.key_id, what=what), code="unknown_key")
            wire.verify_signature(envelope, key)
        return plant

    @staticmethod
    def _reject(
        address: wire.Address,
        topic: str,
        payload: bytes,
        code: str,
        reason: str,
        envelope: wire.Envelope | None = None,
        *,
        authentic: bool = False,
    ) -> Rejected:
        # Also a batch that can't be opened is refused by its number, so that its gateway hears why it is not taken.
        opened = (envelope.stream, envelope.sequence) if envelope else None
        named = opened or (wire.named_in(payload) if address.plant else None)
        return Rejected(
            plant=address.plant,
            gateway=address.gateway,
            topic=topic,
            sha256=hashlib.sha256(payload).digest(),
            payload=payload,
            code=code,
            reason=reason,
            epoch=named[0].epoch if named else None,
            sequence=named[1] if named else None,
            authentic=authentic,
        )

    def admit_all(self, messages: Iterable[tuple[str, bytes]]) -> list[Arrival]:
        """`admit` for a group of (topic, payload)."""
        arrivals = (self.admit(topic, payload) for topic, payload in messages)
        return [arrival for arrival in arrivals if arrival is not None]
