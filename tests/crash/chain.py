# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole chain in real processes: simulators, broker, center, agents, with a fault to be put anywhere.

Simulated time is driven by the agents, so a chain passes as many ticks in a second as the machine allows and may be
held at any instant; or it runs by the host's clock at some speed, and does not wait for an agent that is stuck.
Leaving the `with` block ends every process.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from collector.agent.buffer.counts import Counts, read_counts
from collector.base.errors import CollectorError
from collector.trial.processes import Processes, SimulatorControl, advance_time, wait_for_port
from simulators.plant.scenario import free_ports
from tests.crash.arrivals import Journal, read_journal
from tests.crash.plant_truth import LEAD_MS, REORDER_MS, START_MS, UNITS, write_scenario
from tests.patience import HANG_S, wait_until

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Children(Processes):
    """Processes of which a test may know the id."""

    def pid(self, name: str) -> int:
        """Of a running child."""
        return self._running[name].pid


class Broker:
    """mosquitto where it is installed, else the embedded one; killed, paused and started again at one port.

    `host`: where it listens; `through`: the words that lead into its network namespace.
    """

    def __init__(self, folder: Path, *, settings: str = "") -> None:
        self.port = free_ports(1)[0]
        self.host = "127.0.0.1"
        self.through: tuple[str, ...] = ()
        self._folder, self.settings = folder, settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with what it had stored."""
        command = [sys.executable, "-m", "collector.trial.broker", "--listen", f"{self.host}:{self.port}"]
        if MOSQUITTO is not None:
            conf = self._folder / "mosquitto.conf"
            lines = ("allow_anonymous true", f"listener {self.port} {self.host}", "user root", self.settings)
            conf.write_text("\n".join(lines) + "\n", "utf-8")
            command = [MOSQUITTO, "-c", str(conf)]
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self.through, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        _wait_for_listener(self.host, self.port)

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: what it held in memory is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _wait_for_listener(host: str, port: int) -> None:
    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((host, port), HANG_S):
            return True
        return False

    wait_until(listens, f"a listener on {host}:{port}")


class Chain:
    """One plant, one broker, one center, and one agent per gateway. Made by `running_chain`."""

    def __init__(self, folder: Path, processes: Children, broker: Broker, scenario_file: Path) -> None:
        self.folder, self.processes, self.broker, self.scenario_file = folder, processes, broker, scenario_file
        self.time_port, self.control_port, *self.device_ports = free_ports(5)
        self.agent_port = self.center_port = broker.port
        self.agent_time_port = self.time_port
        self._control: SimulatorControl | None = None

    def write_agent(self, gateway: str = "g", *, buffer: str = "", identity: str = "") -> Path:
        """agent.toml of a gateway, which may give itself out for another; of several the first serves the simulators.

        Reads must outlast any stutter of the machine: simulated time does not wait for a device that backs off.
        """
        text = (
            f'schema = 1\n[gateway]\nid = "{identity or gateway}"\nstate_dir = "{self.state(gateway)}"\n'
            f'reorder_ms = {REORDER_MS}\ntime_server = "127.0.0.1:{self.agent_time_port}"\n'
            f'[mqtt]\nhost = "{self.broker.host}"\nport = {self.agent_port}\nkeepalive_s = 1\n'
            f"[uplink]\nack_timeout_s = 1.0\nbackoff_max_s = 0.5\n"
            f"[buffer]\nbatch_max_age_s = 10\n{buffer}\n"
            '[[plant]]\nid = "P"\n' + "".join(f'[[unit]]\nid = "{unit}"\nplant = "P"\n' for unit in UNITS)
        )
        for number, unit in enumerate(UNITS):
            text += (
                f'[[device]]\nid = "{unit}-governor"\nprotocol = "modbus_tcp"\npoints = "governor.csv"\n'
                f'unit = "{unit}"\nhost = "127.0.0.1"\nport = {self.device_ports[number]}\n'
                "timeout_s = 20.0\nbackoff_max_s = 0.0\n"
            )
        text += (
            '[[device]]\nid = "telecontrol"\nprotocol = "iec104"\npoints = "telecontrol.csv"\nhost = "127.0.0.1"\n'
            f"port = {self.device_ports[2]}\ncommon_addresses = [1, 2]\nw = 1\ntimeout_s = 20.0\nbackoff_max_s = 0.0\n"
        )
        path = self.folder / f"{gateway}.toml"
        path.write_text(text, "utf-8")
        served = text.replace(f"127.0.0.1:{self.agent_time_port}", f"127.0.0.1:{self.time_port}")
        (self.folder / "agent.toml").write_text(served, "utf-8")  # what the simulators serve
        return path

    def start_center(self) -> None:
        """Write center.toml and start the center."""
        path = self.folder / "center.toml"
        units = ", ".join(f'"{unit}"' for unit in UNITS)
        path.write_text(
            'schema = 1\n[center]\nstate_dir = "center"\n'
            f'[mqtt]\nhost = "{self.broker.host}"\nport = {self.center_port}\nkeepalive_s = 1\n'
            "[receiver]\nbackoff_max_s = 0.5\nmax_age_days = 36500\nmax_future_s = 3e9\n"
            f'[[plant]]\nid = "P"\nunits = [{units}]\nunsigned = true\n',
            "utf-8",
        )
        self.processes.start("center", "collector.cli.main", "center", "run", str(path))

    def start_simulators(self, pace: str = "driven") -> None:
        """Serve the devices; `pace` as of `collector simulate --time`."""
        control = f"127.0.0.1:{self.control_port}"
        arguments = ("simulate", str(self.scenario_file), "--control", control, "--time", pace)
        self.processes.start("simulators", "collector.cli.main", *arguments)
        wait_for_port(self.control_port, processes=self.processes, timeout_s=HANG_S)
        self._control = SimulatorControl(self.control_port)
        if pace == "driven":
            self.pass_time(LEAD_MS)

    def start_agent(self, gateway: str = "g") -> None:
        """`collector agent run`."""
        self.processes.start(gateway, "collector.cli.main", "agent", "run", str(self.folder / f"{gateway}.toml"))

    def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        """The simulators' control socket."""
        assert self._control is not None
        return self._control.ask(do, **arguments)

    @property
    def now_ms(self) -> int:
        """Simulated time."""
        return int(self.ask("status")["now_utc_ms"])

    def pass_time(self, by_ms: int) -> None:
        """Let time go on while no agent runs."""
        if by_ms:
            self.ask("release")
            advance_time(self.time_port, by_ms)

    def run_to(self, at_ms: int) -> None:
        """Let the agents work up to an instant, and hold there."""
        self.ask("release")  # a hold that is only moved on wakes nobody
        self.ask("hold", at_utc_ms=at_ms)
        self.until(lambda: bool(self.ask("status")["holding"]), f"instant {at_ms}", lambda: self.now_ms)

    def state(self, gateway: str = "g") -> Path:
        """Where an agent keeps its buffer."""
        return self.folder / f"state-{gateway}"

    def counts(self, gateway: str = "g") -> Counts | None:
        """The books of an agent's buffer; None while there is none."""
        try:
            return read_counts(self.state(gateway))
        except CollectorError:
            return None

    def status(self, gateway: str = "g") -> dict[str, Any]:
        """What the running agent says of itself; empty while nobody answers."""
        return ask_agent(self.state(gateway) / f"{gateway}.sock", "/status")

    def until(self, reached: Callable[[], bool], what: str, progress: Callable[[], object] = lambda: None) -> None:
        """Wait; an early end of any process is an error."""

        def looked() -> bool:
            self.processes.check()
            return reached()

        wait_until(looked, f"{what}; logs are in {self.processes.log_dir}", progress=progress, every_s=0.1)

    def settle(self, gateway: str = "g") -> None:
        """Everything sealed is acknowledged, and the agent knows it."""
        self.until(lambda: self._pending(gateway) == 0, f"{gateway}: all acknowledged", lambda: self._pending(gateway))

    def drain(self, *gateways: str) -> None:
        """Everything sealed is acknowledged; then the agents end in good order, and what that sealed too."""
        for gateway in gateways or ("g",):
            self.settle(gateway)
            self.processes.stop(gateway)
            counts = self.counts(gateway)
            assert counts is not None
            assert counts.open_records == 0
            if counts.pending:  # what the end sealed may have missed its acknowledgement
                self.start_agent(gateway)
                self.drain(gateway)

    def _pending(self, gateway: str) -> int:
        counts = self.counts(gateway)
        return -1 if counts is None else counts.pending

    def journal(self) -> Journal:
        """What the center has, once it has stopped."""
        self.processes.stop("center")
        return read_journal(self.folder / "center")

    def last_tick_ms(self) -> int:
        """The newest tick that had to be written by now."""
        return (self.now_ms - REORDER_MS - START_MS) // 1000 * 1000 + START_MS

    def close(self) -> None:
        """Let go of the simulators."""
        if self._control is not None:
            self._control.close()


