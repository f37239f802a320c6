# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence beside the deep peak line, Art. 13(1)-(3): each interval with what it was judged by.

Limits, output and capacity of a member of a peak group are the group's, beside its share of the energy and the members
whose missing data left the whole group unjudged. A share is in whole kWms, and its sum within one of the exact share
for each day and set of on-grid members; the line is priced by the exact fraction.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from collector.settlement.measure.facts import Facts, Tally
from collector.settlement.measure.logic import Bools, Ints, Values
from collector.settlement.measure.results import REASON_CODES, REASONS
from collector.settlement.rulebook.constant_days import scaled

TABLE = "deep_peak"
_MICRO = 1_000_000


@dataclass
class PeakEvidence:
    """The values each piece was judged by. `share`: of the group's energy, millionths; `group`, `missing`: in `texts`.

    `grouped`: whether there are groups; without them no array may be written, and none changes within a day.

    `split_kwms`: a member's part of its group's energy. `blamed`: time lacking only because of another member.
    `unpowered`: time lacking because the member itself is on grid without a known output.
    """

    limit_kw: Ints
    gate_kw: Ints
    rated_kw: Ints
    power_kw: Ints
    known: Bools
    share: Ints
    split_kwms: Ints
    group: Ints
    missing: Ints
    blamed: Bools
    unpowered: Bools
    texts: list[str]
    grouped: bool

    @classmethod
    def of_units(cls, facts: Facts, limit: Values, gate: Values, *, grouped: bool) -> PeakEvidence:
        """Every unit judged by itself; `grouped`: groups will be written over it."""

        def own(values: Any) -> Any:
            return values.copy() if grouped else values

        rated = own(facts.per_piece(lambda s: scaled(Fraction(s.unit.rated_mw) * 1000)).values)
        size, power = len(rated), facts.power
        whole, none, nowhere = (
            np.broadcast_to(each, size) for each in (np.int64(_MICRO), np.int64(0), np.bool_(False))
        )
        judged_by = (own(limit.values), own(gate.values), rated, own(power.values), own(power.valid))
        return cls(*judged_by, own(whole), own(none), own(none), own(none), own(nowhere), own(nowhere), [""], grouped)

    def text(self, text: str) -> int:
        """The place of a text in `texts`."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)


def split(cumulated_kwms: Ints, share: Fraction) -> Ints:
    """Split off a share of cumulated energies in kW·ms, rounded so that the parts add up to the rounded total.

    Each part is the growth of the rounded cumulated sum.
    """
    whole, rest = np.divmod(cumulated_kwms, share.denominator)
    rounded = whole * share.numerator + (2 * rest * share.numerator + share.denominator) // (2 * share.denominator)
    return np.asarray(np.diff(rounded, prepend=0), dtype=np.int64)


def blame(tally: Tally, shown: PeakEvidence) -> None:
    """Give missing time in a peak group its exact reason.

    `group_member_missing`: only the data of another member are missing. `no_power`: the unit itself is on grid without
    a known output. Otherwise the breaker status is missing, and the reason stays as it is.
    """
    if tally.code is not None and shown.grouped:
        tally.code[tally.missing & shown.unpowered] = REASON_CODES["no_power"]
        tally.code[tally.missing & shown.blamed] = REASON_CODES["group_member_missing"]


def put(facts: Facts, tally: Tally, shown: PeakEvidence, energy_kwms: Ints) -> None:
    """A row for each interval of a local day over which reason, limits, capacity and members stay the same."""
    if facts.evidence is None or tally.code is None:
        return
    timeline, axis = facts.timeline, facts.axis
    change = np.zeros(len(timeline), dtype=np.bool_)
    change[timeline.cell_start] = True
    of_groups = (shown.limit_kw, shown.gate_kw, shown.rated_kw, shown.share, shown.group, shown.missing)
    for each in (tally.code, *(of_groups if shown.grouped else ())):
        change[1:] |= each[1:] != each[:-1]
    first = np.flatnonzero(change)
    row = np.flatnonzero(tally.code[first] != 0)
    if not len(row):
        return
    last = np.append(first[1:], len(timeline))[row] - 1

    def total(values: Ints) -> Ints:
        return np.asarray(np.add.reduceat(values, first)[row], dtype=np.int64)

    known = timeline.length * shown.known
    known_ms, all_ms = total(known), total(timeline.length)
    power = total(shown.power_kw * known) * 1000
    mean = (2 * np.abs(power) + all_ms) // (2 * all_ms) * np.sign(power)
    of = first[row]
    codes = tally.code[of].astype(np.int64)
    causes = list(dict.fromkeys(cause for _, cause in REASONS))
    facts.evidence.add(
        TABLE,
        timeline.lane[of],
        {
            "start": axis.utc_ms(timeline.start[of]),
            "end": axis.utc_ms(timeline.start[last]) + timeline.length[last],
            "group": (shown.group[of], shown.texts),
            "lower_limit_mw": shown.limit_kw[of],
            "gate_mw": shown.gate_kw[of],
            "rated_mw": shown.rated_kw[of],
            "power_mw": Values(mean, known_ms == all_ms),
            "share": shown.share[of],
            "energy_mwh": total(energy_kwms),
            "class": (np.array([causes.index(cause) for _, cause in REASONS])[codes], causes),
            "reason": (codes, [reason for reason, _ in REASONS]),
            "missing": (shown.missing[of], shown.texts),
        },
    )
