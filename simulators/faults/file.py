# SPDX-License-Identifier: GPL-3.0-or-later
"""A faults file: TOML with one `[[fault]]` per fault, optionally limited by start and end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from collector.base.config import Section, load_settings
from collector.base.errors import CollectorError, ConfigError, Problem
from collector.model.interval import parse_time_ms
from simulators.faults.faults import Fault, Faults


class _FaultRow(Section):
    device: str
    kind: str
    value: int = 0
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0
    start: str = ""
    end: str = ""


class _FaultFile(Section):
    schema_version: int = Field(default=1, alias="schema")
    fault: list[_FaultRow]


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault over [start, end) of simulated time; None: from the beginning, to the end."""

    fault: Fault
    start_ms: int | None
    end_ms: int | None


def load_faults(path: Path, devices: frozenset[str]) -> tuple[PlannedFault, ...]:
    """Load the faults of a file.

    Raises:
        ConfigError: every unknown device, kind, key and time.
    """
    problems: list[Problem] = []
    planned = []
    for index, row in enumerate(load_settings(path, _FaultFile).fault, 1):
        key = f"fault[{index}]"
        if row.device not in devices:
            problems.append(Problem(str(path), 0, f"{key}.device", f"no device has id {row.device!r}"))
        try:
            fault = Fault(row.device, row.kind, row.value, row.probability)
            start, end = (parse_time_ms(text) if text else None for text in (row.start, row.end))
            planned.append(PlannedFault(fault, start, end))
        except (CollectorError, ValueError) as error:
            problems.append(Problem(str(path), 0, key, str(error)))
    if problems:
        raise ConfigError(problems)
    return tuple(planned)


class FaultPlan:
    """Switches planned faults as simulated time passes their start and end."""

    def __init__(self, planned: tuple[PlannedFault, ...], faults: Faults) -> None:
        self._faults = faults
        self._events = sorted(
            [(p.start_ms or 0, index, True, p.fault) for index, p in enumerate(planned)]
            + [(p.end_ms, index, False, p.fault) for index, p in enumerate(planned) if p.end_ms is not None],
            key=lambda event: event[:2],
        )
        self._next = 0

    def advance(self, time_utc_ms: int) -> None:
        """Switch the faults that are due at this instant."""
        while self._next < len(self._events) and self._events[self._next][0] <= time_utc_ms:
            _, _, on, fault = self._events[self._next]
            self._next += 1
            if on:
                self._faults.switch_on(fault)
            else:
                self._faults.switch_off(fault.device, fault.kind)
