# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's health as Prometheus metrics, computed for every scrape, so that no value is kept twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collector.agent.operate.health import ALARMS, Health

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_CLOCK_STATES: Final = ("synchronised", "unsynchronised", "unknown")

Row = tuple[Sequence[str], float]


def render_metrics(health: Health) -> bytes:
    """The text of a scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_HealthMetrics(health))
    return generate_latest(registry)


class _HealthMetrics(Collector):
    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        yield from _device_metrics(self._health)
        yield from _buffer_metrics(self._health)
        yield from _uplink_metrics(self._health)
        yield from _own_metrics(self._health)


def _counter(name: str, words: str, rows: Sequence[Row], labels: Sequence[str] = ()) -> Metric:
    family = CounterMetricFamily(f"collector_{name}", words, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _gauge(name: str, words: str, rows: Sequence[Row], labels: Sequence[str] = ()) -> Metric:
    family = GaugeMetricFamily(f"collector_{name}", words, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _device_metrics(health: Health) -> Iterator[Metric]:
    labels = ("device", "channel")
    names = [(d.device, d.channel) for d in health.devices]

    def rows(*numbers: float | None) -> list[Row]:
        return [(name, number) for name, number in zip(names, numbers, strict=True) if number is not None]

    devices = health.devices
    yield _gauge(
        "device_up", "1 while the last read gave something.", rows(*(float(d.answers) for d in devices)), labels
    )
    yield _counter("device_reads", "Reads begun.", rows(*(d.reads for d in devices)), labels)
    yield _counter("device_failures", "Reads that gave nothing.", rows(*(d.failures for d in devices)), labels)
    yield _counter(
        "device_faults", "Reads that failed by a mistake of the driver.", rows(*(d.faults for d in devices)), labels
    )
    yield _counter(
        "device_overruns", "Reads due again before they were done.", rows(*(d.overruns for d in devices)), labels
    )
    yield _counter("device_reading_seconds", "Time spent reading.", rows(*(d.reading_s for d in devices)), labels)
    yield _gauge(
        "device_last_read_seconds", "How long the last good read took.", rows(*(d.last_read_s for d in devices)), labels
    )
    offsets = (None if d.clock_offset_ms is None else d.clock_offset_ms / 1000 for d in devices)
    yield _gauge("device_clock_offset_seconds", "How far its clock is ahead of ours.", rows(*offsets), labels)
    last_good = (None if d.last_good_utc_ms is None else d.last_good_utc_ms / 1000 for d in devices)
    yield _gauge("device_last_good_timestamp_seconds", "When it last gave something.", rows(*last_good), labels)


def _buffer_metrics(health: Health) -> Iterator[Metric]:
    counts = health.buffer
    yield _gauge("buffer_used_bytes", "Pages in use in the buffer file.", [((), counts.used_bytes)])
    yield _gauge("buffer_max_bytes", "Its limit (buffer.max_bytes).", [((), health.max_bytes)])
    yield _gauge(
        "buffer_unsent_ratio", "Share of the limit that the center has not acknowledged.", [((), health.unsent_ratio)]
    )
    alarms: list[Row] = [((name,), float(health.unsent_ratio >= limit)) for limit, name in ALARMS]
    yield _gauge("buffer_alarm", "1 where unsent data fill 70 % (warning), 90 % (critical).", alarms, ("severity",))
    yield _gauge("buffer_pending_batches", "Sealed and not acknowledged.", [((), counts.pending)])
    yield _gauge("buffer_pending_records", "Records in them.", [((), counts.pending_records)])
    yield _gauge("buffer_open_records", "Records not yet sealed.", [((), counts.open_records)])
    yield _counter("buffer_recorded", "Records ever recorded into this file.", [((), counts.recorded)])
    yield _counter(
        "buffer_evicted_records",
        "Records lost for room or damage; a gap record names each.",
        [((), counts.evicted_records)],
    )
    yield _counter(
        "buffer_unconfirmed_records",
        "Records given up after a one-way device took them; a gap record names each.",
        [((), counts.unconfirmed_records)],
    )
    yield _gauge("buffer_refused_batches", "Batches kept with a refusal of the center.", [((), counts.refused)])
    if counts.oldest_pending_ms is not None:
        age_s = max(0, health.time_utc_ms - counts.oldest_pending_ms) / 1000
        yield _gauge("buffer_oldest_pending_seconds", "Age of the oldest record not acknowledged.", [((), age_s)])
    yield _gauge("store_ok", "0 while the store refuses.", [((), float(not health.store_error))])


def _uplink_metrics(health: Health) -> Iterator[Metric]:
    uplink = health.uplink
    yield _gauge("uplink_connected", "1 while the broker is connected.", [((), float(uplink.connected))])
    yield _counter("uplink_published_batches", "Batches handed to the broker.", [((), uplink.published)])
    yield _counter("uplink_acknowledged_batches", "Batches the center is done with.", [((), uplink.acknowledged)])
    yield _counter("uplink_divided_batches", "Batches too large for the broker, divided.", [((), uplink.divided)])
    refuses = float(uplink.broker_code or 0)
    yield _gauge("uplink_broker_refuses", "MQTT's reason code while the broker refuses, else 0.", [((), refuses)])
    yield _counter("uplink_ignored", "Messages that were not valid.", [((), uplink.ignored)])
    if uplink.last_ack_age_s is not None:
        yield _gauge(
            "uplink_last_ack_age_seconds", "Since the center's last valid word.", [((), uplink.last_ack_age_s)]
        )
    refused: list[Row] = [
        ((plant, code), 1.0) for plant, codes in sorted(uplink.unrecognised.items()) for code in codes
    ]
    yield _gauge(
        "uplink_unrecognised", "1 for each code by which the center does not recognise us.", refused, ("plant", "code")
    )


def _own_metrics(health: Health) -> Iterator[Metric]:
    ticks = health.ticks
    yield _counter("ticks", "Ticks written.", [((), ticks.written)])
    yield _counter("ticks_missed", "Ticks never recorded.", [((), ticks.missed)])
    yield _counter("records", "Records made.", [((), ticks.records)])
    yield _counter("late_tags", "Changes tagged before the last record.", [((), ticks.late_tags)])
    yield _counter("clock_steps_back", "Steps of the clock backwards.", [((), ticks.clock_steps)])
    yield _counter("clock_steps_forward", "Steps of the clock forwards.", [((), ticks.clock_steps_forward)])
    states: list[Row] = [((state,), float(state == health.clock)) for state in _CLOCK_STATES]
    yield _gauge("clock_state", "What the kernel says of our clock.", states, ("state",))
    yield _gauge("ready", "1 while /readyz says so.", [((), float(not health.not_ready))])
    info: Sequence[str] = (health.gateway, health.version)
    yield _gauge("agent_info", "This agent.", [(info, 1.0)], ("gateway", "version"))
    yield _gauge("running_seconds", "Since the start.", [((), health.running_s)])
    yield _gauge("agent_tasks", "Tasks of its loop; as many after months as after minutes.", [((), health.tasks)])
    yield _gauge("agent_memory_bytes", "Resident memory.", [((), health.memory_bytes)])