def ask_agent(path: Path, page: str) -> dict[str, Any]:
    """A page of an agent's own socket, decoded; empty where nobody answers."""
    with contextlib.suppress(OSError, ValueError), closing(socket.socket(socket.AF_UNIX)) as link:
        link.settimeout(HANG_S)
        link.connect(str(path))
        link.sendall(f"GET {page} HTTP/1.0\r\n\r\n".encode())
        answer = b""
        while part := link.recv(65_536):
            answer += part
        found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
        return found
    return {}


@contextmanager
def running_chain(
    folder: Path, *, seconds: int, seed: int, broker: str = "", pace: str = "driven", buffer: str = "",
    ports: Callable[[Chain], None] = lambda _: None, gateways: Sequence[str] = ("g",),
) -> Iterator[Chain]:  # fmt: skip
    """A chain with everything started but the agents.

    Args:
        folder: where configurations, logs and states go.
        seconds: how long statuses switch.
        seed: of the plant.
        broker: further lines of mosquitto.conf.
        pace: of simulated time.
        buffer: further lines of `[buffer]`.
        ports: puts something between the processes before the configurations are written.
        gateways: an agent.toml is written for each.
    """
    with ExitStack() as stack:
        processes = stack.enter_context(Children(folder / "logs", stop_timeout_s=HANG_S))
        scenario_file = write_scenario(folder, seconds=seconds, seed=seed)
        mqtt = Broker(folder, settings=broker)
        stack.callback(mqtt.kill)
        chain = Chain(folder, processes, mqtt, scenario_file)
        stack.callback(chain.close)
        ports(chain)
        for gateway in gateways:
            chain.write_agent(gateway, buffer=buffer)
        mqtt.start()
        chain.start_center()
        chain.start_simulators(pace)
        yield chain
