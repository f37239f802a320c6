# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement of a step: observed against expected value, reasons why it can't pass, and the verdict of a person.

A pass needs a usable quality, a value within the tolerance, and a value no older than the engineer allows: nobody may
pass a value that was not observed.
"""

from __future__ import annotations

from dataclasses import dataclass

from collector import __version__
from collector.verify.hints import explain
from collector.verify.items import Item, PointStep
from collector.verify.judge import default_tolerance, meets
from collector.verify.observe import Observation
from collector.verify.session import Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """A comparison. `obstacles`: reasons why the step can't pass; empty: it may. `hints`: possible remedies."""

    step: PointStep
    obstacles: tuple[str, ...]
    hints: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """True if the step may pass."""
        return not self.obstacles


def judge(item: Item, step: PointStep, seen: Observation, *, max_age_s: float) -> Judgement:
    """Judge a step. `step`: with expected value and tolerance; an empty tolerance means the device's resolution."""
    tolerance = step.tolerance or default_tolerance(item, step.expected)
    step = PointStep(step.name, step.expected, tolerance)
    obstacles = []
    if not seen.usable:
        obstacles.append(f"品质不可用 quality {seen.quality}" + (f": {seen.error}" if seen.error else ""))
    if seen.age_s > max_age_s:
        obstacles.append(f"{seen.age_s:.0f} 秒前的值,再读一次 read {seen.age_s:.0f} s ago, longer than --max-age")
    if not step.expected:
        obstacles.append("没有期望值 no expected value")
    elif seen.usable and not meets(seen.value, step.expected, tolerance):
        unit = f" {seen.unit}" if seen.unit else ""
        obstacles.append(f"{seen.value}{unit} ≠ {step.expected} ± {tolerance}")
    hints = [] if not obstacles else explain(item, seen.raw, seen.value, step.expected, tolerance)
    return Judgement(step, tuple(obstacles), tuple(hints))


def make_verdict(
    item: Item, judgement: Judgement, seen: Observation, *, passed: bool, who: str, note: str, at_utc_ms: int
) -> Verdict:
    """Make the verdict that is written to the session."""
    assert judgement.fits or not passed, "nobody may pass what does not fit"
    step = judgement.step
    return Verdict(
        device=item.device, point=item.point.name, step=step.name, expected=step.expected, tolerance=step.tolerance,
        value=seen.value, value_unit=seen.unit, quality=seen.quality, raw=seen.raw.hex(" "),
        device_time_utc_ms=seen.device_time_utc_ms, read_utc_ms=seen.time_utc_ms, source=seen.source,
        verdict="pass" if passed else "fail", who=printable(who), at_utc_ms=at_utc_ms, note=printable(note),
        program=__version__, cells=dict(item.cells),
    )  # fmt: skip


def printable(text: str) -> str:
    """The text without control characters, safe to show in a terminal and on paper."""
    return "".join(c for c in text if c.isprintable()).strip()
