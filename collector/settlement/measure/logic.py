# SPDX-License-Identifier: GPL-3.0-or-later
"""Three-valued conditions over the pieces of a timeline, and values that may be missing.

A condition is two boolean arrays: known to be true, known to be false; elsewhere it is missing. A conjunction is false
where any part is false, even if other parts are missing (rules.md section 2, known and missing).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tri:
    """True, false or missing, piece by piece."""

    true: Bools
    false: Bools

    @classmethod
    def known(cls, values: Bools) -> Tri:
        """A condition that is never missing."""
        return cls(values, ~values)

    def __and__(self, other: Tri) -> Tri:
        return Tri(self.true & other.true, self.false | other.false)

    def __or__(self, other: Tri) -> Tri:
        return Tri(self.true | other.true, self.false & other.false)

    def __invert__(self) -> Tri:
        return Tri(self.false, self.true)

    @property
    def missing(self) -> Bools:
        """Mask of the pieces where the condition is neither known true nor known false."""
        return ~(self.true | self.false)

    def where(self, mask: Bools, other: Tri) -> Tri:
        """Take this condition where `mask` is true, and `other` elsewhere."""
        return Tri(np.where(mask, self.true, other.true), np.where(mask, self.false, other.false))


@dataclass(frozen=True, slots=True)
class Values:
    """Stored integers with a mask `valid`; a number where `valid` is false has no meaning."""

    values: Ints
    valid: Bools

    def below(self, limit: Ints | int) -> Tri:
        """Strictly less than a limit."""
        return self._compare(self.values < limit)

    def above(self, limit: Ints | int) -> Tri:
        """Strictly more than a limit."""
        return self._compare(self.values > limit)

    def at_least(self, limit: Ints | int) -> Tri:
        """Not below a limit."""
        return self._compare(self.values >= limit)

    def at_most(self, limit: Ints | int) -> Tri:
        """Not above a limit."""
        return self._compare(self.values <= limit)

    def __sub__(self, other: Values) -> Values:
        return Values(self.values - other.values, self.valid & other.valid)

    def _compare(self, outcome: Bools) -> Tri:
        return Tri(self.valid & outcome, self.valid & ~outcome)
