# SPDX-License-Identifier: GPL-3.0-or-later
"""A running trial installation: one process per part, control of its time, and injection of faults."""

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
from collector.agent.buffer.counts import Counts, read_counts
from collector.base.clock import SystemClock
from collector.base.errors import CollectorError, StoreError
from collector.base.text import tr
from collector.trial.processes import Processes, SimulatorControl, advance_time, wait_for_port, wait_until

PATIENCE_S: Final = 600.0
_MAIN: Final = "collector.cli.main"
_READ_S: Final = 300.0


class Stand:
    """An agent under test, a broker behind a connection that can be cut, a center, simulators if planned."""

    def __init__(self, plan: Plan, layout: Layout, processes: Processes, cable: Cable) -> None:
        self.plan, self.layout, self.processes, self.cable = plan, layout, processes, cable
        self.config = layout.config
        self.period_ms = self.config.settings.gateway.record_period_ms
        self._control: SimulatorControl | None = None
        self._clock = SystemClock()

    def start(self) -> None:
        """Start every process but the agent."""
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
        """Close the control connection to the simulators; the `with` block of the processes ends them."""
        if self._control is not None:
            self._control.close()

    def start_broker(self) -> None:
        """Start the embedded broker."""
        address = f"127.0.0.1:{self.layout.broker_port}"
        self.processes.start("broker", "collector.trial.broker", "--listen", address)
        wait_for_port(self.layout.broker_port, processes=self.processes, timeout_s=60)

    def start_agent(self) -> None:
        """Start the agent under test; returns when it works."""
        self.processes.start("agent", _MAIN, "agent", "run", str(self.layout.agent_file))
        if self.plan.is_driven:
            self.wait_for(lambda: self.ask("status")["clients"] == 1, "the agent works")
        else:
            self.wait_for(lambda: self.health() is not None, "the agent answers")

    def read_once(self, config: str = "") -> list[dict[str, Any]]:
        """Run `collector agent read --json`, which reads every point once.

        Raises:
            CollectorError: its output is not valid JSON.
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
        """A JSON page of the running agent, decoded; None while the agent does not answer."""
        link = http.client.HTTPConnection("127.0.0.1", self.layout.metrics_port, timeout=10)
        try:
            link.request("GET", f"/{name}")
            return json.loads(link.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException):
            return None
        finally:
            link.close()

    def health(self) -> dict[str, Any] | None:
        """The health page of the running agent; None while it does not answer."""
        found: dict[str, Any] | None = self.page("status")
        return found

    def points(self) -> list[dict[str, Any]]:
        """The present value of every point in the running agent."""
        found: list[dict[str, Any]] = self.page("points") or []
        return found

    def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        """Send a request to the simulators' control socket."""
        assert self._control is not None
        return self._control.ask(do, **arguments)

    def now_ms(self) -> int:
        """The present instant in the time of the records, UTC ms."""
        return int(self.ask("status")["now_utc_ms"]) if self.plan.is_driven else self._clock.now_utc_ms()

    def run_for(self, by_ms: int) -> int:
        """Let the agent work for `by_ms` and, in simulated time, hold the clock there. Returns the instant, UTC ms."""
        at_ms = self.now_ms() + by_ms
        if self.plan.is_driven:
            self.ask("release")  # moving a hold wakes no waiting client, so release it first
            self.ask("hold", at_utc_ms=at_ms)
            self.wait_for(lambda: bool(self.ask("status")["holding"]), f"instant {at_ms}")
        else:
            self.wait_for(lambda: self.now_ms() >= at_ms, f"instant {at_ms}", extra_s=by_ms / 1000)
        return self.now_ms()

    def go(self, seconds: float) -> None:
        """Let everything work for `seconds` of real time."""
        if self.plan.is_driven:
            self.ask("release")
        time.sleep(seconds)

    def pass_time(self, by_ms: int) -> None:
        """Let `by_ms` pass while no agent runs."""
        if by_ms and self.plan.is_driven:
            self.ask("release")
            advance_time(self.layout.time_port, by_ms)
        elif by_ms:
            time.sleep(by_ms / 1000)

    def last_tick_ms(self) -> int:
        """The newest tick that must be written by now, UTC ms."""
        return (self.now_ms() - self.config.settings.gateway.reorder_ms - 1) // self.period_ms * self.period_ms

    def counts(self) -> Counts | None:
        """The counts of the agent's buffer; None while there is no buffer."""
        with suppress(StoreError):
            return read_counts(self.layout.agent_dir)
        return None

    def pending(self) -> int:
        """Number of sealed batches the center has not acknowledged; -1 while there is no buffer."""
        counts = self.counts()
        return -1 if counts is None else counts.pending

    def settle(self) -> float:
        """Wait until the center has acknowledged all sealed batches; returns the real time it took, s."""
        begun_s = time.monotonic()
        self.wait_for(lambda: self.pending() == 0, "every batch acknowledged")
        return time.monotonic() - begun_s

    def drain(self) -> None:
        """Stop the agent in order, wait until the batches sealed at its end have arrived, then stop the center."""
        self.settle()
        self.processes.stop("agent")
        if self.pending():  # batches sealed at the end may have missed their acknowledgement
            self.start_agent()
            self.settle()
            self.processes.stop("agent")
        self.processes.stop("center")

    def wait_for(self, reached: Callable[[], bool], what: str, extra_s: float = 0.0) -> None:
        """Wait until `reached` returns True."""
        wait_until(reached, processes=self.processes, timeout_s=PATIENCE_S + extra_s, what=what)
