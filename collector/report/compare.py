# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of two statements of a month: lines and plants that differ, each with its possible causes.

The manifests show what differs between the runs (records, register, dispatch inputs by file, rulebook, readings,
kernel). A line lists only the differences that can affect it: if its determinant is the same, no record changed it; a
plan changes AGC energy, not a spill. The result is a list of possible causes, not a proof of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.report.saved_statement import Row, Saved

RECORDS: Final = "records"
REGISTER: Final = "register"
RULEBOOK: Final = "rulebook"
KERNEL: Final = "kernel"
DISPATCH: Final = "dispatch inputs"
READING: Final = "reading"
UNEXPLAINED: Final = "unexplained"

_ORDERS: Final = frozenset({"orders"})
# The dispatch-side files that can affect a service; exclusions affect all services but black start.
_FILES_OF_SERVICE: Final[Mapping[str, frozenset[str]]] = {
    "deep_peak": _ORDERS,
    "coal_start_stop": _ORDERS | {"start_stop_table"},
    "gas_start_stop": _ORDERS,
    "hydro_start_stop": _ORDERS,
    "hydro_spill": _ORDERS,
    "agc_up": frozenset({"plan"}),
    "agc_down": frozenset({"plan"}),
    "reactive_lag": _ORDERS | {"voltage_band"},
    "reactive_lead": _ORDERS | {"voltage_band"},
    "condenser_start": _ORDERS,
    "condenser_run": _ORDERS,
    "avc": frozenset({"rates"}),
    "spinning_reserve": frozenset({"reserve"}),
    "hot_reserve": frozenset({"reserve"}),
}
# Files that affect prices but not determinants.
_PRICING_FILES: Final = frozenset({"start_stop_table", "rates"})
_COMPARED: Final = ("quantity", "coverage", "amount_yuan", "status", "reason")


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A line or plant that differs. `before`, `after`: the cells that differ; empty where the row does not exist."""

    subject: str
    service: str
    before: Mapping[str, str]
    after: Mapping[str, str]
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunComparison:
    """The differences between two runs, and the lines and plants that differ."""

    changed: tuple[str, ...]
    lines: tuple[RowDifference, ...]
    plants: tuple[RowDifference, ...]


def compare(a: Saved, b: Saved) -> RunComparison:
    """Compare two statements of the same month.

    Raises:
        ConfigError: the statements are of different months.
    """
    if a.month != b.month:
        raise ConfigError(
            [
                Problem(
                    str(b.folder),
                    0,
                    "",
                    tr("is of {month}, the other of {month_2}; compare one month", month=b.month, month_2=a.month),
                )
            ]
        )
    changed = _Changed(a, b)
    lines = tuple(_lines(a, b, changed))
    return RunComparison(changed.all(), lines, tuple(_plants(a, b, changed, bool(lines))))


class _Changed:
    """The differences between two runs as a whole."""

    def __init__(self, a: Saved, b: Saved) -> None:
        names = {n for n in {*a.inputs, *b.inputs} if a.inputs.get(n) != b.inputs.get(n)}
        self.records = any(name.startswith("records/") for name in names)
        self.register = "register.toml" in names
        self.files = frozenset(n.rpartition(".")[0] for n in names if "/" not in n and n != "register.toml")
        self.rulebook = a.manifest["rulebook"]["hash"] != b.manifest["rulebook"]["hash"]
        self.kernel = a.manifest["versions"]["kernel"] != b.manifest["versions"]["kernel"]
        self.policy = a.manifest["policy"] != b.manifest["policy"]
        self.readings = _changed_readings(a.manifest["readings"], b.manifest["readings"])
        self._rules = (_rules(a), _rules(b))

    def all(self) -> tuple[str, ...]:
        """All differences, for the head of the comparison."""
        flags = ((RECORDS, self.records), (REGISTER, self.register), (RULEBOOK, self.rulebook), (KERNEL, self.kernel))
        found = [name for name, flag in flags if flag]
        found += [f"{DISPATCH}: {name}" for name in sorted(self.files)]
        return (*found, *(f"{READING} {ident}" for ident in sorted(self.readings)))

    def price(self, service: str) -> bool:
        """True if a rulebook row that prices the service differs."""
        before, after = ({r for r in rules if r[0].startswith(f"{service}.")} for rules in self._rules)
        return before != after

    def causes(self, service: str, article: str, *, measured: bool) -> tuple[str, ...]:
        """Possible causes of a change of a line. `measured`: its determinant differs, or it has none."""
        found = []
        if self.records and measured:
            found.append(RECORDS)
        if self.register:
            found.append(REGISTER)
        reaching = _FILES_OF_SERVICE.get(service, frozenset()) | ({"exclusions"} if service != "black_start" else set())
        if not measured:
            reaching &= _PRICING_FILES
        found += [f"{DISPATCH}: {name}" for name in sorted(self.files & reaching)]
        # Factor and state of a service are no rulebook values: a change of them shows only as a changed rulebook.
        if self.rulebook and (measured or self.policy or self.price(service) or not found):
            found.append(RULEBOOK)
        numbers = set(re.findall(r"\d+(?=\()|\b\d+\b(?!\))", article))
        for ident, clause in sorted(self.readings.items()):
            touched = set(re.findall(r"\d+(?=\()|\b\d+\b(?!\))", clause))
            if not touched or touched & numbers or ident == "I-19":
                found.append(f"{READING} {ident}")
        if self.kernel:
            found.append(KERNEL)
        return tuple(found) or (UNEXPLAINED,)


def _changed_readings(a: Iterable[Mapping[str, str]], b: Iterable[Mapping[str, str]]) -> dict[str, str]:
    before, after = ({r["id"]: (r["adopted"], r["clause"]) for r in readings} for readings in (a, b))
    return {
        ident: (after.get(ident) or before[ident])[1]
        for ident in {*before, *after}
        if before.get(ident, ("", ""))[0] != after.get(ident, ("", ""))[0]
    }


def _rules(saved: Saved) -> set[tuple[str, str, str, str]]:
    rules: list[dict[str, Any]] = saved.manifest["rules"]
    return {(r["id"], r["key"], r["value"], r["from"]) for r in rules}


def _by(rows: Sequence[Row], *columns: str) -> dict[tuple[str, ...], Row]:
    return {tuple(row[column] for column in columns): row for row in rows}


def _lines(a: Saved, b: Saved, changed: _Changed) -> Iterable[RowDifference]:
    before, after = (_by(s.lines, "area", "plant", "unit", "service") for s in (a, b))
    measured = [_by(s.determinants, "unit", "service", "determinant") for s in (a, b)]
    for key in sorted({*before, *after}):
        cells = _differing(before.get(key), after.get(key), _COMPARED)
        if cells is None:
            continue
        unit, service = key[2], key[3]
        mine = [{k: row for k, row in rows.items() if k[:2] == (unit, service)} for rows in measured]
        line = after.get(key) or before[key]
        causes = changed.causes(service, line["article"], measured=mine[0] != mine[1] or not mine[0])
        yield RowDifference(unit, service, *cells, causes)


def _plants(a: Saved, b: Saved, changed: _Changed, lines_differ: bool) -> Iterable[RowDifference]:
    before, after = (_by(s.plants, "area", "plant") for s in (a, b))
    columns = ("compensation_yuan", "revenue_yuan", "allocation_yuan", "net_yuan", "status")
    for key in sorted({*before, *after}):
        cells = _differing(before.get(key), after.get(key), columns)
        if cells is None:
            continue
        causes = ["lines"] if lines_differ else []
        causes += [f"{DISPATCH}: revenue"] if "revenue" in changed.files else []
        causes += [REGISTER] if changed.register else []
        causes += [KERNEL] if changed.kernel else []
        if not causes:  # a file added or removed makes a month final or provisional
            causes = list(changed.all())
        yield RowDifference(key[1], "", *cells, tuple(causes) or (UNEXPLAINED,))


def _differing(
    before: Row | None, after: Row | None, columns: Sequence[str]
) -> tuple[Mapping[str, str], Mapping[str, str]] | None:
    """The differing cells of both rows; None where no cell differs."""
    names = [c for c in columns if (before or {}).get(c) != (after or {}).get(c)]
    if not names:
        return None
    return {c: before[c] for c in names} if before else {}, {c: after[c] for c in names} if after else {}
