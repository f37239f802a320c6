# SPDX-License-Identifier: GPL-3.0-or-later
"""Small batches for the center's tests, and the ways to hand them over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from collector import wire
from collector.base.clock_state import ClockState
from collector.center.db.store import CenterStore
from collector.center.receive.admission import Admission, EnrolledPlant
from collector.center.receive.arrivals import Arrival
from collector.center.receive.journal import GroupResult, commit_group
from collector.center.settings import ReceiverSettings
from collector.model.interval import parse_time_ms
from collector.model.record import GapRecord, Quality, UnitLayout, UnitRecord

QUANTITIES = ("active_power_mw", "frequency_hz", "on_grid", "energy_export_mwh")
NOON = parse_time_ms("2026-03-10T12:00:00+08:00")
EPOCH = 0xFEDC_BA98_7654_3210  # above 2^63, as half of all epochs are
UNITS = ("U1", "U2")
WIDE = ReceiverSettings(
    max_age_days=36_500, max_future_s=3e9, max_days_per_batch=400
)  # for tests in a time of their own


class FixedClock:
    """A clock that a test sets."""

    def __init__(self, now_ms: int = NOON) -> None:
        self.now_ms = now_ms

    def now_utc_ms(self) -> int:
        return self.now_ms

    def monotonic_s(self) -> float:
        return self.now_ms / 1000

    async def sleep_until(self, time_utc_ms: int) -> int:
        self.now_ms = max(self.now_ms, time_utc_ms)
        return 0


def record(
    unit: str,
    time_utc_ms: int,
    power_kw: int | None = 330_000,
    *,
    era: int = 0,
    clock: ClockState = ClockState.SYNCHRONISED,
    tag: int | None = None,
) -> UnitRecord:
    """One record with the four quantities of these tests."""
    values = (power_kw, 50_000_000, 1, 1_234_567_890)
    quality = Quality.GOOD if power_kw is not None else Quality.SILENT
    qualities = (quality, Quality.GOOD, Quality.GOOD, Quality.GOOD)
    return UnitRecord(unit, time_utc_ms, values, qualities, era=era, clock=clock, device_time_utc_ms=tag)


def payload_of(
    sequence: int,
    records: Sequence[UnitRecord],
    *,
    gaps: Sequence[GapRecord] = (),
    plant: str = "P1",
    gateway: str = "g1",
    epoch: int = EPOCH,
    signer: wire.Signer | None = None,
) -> bytes:
    """A sealed batch of these records."""
    units = dict.fromkeys(r.unit for r in records)
    layouts = tuple(UnitLayout(unit, QUANTITIES) for unit in units)
    stream = wire.Stream(plant, gateway, epoch)
    return wire.encode_batch(wire.Batch(stream, sequence, layouts, tuple(records), tuple(gaps)), signer)


def minutes(unit: str, start_ms: int, count: int) -> list[UnitRecord]:
    """A record a minute, each with a power of its own."""
    return [record(unit, start_ms + i * 60_000, 300_000 + i) for i in range(count)]


def open_admission(*, units: Iterable[str] = UNITS, signer: wire.Signer | None = None) -> Admission:
    """P1 with its units; signed where a signer is given, else a trial plant."""
    keys = {signer.key_id: signer.public_key} if signer else {}
    plants = {"P1": EnrolledPlant(frozenset(units), keys), "P2": EnrolledPlant(frozenset({"V1"}), {})}
    return Admission(root="collector", plants=plants, limits=WIDE, clock=FixedClock())


def batch_topic(plant: str = "P1", gateway: str = "g1") -> str:
    """Where these batches are published."""
    return wire.topic("collector", plant, gateway, "batch")


def deliver(
    store: CenterStore, payloads: Iterable[bytes], *, admission: Admission | None = None, topic: str = batch_topic()
) -> GroupResult:
    """Admit and commit payloads as one group."""
    chosen = admission or open_admission()
    arrivals: list[Arrival] = chosen.admit_all((topic, payload) for payload in payloads)
    now_ms = store.clock.now_utc_ms()
    job = store.write(lambda c: commit_group(c, arrivals, now_ms=now_ms, quarantine_max_bytes=1_000_000))
    return job.result()


class Databases:
    """Where `new_store` puts its tables: SQLite in the directory, or a PostgreSQL database for each directory."""

    def __init__(self, make_url: Callable[[], str] | None = None) -> None:
        self._make_url = make_url
        self._urls: dict[Path, str] = {}

    def url_for(self, directory: Path) -> str:
        """As `center.database_url` says it; the same again for the same directory."""
        if self._make_url is None:
            return ""
        if directory not in self._urls:
            self._urls[directory] = self._make_url()
        return self._urls[directory]


SQLITE = Databases()
in_use = [SQLITE]  # the last one; conftest's fixture `on_both` puts another there


def new_store(directory: Path, clock: FixedClock | None = None, *, database_url: str = "") -> CenterStore:
    """A store of its own for a test."""
    url = database_url or in_use[-1].url_for(directory)
    return CenterStore.open(directory, clock=clock or FixedClock(), database_url=url)


def new_signer(directory: Path, name: str) -> wire.Signer:
    """A fresh key, with its files in `directory`."""
    wire.generate_key_pair(directory / f"{name}.pem", directory / f"{name}.pub")
    return wire.load_signing_key(directory / f"{name}.pem")
