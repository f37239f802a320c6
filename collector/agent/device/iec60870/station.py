# SPDX-License-Identifier: GPL-3.0-or-later
"""One common address of a link: its interrogations, which of its points came, and whether its guards hold.

An interrogation ends when the station says so, or a moment after it has brought every point, or `t1_s` after the last
object it brought: a station with thousands of points may take minutes. What it did not bring by then is invalid.

A guard point guards all points of its common address: after a start of the link and after an initialisation their
values are held back until every guard has matched. If a guard does not match, or does not come with the interrogation,
they are suspect until all match and the station was interrogated again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from collector.agent.device.contract import Reading
from collector.agent.device.iec60870.asdu import COUNTER_INTERROGATION, FAMILIES, INTERROGATION, Asdu, TransmissionCause
from collector.agent.device.iec60870.values import PointValues
from collector.model.record import Quality
from collector.points import Point

# A station that did not answer an interrogation in time is asked again after this long.
_RETRY_MS: Final = 30_000
_REQUESTS: Final = {INTERROGATION: "interrogation", COUNTER_INTERROGATION: "counter interrogation"}
# How long to wait for the end of an interrogation that has brought every point; c104 may miss it, see `link.py`.
END_PATIENCE_S: Final = 0.5

# Logs a line: level, request, message.
Log = Callable[[int, str, str], None]


class Station:
    """The state of one common address. Instants in `..._s` are those of the event loop.

    `due_utc_ms`: time of the next interrogation; `waiting`: kinds of interrogation to run, the first one is running;
    `number`: of the call that runs it, 0 before it is sent; `complete_at_s`: since when none of the running kind is
    missing; `answering`: whether the points received are valid; `missing`: points not received since it began;
    `fresh`: readings for the next `collect`.
    """

    def __init__(self, common_address: int, values: PointValues, fresh: list[Reading], log: Log) -> None:
        self.common_address, self.fresh = common_address, fresh
        self.points = values.of_station(common_address)
        self._values, self._log = values, log
        self._counters = {p.name for p in self.points if FAMILIES[int(p.area)] == 15}
        self._kinds = [INTERROGATION, COUNTER_INTERROGATION] if self._counters else [INTERROGATION]
        self._guards = {p.name for p in self.points if p.guard}
        self.due_utc_ms: int | None = None
        self.waiting: list[int] = []
        self.number = 0
        self.answering = False
        self.missing: set[str] = set()
        self.complete_at_s: float | None = None
        self._heard_at_s = 0.0
        self._heard: set[tuple[int, int]] = set()  # type and first address of each message of this interrogation
        self._reported: set[str] = set()
        self.reset(None)

    @property
    def holding(self) -> list[Point]:
        """The points whose last reported value is still valid."""
        return [p for p in self.points if p.name in self._reported] if self.answering and self._trusted else []

    @property
    def request(self) -> str:
        """The name of the running interrogation in log lines."""
        return f"{_REQUESTS[self.waiting[0]]} of {self.common_address}"

    def reset(self, due_utc_ms: int | None) -> None:
        """Start anew with the link, or with the station: nothing has come, and it is interrogated at `due_utc_ms`."""
        self.due_utc_ms, self.waiting, self.answering = due_utc_ms, [], False
        self._reported.clear()
        self.doubt()

    def doubt(self) -> None:
        """Require every guard to match again before values are used."""
        self._unproved = set(self._guards)
        # Whether values may be used, None until an interrogation shows; readings held back, in order.
        self._trusted = None if self._guards else True
        self._held: list[Reading] = []

    def initialised(self, at_utc_ms: int) -> None:
        """Interrogate at once: the station reported its initialisation, and what it said before is worth nothing."""
        self.due_utc_ms, self.waiting = at_utc_ms, []
        self.doubt()

    def begin(self, due_again_utc_ms: int) -> None:
        """Begin an interrogation of all points."""
        self.due_utc_ms = due_again_utc_ms
        self.waiting = list(self._kinds)
        self.missing = {p.name for p in self.points}
        self._heard.clear()
        self.number = 0

    def send(self, number: int, now_s: float) -> None:
        """Note that the first of the waiting interrogations is sent by the call of this number."""
        self.number, self._heard_at_s, self.complete_at_s = number, now_s, None

    def hear(self, asdu: Asdu, now_s: float) -> None:
        """Note a message that answers an interrogation: while new ones come it continues.

        Repeated messages, which some stations send under this cause for ever, do not prolong it.
        """
        if TransmissionCause.INTERROGATED <= asdu.cause < TransmissionCause.COUNTERS_REQUESTED + 5:
            message = asdu.type, asdu.objects[0].address
            if message not in self._heard:
                self._heard.add(message)
                self._heard_at_s = now_s

    def take(self, point: Point, reading: Reading | None) -> None:
        """Take the reading of a point; without a reading its last value stays."""
        self._reported.add(point.name)
        self.missing.discard(point.name)
        if reading is None:
            return
        if point.guard:
            self._on_guard(reading)
        elif self._trusted is None:
            self._held.append(reading)
        elif self._trusted or not reading.quality.usable:
            self.fresh.append(reading)
        else:
            self.fresh.append(reading._replace(value=None, quality=Quality.SUSPECT, event=False))

    def check_complete(self, now_s: float, now_utc_ms: int) -> None:
        """End an interrogation that has brought every point but whose end was missed."""
        if not self.waiting or not self.number:
            return
        asked_for_counters = self.waiting[0] == COUNTER_INTERROGATION
        if any((name in self._counters) == asked_for_counters for name in self.missing):
            return
        if self.complete_at_s is None:
            self.complete_at_s = now_s
        elif now_s - self.complete_at_s >= END_PATIENCE_S:
            self.end_of_kind(now_utc_ms)

    def check_deadline(self, now_s: float, now_utc_ms: int, t1_s: float) -> None:
        """End an interrogation that has brought nothing for `t1_s`; the station is asked again later."""
        if self.waiting and now_s - self._heard_at_s > t1_s:
            self._log(logging.WARNING, self.request, "it has no end; asked again later")
            self._ask_again_later(now_utc_ms)
            self._end(now_utc_ms)

    def end_of_kind(self, now_utc_ms: int) -> None:
        """Take the end of the running interrogation."""
        self.number = 0
        self.waiting.pop(0)
        if not self.waiting:
            self._end(now_utc_ms)

    def refuse(self, now_utc_ms: int) -> None:
        """Take the refusal of the running interrogation, or that it could not be sent."""
        self._log(logging.WARNING, self.request, "refused, or it could not be sent")
        self._ask_again_later(now_utc_ms)
        self.answering, self.waiting = False, []
        if self._trusted is None:
            # Without an answer nothing shows whether spontaneous values may be trusted.
            self._trusted, self._held = False, []
        self.fresh += [Reading(p, None, Quality.REFUSED, now_utc_ms) for p in self.points]

    def _ask_again_later(self, now_utc_ms: int) -> None:
        self.due_utc_ms = min(self.due_utc_ms or now_utc_ms, now_utc_ms) + _RETRY_MS

    def _end(self, now_utc_ms: int) -> None:
        """Make missing points invalid; points received stay valid, since the station reports their changes."""
        self.waiting, self.answering = [], True
        self._reported -= self.missing
        self.fresh += [self._values.absent(p, now_utc_ms) for p in self.points if p.name in self.missing]
        self._unproved |= self._guards & self.missing
        if self._unproved and self._trusted is not False:
            self._distrust(now_utc_ms)

    def _distrust(self, now_utc_ms: int) -> None:
        """Make all values suspect until every guard matches: one does not match, or did not come."""
        names = ", ".join(sorted(self._unproved))
        self._log(logging.WARNING, f"guard of {self.common_address}", f"does not match: {names}; values are suspect")
        self._trusted, self._held = False, []
        came = [p for p in self.points if not p.guard and p.name not in self.missing]
        self.fresh += [Reading(p, None, Quality.SUSPECT, now_utc_ms) for p in came]

    def _on_guard(self, guard: Reading) -> None:
        """Process the reading of a guard point: it decides whether the station's values are used."""
        self.fresh.append(guard)
        if guard.quality is not Quality.GOOD:
            self._unproved.add(guard.point.name)
            if self._trusted is not False:
                self._distrust(guard.time_utc_ms)
            return
        self._unproved.discard(guard.point.name)
        if self._unproved or self._trusted:
            return
        if self._trusted is None:
            self.fresh += self._held
        else:
            self._log(logging.INFO, f"guard of {self.common_address}", "matches again; interrogating again")
            self.due_utc_ms = guard.time_utc_ms
        self._trusted, self._held = True, []
