# SPDX-License-Identifier: GPL-3.0-or-later
"""Late answers on a line without numbers: which may still come, and for which requests they could be taken.

Pure; times in seconds. A request given up may be answered later, in any order with others. Only the shape of an answer
(slave, function, byte count) distinguishes requests, so a shape is in doubt while an answer of it is owed: until that
many came unexpectedly, or can come no more. `late_s` after it was given up, a request is taken to stay without answer;
if a line was later than half of that, `late_s` becomes twice the delay seen, for an hour: one slow answer does not make
a line slow for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from collector.agent.device.modbus.framing import WantedReply

Places = tuple[int, int]
_LONGEST_S: Final = 60.0
_REMEMBERED_S: Final = 3600.0


@dataclass(slots=True)
class Doubt:
    """The answers owed of one shape: the first place and number of places of each request (None: any), since when.

    `tried`: places that were read in doubt and did not prove themselves.
    """

    owed: list[tuple[Places | None, float]] = field(default_factory=list)
    tried: set[Places] = field(default_factory=set)

    def is_of_others(self, places: Places) -> bool:
        """True if an answer is owed to a request for other places."""
        return any(own != places for own, _ in self.owed)

    def renew(self, places: Places | None, now_s: float) -> None:
        """Move the debts to the last requests: as many answers came as requests were made."""
        self.owed = [(places, now_s)] * len(self.owed)


class Owed:
    """The shapes in doubt of a line. `late_s`: how long after it was given up a request may still be answered."""

    def __init__(self, late_s: float) -> None:
        self.late_s = self._expected_s = late_s
        self._widened_s = 0.0
        self._doubts: dict[WantedReply, Doubt] = {}
        # Slave and function -> when a request was last given up.
        self._given_up_s: dict[tuple[int, int], float] = {}
        self._strayed_s = -_LONGEST_S

    def __bool__(self) -> bool:
        return bool(self._doubts)

    def of(self, shape: WantedReply, now_s: float) -> Doubt | None:
        """The doubt about a shape, if any."""
        doubt = self._doubts.get(shape)
        if doubt is None:
            return None
        doubt.owed = [one for one in doubt.owed if now_s < one[1] + self.late_s]
        if not doubt.owed:
            del self._doubts[shape]
            return None
        return doubt

    def expect(self, late_s: float) -> None:
        """Set the least delay of late answers, whatever was observed."""
        self._expected_s = max(self._expected_s, late_s)
        self.late_s = max(self.late_s, late_s)

    def give_up(self, shape: WantedReply, places: Places, now_s: float) -> None:
        """Note that a request got no answer in time."""
        if not self._doubts and now_s > self._widened_s + _REMEMBERED_S:
            self.late_s = self._expected_s
        self._given_up_s[shape.slave, shape.function] = now_s
        self.miss(shape, places, now_s)

    def refusal_is_unsure(self, shape: WantedReply, now_s: float) -> bool:
        """True if a refusal, which shows only slave and function, may belong to another request."""
        given_up_s = self._given_up_s.get((shape.slave, shape.function))
        return given_up_s is not None and now_s < given_up_s + self.late_s

    def miss(self, shape: WantedReply, places: Places | None, now_s: float) -> None:
        """Note that the answer to a request may still come."""
        self._doubts.setdefault(shape, Doubt()).owed.append((places, now_s))

    def shapes(self) -> list[WantedReply]:
        """All shapes in doubt."""
        return list(self._doubts)

    def came(self, shape: WantedReply, answers: int, now_s: float) -> None:
        """Count different answers of a shape that came while none was awaited.

        They settle the doubt only if all owed answers came; where answers have strayed, some may come once more.
        """
        doubt = self.of(shape, now_s)
        if doubt is None or not answers:
            return
        self._widen(2 * (now_s - min(since for _, since in doubt.owed)), now_s)
        if answers >= len(doubt.owed) and not self.has_strayed(now_s):
            del self._doubts[shape]

    def stray(self, shape: WantedReply, now_s: float) -> None:
        """Note an answer owed to nobody: a repeated one, or one later than was thought possible."""
        self._widen(2 * self.late_s, now_s)
        self._strayed_s = now_s
        self.miss(shape, None, now_s)

    def has_strayed(self, now_s: float) -> bool:
        """True if unexpected answers came lately."""
        return now_s < self._strayed_s + _LONGEST_S

    def _widen(self, late_s: float, now_s: float) -> None:
        if late_s > self._expected_s:
            self._widened_s = now_s
        self.late_s = max(self.late_s, min(late_s, _LONGEST_S))
