# SPDX-License-Identifier: GPL-3.0-or-later
"""Small buffers for tests: units U1 and U2 of plant P1, V1 of plant P2, two quantities each."""

from __future__ import annotations

from pathlib import Path

from collector.agent.buffer.buffer import AckOutcome, Buffer, Outgoing, Position
from collector.model.record import Cause, GapRecord, Quality, UnitLayout, UnitRecord
from collector.points import agent_config
from collector.wire import Ack, Batch, Signer, decode_batch, epoch_text, open_envelope

QUANTITIES = ("active_power_mw", "on_grid")
PLANTS_OF_UNIT = {"U1": "P1", "U2": "P1", "V1": "P2"}
LAYOUTS = {unit: UnitLayout(unit, QUANTITIES) for unit in PLANTS_OF_UNIT}
T0 = 1_772_294_400_000
GOOD = (Quality.GOOD, Quality.GOOD)


def open_buffer(
    path: Path,
    *,
    max_bytes: int = 2_000_000_000,
    max_age_s: int = 60,
    max_records: int = 4096,
    keep_h: int = 168,
    signer: Signer | None = None,
    gateway: str = "g1",
    now_utc_ms: int = T0,
    outlives_power_cuts: bool = True,
) -> Buffer:
    """A buffer at `path`."""
    settings = agent_config.BufferConfig(
        batch_max_age_s=max_age_s, batch_max_records=max_records, keep_after_ack_h=keep_h
    )
    # Smaller than a person may configure, so that a test fills it quickly.
    settings = settings.model_copy(update={"max_bytes": max_bytes})
    return Buffer.open(
        path,
        gateway=gateway,
        plants_of_unit=PLANTS_OF_UNIT,
        settings=settings,
        layouts=LAYOUTS,
        signers={"P1": signer, "P2": signer},
        now_utc_ms=now_utc_ms,
        outlives_power_cuts=outlives_power_cuts,
    )


def record(second: float, *, unit: str = "U1", power_kw: int | None = None, cause: Cause = Cause.TICK) -> UnitRecord:
    """One record, `second` seconds after T0; its power is the second unless given, so that each can be told."""
    power = round(second * 1000) if power_kw is None else power_kw
    return UnitRecord(unit, T0 + round(second * 1000), (power, 1), GOOD, cause)


def seal_one(buffer: Buffer, second: float, *, unit: str = "U1") -> None:
    """Append one record and close it into a batch of its own."""
    buffer.append([record(second, unit=unit)])
    buffer.seal_all()


def pending(buffer: Buffer, plant: str = "P1") -> list[Outgoing]:
    """Everything that would be sent, in order; counts as handed out."""
    found: list[Outgoing] = []
    position: Position | None = None
    while (position := buffer.next_batch(plant, position)) is not None:
        if (outgoing := buffer.read(position)) is not None:
            found.append(outgoing)
    return found


def contents(outgoing: Outgoing) -> Batch:
    """The batch inside."""
    return decode_batch(open_envelope(outgoing.payload))


def times(batches: list[Outgoing]) -> list[float]:
    """Seconds after T0 of all records in them."""
    return [(r.time_utc_ms - T0) / 1000 for b in batches for r in contents(b).records]


def gaps(batches: list[Outgoing]) -> list[GapRecord]:
    """All gap records in them."""
    return [g for b in batches for g in contents(b).gaps]


def ack(
    buffer: Buffer,
    epoch: int,
    through: int = 0,
    *,
    plant: str = "P1",
    store: str = "store-1",
    also: tuple[tuple[int, int], ...] = (),
    refused: tuple[tuple[int, str], ...] = (),
) -> AckOutcome:
    """Apply an ack of the center."""
    return buffer.apply_ack(plant, Ack(store, epoch_text(epoch), through, also, refused))
