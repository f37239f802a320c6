# SPDX-License-Identifier: GPL-3.0-or-later
"""The terminal of `collector simulate`: a live table under an input line for commands."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from collector.base.errors import CollectorError
from collector.base.text import said_by, tr
from collector.cli.language import heads, say

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from rich.table import Table

    from simulators.run.simulation import Simulation

REFRESH_S = 1.0
VERBS: Final = (
    "fault DEVICE KIND [VALUE [PROBABILITY]] | clear DEVICE KIND | set UNIT QUANTITY VALUE | unset UNIT QUANTITY | "
    "hold | release | quit"
)
_SAID: Final = 3  # answers that stay visible


async def run_screen(simulation: Simulation) -> None:
    """Read commands and show the table until cancelled; does neither where there is no terminal."""
    screen = SimulatorScreen(simulation)
    with screen.keyboard(), screen.display():
        while True:
            await asyncio.sleep(REFRESH_S)
            screen.refresh()


class SimulatorScreen:
    """The input line, its answers and the table."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._typed = ""
        self._said: deque[str] = deque([VERBS], maxlen=_SAID)
        self._live: Live | None = None

    @contextmanager
    def keyboard(self) -> Iterator[None]:
        """Read single keys: a terminal in its usual mode would echo them into the table."""
        if not sys.stdin.isatty():
            yield
            return
        end, loop = sys.stdin.fileno(), asyncio.get_running_loop()
        before = termios.tcgetattr(end)
        tty.setcbreak(end, termios.TCSANOW)  # keeps keys typed before
        loop.add_reader(end, lambda: self.take(os.read(end, 4096).decode("utf-8", "ignore")))
        try:
            yield
        finally:
            loop.remove_reader(end)
            termios.tcsetattr(end, termios.TCSADRAIN, before)

    @contextmanager
    def display(self) -> Iterator[None]:
        """Use the alternate screen; the old content comes back afterwards."""
        from rich.console import Console
        from rich.live import Live

        console = Console()
        if not console.is_terminal or console.is_dumb_terminal:
            yield
            return
        with Live(self._drawn(), console=console, auto_refresh=False, screen=True) as self._live:
            yield
        self._live = None

    def take(self, keys: str) -> None:
        """Take keys as they come; a whole line is a command."""
        for key in keys:
            if key in "\r\n":
                line, self._typed = self._typed, ""
                self._obey(line.split())
            elif key in "\b\x7f":
                self._typed = self._typed[:-1]
            elif key.isprintable():
                self._typed += key
        self.refresh()

    def refresh(self) -> None:
        """Draw the present state."""
        if self._live is not None:
            self._live.update(self._drawn(), refresh=True)

    def _say(self, text: str) -> None:
        self._said.append(text)
        if self._live is None:
            print(text, flush=True)

    def _obey(self, words: list[str]) -> None:
        from simulators.faults.faults import Fault

        simulation = self._simulation
        try:
            match words:
                case ["fault", device, kind, *rest] if len(rest) <= 2:
                    value, probability = [*rest, *("0", "1")[len(rest) :]]
                    simulation.fault_on(Fault(device, kind, int(value), float(probability)))
                case ["clear", device, kind]:
                    simulation.fault_off(device, kind)
                case ["set", unit, quantity, value]:
                    simulation.set_value(unit, quantity, value)
                case ["unset", unit, quantity]:
                    simulation.unset_value(unit, quantity)
                case ["hold"]:
                    simulation.hold(simulation.keeper.now_utc_ms)
                case ["release"]:
                    simulation.release()
                case ["quit"]:
                    simulation.stop()
                case []:
                    return
                case _:
                    self._say(VERBS)
                    return
            self._say(say(tr("done: {words}", words=" ".join(words))))
        except (CollectorError, ValueError) as error:
            self._say(say(said_by(error)))

    def _drawn(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        said = [Text(line, style="dim") for line in self._said]
        return Group(*said, Text(f"> {self._typed}_"), _table(self._simulation))


def _table(simulation: Simulation) -> Table:
    from rich.table import Table

    from collector.model.interval import format_time

    table = Table(title=f"{simulation.month}  {format_time(simulation.keeper.now_utc_ms)}")
    for title in heads("device", "protocol", "where", "points", "asked by", "requests", "faults"):
        table.add_column(say(title), justify="right" if title in ("points", "requests") else "left")
    counts, active = simulation.devices.requests(), simulation.devices.faults.active()
    for device in simulation.config.settings.device:
        if device.id not in counts:
            continue
        where = device.serial or f"{device.host}:{device.port}/{device.slave}"
        table.add_row(
            device.id, device.protocol, where, str(len(simulation.config.points[device.id])),
            ", ".join(simulation.devices.peers(device.id)) or "-", str(counts[device.id]),
            " ".join(f"{fault.kind}:{fault.value}" for fault in active if fault.device == device.id),
        )  # fmt: skip
    return table
