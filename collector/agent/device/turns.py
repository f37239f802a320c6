# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a device's requests in a read, and the rest of a failing one.

One unanswered request says nothing of the others, so they are still asked. Only where two in a row get no answer and
none before them did, the device is silent and the rest is not asked; while it stays so, one request is asked in a read,
another each time. Requests left over when the time budget ends come first the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from collector.base.errors import Silent
from collector.base.text import tr

_SILENCES_OF_A_DEVICE: Final = 2
FIRST_REST_S: Final = 5.0
LONGEST_REST_S: Final = 60.0

R = TypeVar("R")


class Unanswered(NamedTuple, Generic[R]):
    """A request without an answer in a read. `mute`: it was asked, and others were answered."""

    request: R
    error: Silent
    mute: bool


class Turns(Generic[R]):
    """The turns of one device. `device`: its id, for errors; `key`: identifies a request, the same in every read.

    A read iterates over `asked` and reports each request without answer to `silent`; then `unanswered` lists the failed
    ones.
    """

    def __init__(self, device: str, key: Callable[[R], Hashable]) -> None:
        self._device, self._key = device, key
        self._first: Hashable = None
        self._is_silent = self._is_passed = False
        self._silent: list[tuple[R, Silent]] = []
        self._unasked: list[tuple[R, Silent]] = []
        self.heard = self.has_asked = False

    def asked(self, requests: Sequence[R], now_s: Callable[[], float], end_s: float) -> Iterator[R]:
        """The requests to make, from where the last read stopped.

        `has_asked` and `heard` tell afterwards whether any was made and whether any was answered.

        Args:
            requests: in the order wanted.
            now_s: real time.
            end_s: no request but the first begins later.
        """
        order = requests if self._first is None else self._in_turn(requests)
        self._silent, self._unasked = [], []
        self.heard = self.has_asked = False
        for position, request in enumerate(order):
            if position:
                if now_s() >= end_s:
                    late = Silent(tr("not asked: the time of this read was used up"), subject=self._device)
                    self._stop(order[position:], late)
                    break
                if not self.heard and len(self._silent) >= (1 if self._is_silent else _SILENCES_OF_A_DEVICE):
                    self._stop(order[position:], self._silent[-1][1])
                    break
            before, self._is_passed = len(self._silent), False
            yield request
            if not self._is_passed:
                self.has_asked = True
                self.heard |= len(self._silent) == before
        if self.has_asked:
            self._is_silent = not self.heard

    def _stop(self, left: Sequence[R], error: Silent) -> None:
        self._unasked += [(request, error) for request in left]
        if self._first is None:
            self._first = self._key(left[0])

    def silent(self, request: R, error: Silent) -> None:
        """Note that the present request got no answer."""
        self._silent.append((request, error))

    def passed(self, request: R, error: Silent) -> None:
        """Note that the request could not be asked now, by no fault of the device; it comes first the next time."""
        self._is_passed = True
        self._stop([request], error)

    @property
    def failed(self) -> bool:
        """True if any request of this read was not answered."""
        return bool(self._silent or self._unasked)

    def unanswered(self) -> Iterator[Unanswered[R]]:
        """The requests of this read without an answer."""
        for request, error in self._silent:
            yield Unanswered(request, error, self.heard)
        for request, error in self._unasked:
            yield Unanswered(request, error, mute=False)

    def _in_turn(self, requests: Sequence[R]) -> Sequence[R]:
        first, self._first = self._first, None
        for position, request in enumerate(requests):
            if self._key(request) == first:
                return (*requests[position:], *requests[:position])
        return requests


@dataclass(slots=True)
class Rest:
    """The rest of a failed request: `FIRST_REST_S`, then twice as long each time. Real time, s."""

    over_at_s: float = 0.0
    length_s: float = 0.0

    def lengthen(self, now_s: float, longest_s: float) -> None:
        """Begin the next, longer rest after another failure."""
        self.length_s = min(2 * self.length_s or FIRST_REST_S, longest_s)
        self.over_at_s = now_s + self.length_s
