# SPDX-License-Identifier: GPL-3.0-or-later
"""The center's state as Prometheus metrics, computed for every scrape from the store and the receiver's counters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from collector.center.db.tables_quality import alarm, finding
from collector.center.db.tables_receive import covered, enrolled, gap, lake_day, quarantine, stream, unit_day
from collector.center.operate.alarms import CODES, last_heard
from collector.center.receive.receiver import Counters
from collector.center.receive.stream_state import OF_GATEWAYS
from collector.model.interval import local_day

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_RECENT_DAYS: Final = 45  # a plant without a record for longer has no metric for its last one

Row = tuple[Sequence[str], float]


def render_metrics(connection: Connection, counters: Counters | None, *, now_ms: int) -> bytes:
    """The text of a scrape. `counters`: of the receiver in this process; None where there is none."""
    families = [*_of_receiver(counters), *_of_plants(connection, now_ms), *_of_store(connection)]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_CenterMetrics(families))
    return generate_latest(registry)


class _CenterMetrics(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _gauge(name: str, words: str, rows: Iterable[Row], labels: Sequence[str] = ()) -> Metric:
    family = GaugeMetricFamily(f"collector_center_{name}", words, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _of_receiver(counters: Counters | None) -> Iterator[Metric]:
    if counters is None:
        return
    for each in fields(counters):
        if each.name == "served":
            continue
        words = f"{each.name.replace('_', ' ')} since the start of this receiver"
        family = CounterMetricFamily(f"collector_center_{each.name}", words)
        family.add_metric((), float(getattr(counters, each.name)))
        yield family
    served = sorted(counters.served().items())
    rows: Iterable[Row] = [((plant,), float(each.messages)) for plant, each in served]
    yield _counter("plant_messages", "messages of the plant's connection that were checked", rows)
    rows = [((plant,), float(each.dropped)) for plant, each in served]
    yield _counter("plant_dropped", "messages let go because too many of the plant waited; it sends them again", rows)
    rows = [((plant,), each.held_back_s) for plant, each in served]
    yield _counter("plant_held_back_seconds", "for how long more waited of the plant than its share let it have", rows)


def _counter(name: str, words: str, rows: Iterable[Row]) -> Metric:
    family = CounterMetricFamily(f"collector_center_{name}", words, labels=["plant"])
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _of_plants(connection: Connection, now_ms: int) -> Iterator[Metric]:
    plants = sorted(connection.execute(select(enrolled.c.plant)).scalars())
    since = (local_day(now_ms) - timedelta(days=_RECENT_DAYS)).isoformat()
    latest = select(unit_day.c.plant, func.max(unit_day.c.last_ms).label("at_ms")).where(unit_day.c.day >= since)
    records = {row.plant: int(row.at_ms) for row in connection.execute(latest.group_by(unit_day.c.plant))}
    heard = last_heard(connection, plants)
    yield _gauge(
        "last_record_age_seconds", "time since the instant of the latest record",
        [((p,), (now_ms - records[p]) / 1000) for p in plants if p in records], ["plant"],
    )  # fmt: skip
    ages = [((p,), (now_ms - at_ms) / 1000) for p in plants if (at_ms := heard[p].last_ms) is not None]
    yield _gauge("last_heard_age_seconds", "time since anything came from the plant", ages, ["plant"])
    counts = connection.execute(select(gap.c.plant, func.count().label("n")).group_by(gap.c.plant))
    yield _gauge("gaps", "gap records, one a unit", [((r.plant,), float(r.n)) for r in counts], ["plant"])
    width = func.sum(covered.c.to_seq - covered.c.from_seq + 1)
    missing = (
        select(stream.c.plant, stream.c.gateway, (func.max(covered.c.to_seq) - width).label("n"))
        .join(covered, covered.c.stream_id == stream.c.id)
        .where(OF_GATEWAYS)
        .group_by(stream.c.plant, stream.c.gateway, stream.c.id)
    )
    sums: dict[tuple[str, str], float] = {}
    for row in connection.execute(missing):
        sums[row.plant, row.gateway] = sums.get((row.plant, row.gateway), 0) + float(row.n or 0)
    labels = ["plant", "gateway"]
    yield _gauge("missing_sequences", "batches under way or lost", sorted(sums.items()), labels)


def _of_store(connection: Connection) -> Iterator[Metric]:
    refused = connection.execute(select(quarantine.c.code, func.count().label("n")).group_by(quarantine.c.code))
    yield _gauge("quarantined", "batches in quarantine", [((r.code,), float(r.n)) for r in refused], ["code"])
    waiting = select(func.count()).select_from(lake_day).where(lake_day.c.wanted > lake_day.c.sealed)
    yield _gauge("unsealed_days", "days to be written", [((), float(connection.execute(waiting).scalar_one()))])
    found = select(finding.c.code, func.count().label("n")).where(finding.c.closed_ms.is_(None))
    rows = connection.execute(found.group_by(finding.c.code))
    yield _gauge("findings", "open findings in records", [((r.code,), float(r.n)) for r in rows], ["code"])
    standing = select(alarm.c.code, func.count().label("n")).where(alarm.c.standing == 1)
    counts = {r.code: float(r.n) for r in connection.execute(standing.group_by(alarm.c.code))}
    yield _gauge("alarms", "standing alarms", [((code,), counts.get(code, 0.0)) for code in CODES], ["code"])
