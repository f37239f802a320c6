# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's month: starts every part as a process of its own, runs simulated time, and injects two faults.

Both faults happen at instants of simulated time, by holding the simulator's clock there: the broker is stopped for two
days, and the agent is killed between reading its devices and committing the readings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from collector.base.resources import config_path
from collector.cli.demo.first_day import FirstDay, Lines
from collector.model.interval import DAY_MS, HOUR_MS, Interval, Month
from collector.trial.processes import Processes, SimulatorControl, Usage, advance_time, wait_for_port, wait_until
from simulators.plant.scenario import Instance, Scenario, free_ports, instantiate, load_scenario

CONNECTED = "connected to"  # the center's log has it once its receiver hears the broker
DOWN_MS = 180_000  # simulated time that passes while the agent is dead
RUN_TIMEOUT_S = 1800.0
DRAIN_TIMEOUT_S = 60.0


class Progress(Protocol):
    """The interface to which the run reports its progress."""

    def stage(self, text: str) -> None:
        """A new stage begins."""
        ...

    def time(self, now_utc_ms: int, span: Interval) -> None:
        """Report the simulated time reached."""
        ...

    def event(self, text: str) -> None:
        """Report an event."""
        ...

    def first_lines(self, day: str, lines: Lines) -> None:
        """The first day is settled."""
        ...


@dataclass
class Run:
    """The data of a finished month. Times of the faults are simulated UTC ms."""

    out: Path
    scenario: Scenario
    instance: Instance
    books: dict[str, Any] = field(default_factory=dict)
    device_requests: dict[str, int] = field(default_factory=dict)
    kills: list[int] = field(default_factory=list)
    broker_down: Interval | None = None
    usage: dict[str, Usage] = field(default_factory=dict)

    @property
    def month(self) -> Month:
        """The month that was run."""
        return self.scenario.month

    @property
    def center_dir(self) -> Path:
        """State of the center."""
        return self.out / "center"

    @property
    def agent_dir(self) -> Path:
        """State of the agent."""
        return self.out / "agent"


def run_month(out: Path, broker: str, progress: Progress) -> Run:
    """Run the month and leave everything in `out`; every process is gone on return.

    Raises:
        CollectorError: a part failed; its log is named.
    """
    progress.stage("starting simulators, broker, center, agent · 启动")
    broker_port = free_ports(1)[0]
    address = broker.removeprefix("mqtt://").rstrip("/") or f"127.0.0.1:{broker_port}"
    instance = instantiate(
        config_path("demo/plant.toml"), out / "config", mqtt=address, edits={"state_dir": f'"{out / "agent"}"'}
    )
    scenario = load_scenario(instance.scenario_file)
    _write_keys(instance, scenario, address)
    run = Run(out, scenario, instance)
    with Processes(out / "logs") as processes:
        _DemoMonth(run, processes, progress, None if broker else broker_port).play()
    run.usage = processes.usage
    return run


