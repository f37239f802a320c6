# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence: what was seen of single events and intervals, found while measuring or adding up, beside the segments.

Nothing is paid by these rows. Numbers are stored integers (kWms, ms, V …); `EVIDENCE` says by what each is divided for
the number in a file. The first column is the unit, the second the instant; rows are in order of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import pyarrow as pa

Form = Literal["text", "instant", "number"]


@dataclass(frozen=True, slots=True)
class EvidenceColumn:
    """A column of an evidence table. `form`: text, UTC ms, or a stored integer of which `divisor` make 1."""

    name: str
    form: Form = "number"
    divisor: int = 1


_UNIT, _START = EvidenceColumn("unit", "text"), EvidenceColumn("start", "instant")
_MWH, _KILO, _MICRO = 3_600_000_000, 1_000, 1_000_000

EVIDENCE: Final[Mapping[str, tuple[EvidenceColumn, ...]]] = {
    "deep_peak": (
        *(_UNIT, _START, EvidenceColumn("end", "instant"), EvidenceColumn("group", "text")),
        *(EvidenceColumn(name, divisor=_KILO) for name in ("lower_limit_mw", "gate_mw", "rated_mw")),
        *(EvidenceColumn("power_mw", divisor=_MICRO), EvidenceColumn("share", divisor=_MICRO)),
        EvidenceColumn("energy_mwh", divisor=_MWH),
        *(EvidenceColumn("class", "text"), EvidenceColumn("reason", "text"), EvidenceColumn("missing", "text")),
    ),
    "avc_orders": (
        *(_UNIT, EvidenceColumn("time", "instant")),
        *(EvidenceColumn("target_kv", divisor=_KILO), EvidenceColumn("previous_kv", divisor=_KILO)),
        EvidenceColumn("judged_at", "instant"),
        *(EvidenceColumn("voltage_kv", divisor=_KILO), EvidenceColumn("band_kv", divisor=_MICRO)),
        *(EvidenceColumn("verdict", "text"), EvidenceColumn("reason", "text")),
    ),
    "agc_quarter_hours": (
        *(_UNIT, _START),
        *(EvidenceColumn(f"{name}_mwh", divisor=_MWH) for name in ("plan", "actual", "net")),
        *(EvidenceColumn("class", "text"), EvidenceColumn("reason", "text")),
    ),
    "agc_commands": (
        *(_UNIT, _START),
        *(EvidenceColumn("from_mw", divisor=_KILO), EvidenceColumn("to_mw", divisor=_KILO)),
        EvidenceColumn("response_s", divisor=_KILO),
        *(EvidenceColumn("rate_mw_per_min", divisor=_MICRO), EvidenceColumn("accuracy_mw", divisor=_MICRO)),
        EvidenceColumn("reason", "text"),
    ),
}


def schema_of(name: str) -> pa.Schema:
    """The Arrow schema of an evidence table: texts as dictionaries, everything else as 64-bit integers."""
    text = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([(c.name, text if c.form == "text" else pa.int64()) for c in EVIDENCE[name]])


@dataclass(frozen=True, slots=True)
class Traces:
    """Details kept by the measurement in addition to the sums.

    `segments` has the columns of statement.SEGMENT_SCHEMA; `evidence` holds the evidence tables by name.
    """

    segments: pa.Table
    evidence: Mapping[str, pa.Table] = field(default_factory=dict)


def joined(name: str, tables: Iterable[pa.Table]) -> pa.Table:
    """Concatenate evidence tables of one name; without any rows, return an empty table."""
    some = [table for table in tables if table.num_rows]
    return pa.concat_tables(some).unify_dictionaries() if some else schema_of(name).empty_table()
