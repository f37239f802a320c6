# SPDX-License-Identifier: GPL-3.0-or-later
"""The phases while the agent runs: undisturbed cycles, then one fault after the other. Judged later in `after_end`."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from collector.accept.before_start import USABLE
from collector.accept.layout import warm_up_ms
from collector.accept.trial_plant import Stand
from collector.accept.truth import sources_of
from collector.agent.buffer.capacity import Capacity, compute_capacity
from collector.points.agent_config import DeviceConfig, load_agent

_RECOVERY_PERIODS: Final = 5
_RECOVERY_S: Final = 180.0
_DOWN_MS: Final = (0, 0, 700, 2000, 5000)


@dataclass(frozen=True, slots=True)
class Phase:
    """The records after `from_ms` up to and including `to_ms`, UTC; `took_s`: duration in real time."""

    from_ms: int
    to_ms: int
    took_s: float


@dataclass
class PhaseFacts:
    """Facts noted during the phases. `silenced`: devices of the agent under test; `backlog`: batches left by a cut.

    `noticed_ms`: time a 104 link had to detect that its station is silent.
    """

    stretches: dict[str, Phase] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=dict)
    silenced: tuple[str, ...] = ()
    noticed_ms: int = 0
    recovered: bool = False
    backlog: dict[str, int] = field(default_factory=dict)
    catch_up_s: dict[str, float] = field(default_factory=dict)
    swallowed_bytes: int = 0
    kills: int = 0
    capacity: Capacity | None = None
    refused: int = 0
    simulators: dict[str, Any] = field(default_factory=dict)
    end_ms: int = 0


class Phases:
    """Runs the phases one after the other; `say` receives the name of each as it begins."""

    def __init__(self, stand: Stand, wanted: Callable[[str], bool], say: Callable[[str, str], None]) -> None:
        self.stand, self.wanted, self.say = stand, wanted, say
        self.steps = stand.plan.settings.steps
        self.facts = PhaseFacts()

    def play(self) -> PhaseFacts:
        """Run all wanted phases, then stop everything in order."""
        self.say("启动采集,等待各装置读数", "the agent starts, every device is read")
        self.stand.start_agent()
        self.stand.run_for(warm_up_ms(self.stand.config))
        self.cycle()
        for name, phase in (
            ("silence", self.silence), ("network_cut", self.network_cut), ("broker_restart", self.broker_restart),
            ("agent_kill", self.agent_kill),
        ):  # fmt: skip
            if self.wanted(name) or (name == "network_cut" and self.wanted("catch_up")):
                phase()
        self.end()
        return self.facts

    def cycle(self) -> None:
        """Let the agent work without disturbance."""
        self.say(f"{self.steps.cycles} 个周期不加扰动", f"{self.steps.cycles} cycles without disturbance")
        written_ms = self.stand.config.settings.gateway.reorder_ms + 1
        cycles_ms = self.steps.cycles * self.stand.period_ms
        self._during("cycle", lambda: self.stand.run_for(cycles_ms + written_ms))

        def answers() -> bool:
            self.facts.health = self.stand.health() or {}
            return bool(self.facts.health)

        self.stand.wait_for(answers, "the agent says how it is")

    def silence(self) -> None:
        """Silence one device, then let it answer again."""
        found = self._device_to_silence()
        if not self.stand.plan.is_simulated or found is None:
            return
        served, self.facts.silenced = found
        self.say(f"装置 {served} 不应答", f"device {served} silent")
        fault = {"device": served, "kind": "silence"}
        self.stand.ask("fault", **fault)

        def be_silent() -> None:
            self._let_link_notice()
            self._run_for_periods(self.steps.silence_cycles)

        self._during("silence", be_silent)
        self.stand.ask("clear", **fault)
        deadline_s = time.monotonic() + _RECOVERY_S
        while time.monotonic() < deadline_s:
            self._run_for_periods(_RECOVERY_PERIODS)
            if self._all_usable(self.facts.silenced):
                self.facts.recovered = True
                return
            time.sleep(0.05)  # its back-off runs in real time

    def _let_link_notice(self) -> None:
        """Wait until a 104 link counts as dead: t3 without a frame, then t1 without an answer."""
        stations = [
            d for d in self.stand.config.settings.device if d.id in self.facts.silenced and d.protocol == "iec104"
        ]
        if not stations:
            return
        begun_ms, deadline_s = self.stand.now_ms(), time.monotonic() + _RECOVERY_S
        if self.stand.plan.is_driven:  # these timers run in real time
            while self._any_usable(self.facts.silenced) and time.monotonic() < deadline_s:
                self._run_for_periods(_RECOVERY_PERIODS)
        else:
            self.stand.run_for(max(d.t1_s + d.t3_s for d in stations) * 1000)
        self.facts.noticed_ms = self.stand.now_ms() - begun_ms

    def network_cut(self) -> None:
        """Cut the connection between agent and broker, then restore it."""
        seconds = self.steps.network_cut_s
        self.say(f"网络中断 {seconds} s", f"network cut for {seconds} s")

        def cut() -> None:
            before = self.stand.cable.swallowed_bytes
            self.stand.cable.cut()
            try:
                self.stand.run_for(seconds * 1000)
                self.facts.backlog["network_cut"] = self.stand.pending()
            finally:
                self.stand.cable.mend()
            self.facts.catch_up_s["network_cut"] = self.stand.settle()
            self.facts.swallowed_bytes = self.stand.cable.swallowed_bytes - before

        self._during("network_cut", cut)

    def broker_restart(self) -> None:
        """Kill the broker, which loses all its messages, and start it again."""
        seconds = self.steps.broker_down_s
        self.say(f"消息代理停运 {seconds} s", f"broker down for {seconds} s")

        def restart() -> None:
            self.stand.processes.kill("broker")
            self.stand.cable.refuse()
            self.stand.run_for(seconds * 1000)
            self.facts.backlog["broker_restart"] = self.stand.pending()
            self.stand.start_broker()
            self.stand.cable.mend()
            self.facts.catch_up_s["broker_restart"] = self.stand.settle()

        self._during("broker_restart", restart)

    def agent_kill(self) -> None:
        """Kill the agent with SIGKILL at arbitrary moments, with and without time passing until its restart."""
        self.say(f"强制结束采集进程 {self.steps.kills} 次", f"agent killed {self.steps.kills} times")
        dice = random.Random(self.steps.kills)

        def kill() -> None:
            for number in range(self.steps.kills):
                self.stand.go(dice.uniform(0.1, 0.8))
                self.stand.processes.kill("agent")
                self.facts.kills += 1
                self.stand.pass_time(_DOWN_MS[number % len(_DOWN_MS)])
                self.stand.start_agent()
            self._run_for_periods(self.steps.silence_cycles)

        self._during("agent_kill", kill)

    def end(self) -> None:
        """Wait until everything has arrived, and stop every process in order."""
        self.say("上送余量,停止", "the last batches arrive; all ends")
        self._run_for_periods(_RECOVERY_PERIODS)
        self.facts.end_ms = self.stand.last_tick_ms()
        self.stand.drain()
        self.facts.capacity = compute_capacity(self.stand.config)
        counts = self.stand.counts()
        self.facts.refused = counts.refused if counts else 0
        if self.stand.plan.is_simulated:
            self.facts.simulators = self.stand.ask("status")

    def _run_for_periods(self, count: int) -> None:
        self.stand.run_for(count * self.stand.period_ms)

    def _during(self, name: str, action: Callable[[], object]) -> None:
        """Run `action` and note its stretch: from now to the last tick that must be written when it ends."""
        from_ms, begun_s = self.stand.now_ms(), time.monotonic()
        action()
        self.facts.stretches[name] = Phase(from_ms, self.stand.last_tick_ms(), time.monotonic() - begun_s)

    def _usable(self, devices: tuple[str, ...]) -> list[bool]:
        """For each point of these devices, whether the running agent reports it usable."""
        return [point["quality"] in USABLE for point in self.stand.points() if point["device"] in devices]

    def _all_usable(self, devices: tuple[str, ...]) -> bool:
        usable = self._usable(devices)
        return bool(usable) and all(usable)

    def _any_usable(self, devices: tuple[str, ...]) -> bool:
        return any(self._usable(devices))

    def _device_to_silence(self) -> tuple[str, tuple[str, ...]] | None:
        """The simulated device to silence, and the agent's devices at its address."""
        if self.stand.layout.scenario_file is None:
            return None
        served = load_agent(self.stand.layout.scenario_file.parent / "served.toml").settings.device
        devices = self.stand.config.settings.device
        alone = {
            sources[0].device for sources in sources_of(self.stand.config).values()
            if len({source.device for source in sources}) == 1
        }  # fmt: skip
        wanted = self.steps.silence_device
        candidates = [s for s in served if wanted in ("", s.id)]
        candidates.sort(key=lambda s: (not s.protocol.startswith("modbus"), s.period_s or 0))
        for each in candidates:
            same = tuple(d.id for d in devices if _place(d) == _place(each))
            if same and alone & set(same):
                return each.id, same
        return None


def _place(device: DeviceConfig) -> tuple[object, ...]:
    return device.serial, device.host, device.port, device.slave, device.address