class _DemoMonth:
    """The running month. `broker_port` None: an external broker is used and left alone."""

    def __init__(self, run: Run, processes: Processes, progress: Progress, broker_port: int | None) -> None:
        self.run, self.processes, self.progress, self.broker_port = run, processes, progress, broker_port
        self.control_port = int(run.instance.control.rpartition(":")[2])
        self.time_port = int(run.instance.time_server.rpartition(":")[2])
        self.first_day = FirstDay(run.out / "first-day", run.center_dir / "lake", run.scenario)

    def play(self) -> None:
        """Run everything, from the first process to the last."""
        config = self.run.instance.directory
        # The center first: it takes longest to start.
        self.processes.start("center", "collector.cli.main", "center", "run", str(config / "center.toml"))
        self.start_broker()
        scenario_file, control = str(self.run.instance.scenario_file), self.run.instance.control
        arguments = ("simulate", scenario_file, "--control", control, "--time", "driven")
        self.processes.start("simulators", "collector.cli.main", *arguments)
        wait_for_port(self.control_port, processes=self.processes)
        self.control = SimulatorControl(self.control_port)
        try:
            self.wait_for_the_center()
            self.progress.stage("one month of simulated time · 模拟一个月")
            self.pass_time()
            self.progress.stage("last batches to the center · 上送余量")
            self.drain()
            self.run.books = self.control.ask("books")
            self.run.device_requests = dict(self.status()["requests"])
            self.processes.stop("simulators")
        finally:
            self.control.close()

    def wait_for_the_center(self) -> None:
        """Start the agent with time held, and wait for the center: nobody keeps batches that come before it.

        They would be sent again after `ack_timeout_s`, and the first day be complete only then.
        """
        self.control.ask("hold", at_utc_ms=self.run.scenario.run.start_ms)  # simulated time starts with the agent
        self.start_agent()
        log = self.processes.log("center")
        wait_until(
            lambda: CONNECTED in log.read_text("utf-8", "replace"), processes=self.processes, timeout_s=RUN_TIMEOUT_S,
            what=f"the center {CONNECTED} the broker",
        )  # fmt: skip
        self.control.ask("release")

    def pass_time(self) -> None:
        """Run the month with its faults."""
        start_ms = self.run.month.interval.start_ms
        plan: list[tuple[int, Callable[[int], None]]] = [(start_ms + 20 * DAY_MS + 13 * HOUR_MS, self.kill_agent)]
        if self.broker_port is None:
            self.progress.event("the broker is somebody else's and is not stopped · 外部代理，不做停运")
        else:
            plan += [(start_ms + 14 * DAY_MS, self.stop_broker), (start_ms + 16 * DAY_MS, self.restart_broker)]
        plan.sort(key=lambda each: each[0])
        for at_ms, action in plan:
            self.control.ask("hold", at_utc_ms=at_ms)
            self.wait_until(lambda: bool(self.status()["holding"]), f"instant {at_ms}")
            action(at_ms)
            self.control.ask("release")
        end_ms = self.run.scenario.run.end_ms
        self.wait_until(lambda: self.status()["now_utc_ms"] >= end_ms, "the end of the month")

    def start_agent(self) -> None:
        """Start the agent, also again after a kill."""
        self.processes.start("agent", "collector.cli.main", "agent", "run", str(self.run.instance.agent_file))

    def kill_agent(self, at_ms: int) -> None:
        """Kill the agent at the held tick, after it read its devices and before it commits; later start it again."""
        self.processes.kill("agent")
        self.run.kills.append(at_ms)
        self.control.ask("release")
        advance_time(self.time_port, DOWN_MS)
        self.progress.event(f"agent killed between read and commit, down for {DOWN_MS // 1000} s · 采集进程被杀死")
        self.start_agent()

    def start_broker(self) -> None:
        """Start the embedded broker, unless an external one is used."""
        if self.broker_port is not None:
            arguments = ("--listen", f"127.0.0.1:{self.broker_port}")
            self.processes.start("broker", "collector.trial.broker", *arguments)
            wait_for_port(self.broker_port, processes=self.processes)

    def stop_broker(self, at_ms: int) -> None:
        """Stop the broker."""
        self.processes.stop("broker")
        self.run.broker_down = Interval(at_ms, at_ms)
        self.progress.event("broker stopped · 消息代理停运")

    def restart_broker(self, at_ms: int) -> None:
        """Start the broker again."""
        self.start_broker()
        if self.run.broker_down is not None:
            self.run.broker_down = Interval(self.run.broker_down.start_ms, at_ms)
        self.progress.event("broker back after two simulated days · 消息代理恢复")

    def drain(self) -> None:
        """Wait until every sealed batch is acknowledged, then stop agent and center in order."""
        self.wait_until(lambda: pending_batches(self.run.agent_dir) == 0, "every batch acknowledged", DRAIN_TIMEOUT_S)
        # Usually done long ago, except on a machine so slow that the month ended before the day's file was complete.
        self.wait_until(lambda: self.first_day.is_settled, "the first day's file", DRAIN_TIMEOUT_S)
        self.processes.stop("agent")
        self.processes.stop("center")
        if self.broker_port is not None:
            self.processes.stop("broker")

    def status(self) -> dict[str, Any]:
        """The simulator's status."""
        return self.control.ask("status")

    def wait_until(self, reached: Callable[[], bool], what: str, timeout_s: float = RUN_TIMEOUT_S) -> None:
        """Wait until `reached` is true, and report the simulated time."""

        def look() -> bool:
            now_utc_ms = self.status()["now_utc_ms"]
            self.progress.time(now_utc_ms, self.run.scenario.run)
            if lines := self.first_day.look(now_utc_ms):
                self.progress.first_lines(self.run.month.first_day.isoformat(), lines)
            return reached()

        wait_until(look, processes=self.processes, timeout_s=timeout_s, what=what)


def pending_batches(agent_dir: Path) -> int:
    """Sealed batches that are not freed, by the buffer's own count."""
    from collector.agent.buffer.counts import read_counts

    return read_counts(agent_dir).pending


def _write_keys(instance: Instance, scenario: Scenario, address: str) -> None:
    """Write a key pair per plant and one of the center, and the configurations that name them."""
    from collector.wire import generate_key_pair

    keys = instance.directory / "keys"
    keys.mkdir()
    host, _, port = address.rpartition(":")
    center = [
        "schema = 1",
        '[center]\nid = "demo-center"\nstate_dir = "../center"\nsigning_key_file = "keys/center.pem"',
        f'[mqtt]\nhost = "{host}"\nport = {port}\nroot = "demo"',
        "[receiver]\nmax_age_days = 36500\nmax_future_s = 3e9",  # simulated time may be far from real time
        "[lake]\nseal_after_s = 2.0\ncheck_every_s = 1.0",
    ]
    agent = instance.agent_file.read_text("utf-8")
    generate_key_pair(keys / "center.pem", keys / "center.pub")
    for plant in scenario.settings.plant:
        generate_key_pair(keys / f"{plant.id}.pem", keys / f"{plant.id}.pub")
        row = f'[[plant]]\nid = "{plant.id}"\n'
        agent = agent.replace(row, f'{row}signing_key_file = "keys/{plant.id}.pem"\n')
        units = ", ".join(f'"{u.id}"' for u in scenario.settings.unit if u.plant == plant.id)
        center += [
            "[[plant]]",
            f'id = "{plant.id}"',
            f"units = [{units}]",
            f'public_key_files = ["keys/{plant.id}.pub"]',
        ]
    instance.agent_file.write_text(agent, "utf-8")
    (instance.directory / "center.toml").write_text("\n".join(center) + "\n", "utf-8")
