# SPDX-License-Identifier: GPL-3.0-or-later
"""A trial installation that runs: every part a process of its own, its time, and the hands that break things."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from collector.accept.cable import Cable
from collector.accept.layout import LEAD_MS, Layout
from collector.accept.plan import Plan
from collector.agent.buffer.buffer import Counts, read_counts
from collector.base.clock import SystemClock
from collector.base.errors import CollectorError, StoreError
from collector.base.text import tr
from collector.trial.processes import Processes, SimulatorControl, advance_time, wait_for_port, wait_until

PATIENCE_S: Final = 600.0
_MAIN: Final = "collector.cli.main"
_READ_S: Final = 300.0


class Stand:
    """One agent under test, a broker behind a line that can be cut, a center, and simulators where they are named."""

    def __init__(self, plan: Plan, layout: Layout, processes: Processes, cable: Cable) -> None:
        self.plan, self.layout, self.processes, self.cable = plan, layout, processes, cable
        self.config = layout.config
        self.period_ms = self.config.settings.gateway.record_period_s * 1000
        self._control: SimulatorControl | None = None
        self._clock = SystemClock()

    def start(self) -> None:
        """Everything but the agent."""
        self.start_broker()
        self.processes.start("center", _MAIN, "center", "run", str(self.layout.center_file))
        if self.layout.scenario_file is None:
            return
        control = f"127.0.0.1:{self.layout.control_port}"
        pace = "driven" if self.plan.is_driven else "real"
        self.processes.start(
            "simulators", _MAIN, "simulate", str(self.layout.scenario_file), "--control", control, "--time", pace
        )
        wait_for_port(self.layout.control_port, processes=self.processes, timeout_s=60)
        self._control = SimulatorControl(self.layout.control_port)
        self.pass_time(LEAD_MS)

    def close(self) -> None:
        """Let go of the simulators; the processes end with their `with` block."""
        if self._control is not None:
            self._control.close()

    def start_broker(self) -> None:
        """The embedded one."""
        address = f"127.0.0.1:{self.layout.broker_port}"
        self.processes.start("broker", "collector.trial.broker", "--listen", address)
        wait_for_port(self.layout.broker_port, processes=self.processes, timeout_s=60)

    def start_agent(self) -> None:
        """The agent under test; returns when it works."""
        self.processes.start("agent", _MAIN, "agent", "run", str(self.layout.agent_file))
        if self.plan.is_driven:
            self.wait_for(lambda: self.ask("status")["clients"] == 1, "the agent works")
        else:
            self.wait_for(lambda: self.health() is not None, "the agent answers")

    def read_once(self, config: str = "") -> list[dict[str, Any]]:
        """`collector agent read --json`: what every point shows now.

        Raises:
            CollectorError: it says nothing that can be read.
        """
        command = ("agent", "read", config or str(self.layout.agent_file), "--json")
        printed = self.processes.run("read", _MAIN, *command, timeout_s=_READ_S)
        try:
            rows: list[dict[str, Any]] = json.loads(printed)
        except ValueError as error:
            raise CollectorError(
                tr("gave no readings; see {log}", log=self.processes.log("read")), subject="agent read"
            ) from error
        return rows

    def page(self, name: str) -> Any:
        """A page of the running agent, decoded; None while it does not answer."""
        link = http.client.HTTPConnection("127.0.0.1", self.layout.metrics_port, timeout=10)
        try:
            link.request("GET", f"/{name}")
            return json.loads(link.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException):
            return None
        finally:
            link.close()

    def health(self) -> dict[str, Any] | None:
        """What the running agent says of itself."""
        found: dict[str, Any] | None = self.page("status")
        return found

    def points(self) -> list[dict[str, Any]]:
        """What the running agent knows of every point."""
        found: list[dict[str, Any]] = self.page("points") or []
        return found

    def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        """The simulators' control socket."""
        assert self._control is not None
        return self._control.ask(do, **arguments)

    def now_ms(self) -> int:
        """The time of the records."""
        return int(self.ask("status")["now_utc_ms"]) if self.plan.is_driven else self._clock.now_utc_ms()

    def run_for(self, by_ms: int) -> int:
        """Let the agent work so long and, in simulated time, hold there. Returns the instant."""
        at_ms = self.now_ms() + by_ms
        if self.plan.is_driven:
            self.ask("release")  # a hold that is only moved on wakes nobody
            self.ask("hold", at_utc_ms=at_ms)
            self.wait_for(lambda: bool(self.ask("status")["holding"]), f"instant {at_ms}")
        else:
            self.wait_for(lambda: self.now_ms() >= at_ms, f"instant {at_ms}", extra_s=by_ms / 1000)
        return self.now_ms()

    def go(self, seconds: float) -> None:
        """Let everything work for so long in real time."""
        if self.plan.is_driven:
            self.ask("release")
        time.sleep(seconds)

    def pass_time(self, by_ms: int) -> None:
        """Let time go on while no agent runs."""
        if by_ms and self.plan.is_driven:
            self.ask("release")
            advance_time(self.layout.time_port, by_ms)
        elif by_ms:
            time.sleep(by_ms / 1000)

    def last_tick_ms(self) -> int:
        """The newest tick that had to be written by now."""
        return (self.now_ms() - self.config.settings.gateway.reorder_ms - 1) // self.period_ms * self.period_ms

    def counts(self) -> Counts | None:
        """The books of the agent's buffer; None while there is none."""
        with suppress(StoreError):
            return read_counts(self.layout.agent_dir)
        return None

    def pending(self) -> int:
        """Sealed batches the center has not acknowledged; -1 while there is no buffer."""
        counts = self.counts()
        return -1 if counts is None else counts.pending

    def settle(self) -> float:
        """Return when the center has acknowledged all that is sealed; how long it took in real time, s."""
        begun_s = time.monotonic()
        self.wait_for(lambda: self.pending() == 0, "every batch acknowledged")
        return time.monotonic() - begun_s

    def drain(self) -> None:
        """The agent ends in good order, what its end sealed arrives too; then the center ends."""
        self.settle()
        self.processes.stop("agent")
        if self.pending():  # what the end sealed may have missed its acknowledgement
            self.start_agent()
            self.settle()
            self.processes.stop("agent")
        self.processes.stop("center")

    def wait_for(self, reached: Callable[[], bool], what: str, extra_s: float = 0.0) -> None:
        """Wait for something that has to come about."""
        wait_until(reached, processes=self.processes, timeout_s=PATIENCE_S + extra_s, what=what)
