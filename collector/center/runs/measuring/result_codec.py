# SPDX-License-Identifier: GPL-3.0-or-later
"""Day results as bytes: measured integers and events as msgpack, segments as compressed columns; and back.

Columns that are zero throughout are left out: closing takes an absent column for zero. Segments of a day are cut at
midnight; two segments that touch with the same reason are joined again, so that a month of days has exactly the
segments of the month measured in one piece.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zstandard

from collector.model.dispatch import OrderKind
from collector.settlement.evidence import Traces, joined, schema_of
from collector.settlement.measure.results import (
    AVC_TARGET_ROWS,
    REASONS,
    AvcTargets,
    CalledPower,
    Excursion,
    GroupEnergy,
    Implausible,
    Results,
    StatusRun,
)
from collector.settlement.statement import SEGMENT_SCHEMA

# Part of every key: after a change of the format, days are measured again.
STORED_VERSION: Final = 4
_LEVEL: Final = 3
Ints = npt.NDArray[np.int64]


class StoredResults(msgspec.Struct, frozen=True, array_like=True):
    """Results of some lanes. `values`: 64-bit little-endian integers by name, lane and day; units as lane numbers."""

    units: tuple[str, ...]
    first_days: tuple[int, ...]
    days: int
    names: tuple[str, ...]
    values: bytes
    runs: tuple[tuple[str, int, int, int, int, bool], ...]
    groups: tuple[tuple[int, tuple[int, ...], int], ...]
    excursions: tuple[tuple[int, int, int, bool, int | None, int | None, int], ...]
    targets: tuple[tuple[int, int, bytes], ...]
    implausible: tuple[tuple[int, str, int, int, int, int, int], ...]
    called: tuple[tuple[int, int, int, int | None, tuple[tuple[int, int], ...]], ...]

    def matrix(self) -> Ints:
        """The values as an array of names × lanes × days."""
        shape = len(self.names), len(self.units), self.days
        return np.frombuffer(self.values, dtype="<i8").reshape(shape)


_decoder: Final = msgspec.msgpack.Decoder(StoredResults)


def encode_results(results: Results) -> bytes:
    """Results as bytes; the same results give the same bytes."""
    names = [name for name in sorted(results.columns) if results.columns[name].any()]
    values = [np.ascontiguousarray(results.columns[name], dtype="<i8") for name in names]
    index = {unit: lane for lane, unit in reversed(list(enumerate(results.units)))}
    stored = StoredResults(
        units=results.units,
        first_days=results.first_day_ordinals,
        days=results.days,
        names=tuple(names),
        values=b"".join(array.tobytes() for array in values),
        runs=tuple((r.kind, index[r.unit], r.start_ms, r.end_ms, r.state, r.after) for r in results.runs),
        groups=tuple((g.day_ordinal, tuple(index[u] for u in g.on_units), g.energy_kwms) for g in results.groups),
        excursions=tuple(
            (index[e.unit], e.start_ms, e.end_ms, e.above, e.power_before_kw, e.power_kwms, e.beyond_uhzms)
            for e in results.excursions
        ),
        targets=tuple((index[t.unit], t.day_ordinal, t.rows.astype("<i8").tobytes()) for t in results.targets),
        implausible=tuple((index[event.unit], *event[1:]) for event in results.implausible),
        called=tuple((index[event.unit], *event[1:]) for event in results.called),
    )
    return msgspec.msgpack.encode(stored)


def decode_results(data: bytes) -> StoredResults:
    """Decode stored results.

    Raises:
        msgspec.ValidationError: these bytes are no day result.
    """
    return _decoder.decode(data)


def as_results(stored: StoredResults) -> Results:
    """One stored result as results again."""
    matrix = stored.matrix()
    found = Results(stored.units, stored.first_days, stored.days)
    found.columns = {name: matrix[i] for i, name in enumerate(stored.names)}
    _add_events(found, stored)
    return found


def join_days(parts: Sequence[StoredResults], first_day: int, days: int) -> Results:
    """Results of single days as lanes of a month: few and wide, which is fast to close. A unit is once on each day."""
    units = tuple(sorted({unit for some in {part.units for part in parts} for unit in some}))
    names = tuple(dict.fromkeys(name for some in dict.fromkeys(part.names for part in parts) for name in some))
    lane_of, column_of = ({text: n for n, text in enumerate(texts)} for texts in (units, names))
    table = np.zeros((len(names), len(units), days), dtype=np.int64)
    joined = Results(units, (first_day,) * len(units), days)
    alike: dict[tuple[tuple[str, ...], int], list[StoredResults]] = defaultdict(list)
    for part in parts:
        alike[part.names, len(part.units)].append(part)
        _add_events(joined, part)
    for (of_part, _), some in alike.items():
        column = np.array([column_of[name] for name in of_part], dtype=np.int64)[None, :, None]
        lane = np.array([[lane_of[unit] for unit in part.units] for part in some], dtype=np.int64)[:, None, :]
        day = np.array([part.first_days[0] - first_day for part in some], dtype=np.int64)[:, None, None]
        place = (column * len(units) + lane) * days + day  # index in the flattened table: parts × columns × units
        table.reshape(-1)[place.ravel()] = np.frombuffer(b"".join(part.values for part in some), dtype="<i8")
    joined.columns = {name: table[i] for name, i in column_of.items()}
    return joined


def _add_events(results: Results, stored: StoredResults) -> None:
    units = stored.units
    results.runs += [StatusRun(OrderKind(r[0]), units[r[1]], *r[2:]) for r in stored.runs]
    results.groups += [
        GroupEnergy(day, tuple(units[lane] for lane in lanes), energy) for day, lanes, energy in stored.groups
    ]
    results.excursions += [Excursion(units[e[0]], *e[1:]) for e in stored.excursions]
    results.implausible += [Implausible(units[event[0]], *event[1:]) for event in stored.implausible]
    results.called += [CalledPower(units[event[0]], *event[1:]) for event in stored.called]
    results.targets += [
        AvcTargets(units[lane], day, np.frombuffer(rows, "<i8").reshape(AVC_TARGET_ROWS, -1))
        for lane, day, rows in stored.targets
    ]


# ---- segments ------------------------------------------------------------------------------------------------------


class _PackedDay(msgspec.Struct, frozen=True, array_like=True):
    """Segments of one day: each text once, rows as columns. `reason`: index in `reasons`."""

    units: tuple[str, ...]
    services: tuple[str, ...]
    value_units: tuple[str, ...]
    reasons: tuple[str, ...]
    unit: bytes
    service: bytes
    reason: bytes
    start: bytes
    length: bytes
    value: bytes
    # by table; per column: texts, values, mask of known values
    evidence: dict[str, list[tuple[tuple[str, ...], bytes, bytes]]]


_packed_decoder: Final = msgspec.msgpack.Decoder(_PackedDay)


def encode_traces(traces: Traces) -> bytes:
    """Segments and evidence as bytes."""
    table = traces.segments.unify_dictionaries().combine_chunks()

    def coded(name: str) -> tuple[tuple[str, ...], npt.NDArray[Any]]:
        column = table[name].combine_chunks().cast(pa.string()).dictionary_encode()
        return tuple(column.dictionary.to_pylist()), column.indices.to_numpy(zero_copy_only=False)

    units, unit = coded("unit")
    services, service = coded("service")
    reasons, reason = coded("reason")
    texts, of_row = coded("value_unit")
    unit_of = {int(s): texts[int(u)] for s, u in zip(service.tolist(), of_row.tolist(), strict=True)}
    start, end = table["start"].to_numpy(), table["end"].to_numpy()
    packed = _PackedDay(
        units=units,
        services=services,
        value_units=tuple(unit_of[n] for n in range(len(services))),
        reasons=reasons,
        unit=unit.astype("<u2").tobytes(),
        service=service.astype("u1").tobytes(),
        reason=reason.astype("u1").tobytes(),
        start=start.astype("<i8").tobytes(),
        length=(end - start).astype("<i4").tobytes(),  # a day at most
        value=table["value"].to_numpy().astype("<i8").tobytes(),
        evidence={
            name: [_pack_column(rows[column]) for column in rows.column_names]
            for name, rows in sorted(traces.evidence.items())
            if rows.num_rows
        },
    )
    return zstandard.compress(msgspec.msgpack.encode(packed), _LEVEL)


def _pack_column(column: pa.ChunkedArray) -> tuple[tuple[str, ...], bytes, bytes]:
    """A text column as indices of its texts; a number column with a byte per value for known, or none if all are."""
    if pa.types.is_dictionary(column.type):
        coded = column.cast(pa.string()).combine_chunks().dictionary_encode()
        return tuple(coded.dictionary.to_pylist()), coded.indices.to_numpy().astype("<u2").tobytes(), b""
    known = column.is_valid().to_numpy().astype("u1").tobytes() if column.null_count else b""
    return (), column.fill_null(0).to_numpy().astype("<i8").tobytes(), known


def _unpack_column(texts: Sequence[str], values: bytes, known: bytes, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        places = np.frombuffer(values, "<u2").astype(np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(places), pa.array(list(texts), pa.string()))
    mask = np.frombuffer(known, "u1") == 0 if known else None
    return pa.array(np.frombuffer(values, "<i8"), kind, mask=mask)


_CLASSES: Final = list(dict.fromkeys(cause for _, cause in REASONS))
_REASON_TEXTS: Final = [reason for reason, _ in REASONS]
_CLASS_OF: Final = np.array([_CLASSES.index(cause) for _, cause in REASONS], dtype=np.int32)
_REASON_CODE: Final = {reason: code for code, reason in enumerate(_REASON_TEXTS)}
# The order in which services are measured, and so of their segments; services added by a rulebook come last.
SEGMENT_SERVICES: Final = (
    "deep_peak",
    "hydro_spill",
    "agc_basic",
    "agc_up",
    "agc_down",
    "reactive_lag",
    "reactive_lead",
    "condenser_run",
    "condenser_start",
    "avc",
    "spinning_reserve",
    "hot_reserve",
)


def join_traces(parts: Sequence[bytes], units: Sequence[str]) -> Traces:
    """Segments and evidence of some units over all the days given: by unit in the order given, then by time."""
    days = [_packed_decoder.decode(zstandard.decompress(data)) for data in parts]
    names = sorted({name for day in days for name in day.evidence})
    return Traces(_join_segments(days, units), {name: _join_evidence(name, days, units) for name in names})


def _join_evidence(name: str, days: Iterable[_PackedDay], units: Sequence[str]) -> pa.Table:
    schema = schema_of(name)
    tables = [
        pa.Table.from_arrays(
            [_unpack_column(*packed, field.type) for packed, field in zip(day.evidence[name], schema, strict=True)],
            schema=schema,
        )
        for day in days
        if name in day.evidence
    ]
    table = joined(name, tables).combine_chunks()
    unit = table["unit"].combine_chunks()
    place = {text: number for number, text in enumerate(units)}
    of_text = np.array([place.get(text, -1) for text in unit.dictionary.to_pylist()] or [-1])
    place_of_row = of_text[unit.indices.to_numpy()]
    order = np.lexsort((table[schema.names[1]].to_numpy(), place_of_row))
    return table.take(pa.array(order[place_of_row[order] >= 0]))


def _join_segments(days: Sequence[_PackedDay], units: Sequence[str]) -> pa.Table:
    """Segments of some units over all the days given: by unit in the order given, then service, then time."""
    place = {unit: n for n, unit in enumerate(units)}
    columns: dict[str, list[npt.NDArray[Any]]] = {
        name: [] for name in ("unit", "service", "reason", "start", "length", "value")
    }
    unit_text: dict[int, str] = {}
    added = {service for packed in days for service in packed.services} - set(SEGMENT_SERVICES)
    order = (*SEGMENT_SERVICES, *sorted(added))
    for packed in days:
        unit = np.array([place.get(u, -1) for u in packed.units] or [-1])[np.frombuffer(packed.unit, "<u2")]
        keep = unit >= 0
        services = [order.index(s) for s in packed.services]
        unit_text |= dict(zip(services, packed.value_units, strict=True))
        columns["unit"].append(unit[keep])
        columns["service"].append(np.array(services or [0])[np.frombuffer(packed.service, "u1")][keep])
        codes = np.array([_REASON_CODE[r] for r in packed.reasons] or [0])
        columns["reason"].append(codes[np.frombuffer(packed.reason, "u1")][keep])
        for name, kind in (("start", "<i8"), ("length", "<i4"), ("value", "<i8")):
            columns[name].append(np.frombuffer(getattr(packed, name), kind)[keep].astype(np.int64))
    if not columns["unit"]:
        return SEGMENT_SCHEMA.empty_table()
    joined = {name: np.concatenate(arrays) for name, arrays in columns.items()}
    return _as_table(_merged(joined), units, order, unit_text)


def _merged(rows: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Rows in order; rows that touch with the same reason are joined."""
    order = np.lexsort((rows["start"], rows["service"], rows["unit"]))
    rows = {name: array[order] for name, array in rows.items()}
    end = rows["start"] + rows["length"]
    same = np.ones(max(len(order) - 1, 0), dtype=np.bool_)
    for name in ("unit", "service", "reason"):
        same &= rows[name][1:] == rows[name][:-1]
    same &= rows["start"][1:] == end[:-1]
    first = np.flatnonzero(np.append(True, ~same)) if len(order) else np.zeros(0, dtype=np.int64)
    last = np.append(first[1:], len(order)) - 1 if len(first) else first
    value = np.add.reduceat(rows["value"], first) if len(first) else rows["value"]
    return {name: rows[name][first] for name in ("unit", "service", "reason", "start")} | {
        "end": end[last],
        "value": value,
    }


def _as_table(
    rows: dict[str, npt.NDArray[Any]], units: Sequence[str], services: Sequence[str], unit_text: dict[int, str]
) -> pa.Table:
    value_units = sorted(set(unit_text.values()))
    of_service = np.zeros(len(services), dtype=np.int32)
    for service, text in unit_text.items():
        of_service[service] = value_units.index(text)

    def coded(codes: npt.NDArray[Any], texts: Sequence[str]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(list(texts), pa.string()))

    return pa.Table.from_arrays(
        [
            coded(rows["unit"], units),
            coded(rows["service"], services),
            pa.array(rows["start"]),
            pa.array(rows["end"]),
            coded(_CLASS_OF[rows["reason"]], _CLASSES),
            coded(rows["reason"], _REASON_TEXTS),
            pa.array(rows["value"]),
            coded(of_service[rows["service"]], value_units),
        ],
        schema=SEGMENT_SCHEMA,
    )
