# SPDX-License-Identifier: GPL-3.0-or-later
"""The run of an acceptance from its first check to its last; outcomes so far are available at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from collector.accept import before_start
from collector.accept.after_end import EndChecks
from collector.accept.cable import Cable
from collector.accept.compare import RecordComparison
from collector.accept.layout import Layout, lay_out
from collector.accept.outcome import BY_NAME, CHECKS, CheckOutcome, CheckVerdict, both, not_applicable
from collector.accept.phases import PhaseFacts, Phases
from collector.accept.plan import Plan
from collector.accept.stored import count_in_lake, read_stored
from collector.accept.trial_plant import Stand
from collector.accept.truth import Truth, go_through, sources_of
from collector.agent.operate.doctor_buffer import is_locked
from collector.agent.paths import buffer_path
from collector.base.errors import CollectorError
from collector.base.text import tr
from collector.points.agent_config import AgentConfig
from collector.trial.processes import Processes

Say = Callable[[str, str], None]
# checks that need a running agent
_DURING = frozenset(BY_NAME) - {"configuration", "points_read", "points_true", "illegal_address"}


@dataclass
class Acceptance:
    """One acceptance run. `outcomes`: by code; `broken_off`: why it did not reach its end, empty where it did."""

    plan: Plan
    out: Path
    outcomes: dict[str, CheckOutcome] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    config: AgentConfig | None = None
    broken_off: str = ""

    @property
    def passed(self) -> bool:
        """True if every wanted check was done and passed; False for a plan that leaves every check out."""
        verdicts = [outcome.verdict for outcome in self.rows()]
        done = CheckVerdict.PASS in verdicts and CheckVerdict.NOT_DONE not in verdicts
        return done and CheckVerdict.FAIL not in verdicts and not self.broken_off

    def rows(self) -> list[CheckOutcome]:
        """The outcomes of all checks, in the order of their codes."""
        return [self.outcomes.get(code, CheckOutcome(check, CheckVerdict.NOT_DONE)) for code, check in CHECKS.items()]

    def wanted(self, name: str) -> bool:
        """True if a check is wanted: the plan does not leave it out."""
        left_out = self.plan.settings.checks.leave_out
        return name not in left_out and BY_NAME[name].code not in left_out

    def add(self, outcome: CheckOutcome, took_s: float = 0.0) -> None:
        """Keep the outcome of a check, unless the plan leaves it out."""
        if self.wanted(outcome.check.name):
            outcome = replace(outcome, duration_s=outcome.duration_s or took_s)
            self.outcomes[outcome.check.code] = outcome

    def leave_out(self) -> None:
        """Add an outcome for each check that the plan leaves out."""
        for name, check in BY_NAME.items():
            if not self.wanted(name):
                self.outcomes[check.code] = not_applicable(name, "计划中未列入", "left out by the plan")


def run_acceptance(acceptance: Acceptance, say: Say, show: Callable[[CheckOutcome], None]) -> None:
    """Run all checks of the plan; `show` receives each outcome. All processes have ended on return.

    Raises:
        CollectorError: a process failed; its log is named. Outcomes so far stay in `acceptance`.
    """
    acceptance.leave_out()

    def keep(outcomes: Iterable[CheckOutcome], took_s: float = 0.0) -> None:
        for outcome in outcomes:
            acceptance.add(outcome, took_s)
            if acceptance.wanted(outcome.check.name):
                show(acceptance.outcomes[outcome.check.code])

    say("检查配置", "the configuration is checked")
    outcome, acceptance.config = before_start.check_configuration(acceptance.plan)
    keep([outcome])
    if acceptance.config is None:
        names = [name for name in BY_NAME if name != "configuration" and acceptance.wanted(name)]
        keep(not_applicable(name, "配置不能读取", "the configuration does not load") for name in names)
        return
    if acceptance.plan.starts and not acceptance.plan.is_simulated and is_locked(buffer_path(acceptance.config)):
        message = tr("an agent runs with this configuration: stop it, or set under_test.start = false")
        raise CollectorError(message, subject=str(acceptance.plan.agent_file))
    if not acceptance.plan.starts:
        from collector.accept.running_agent import watch_agent

        watch_agent(acceptance.plan, acceptance.config, say, keep)
        return
    with ExitStack() as stack:
        processes = stack.enter_context(Processes(acceptance.out / "logs"))
        cable = stack.enter_context(Cable())
        layout = lay_out(acceptance.plan, acceptance.out, cable.port)
        cable.target_port = layout.broker_port
        acceptance.changes = layout.changes
        stand = Stand(acceptance.plan, layout, processes, cable)
        stack.callback(stand.close)
        _do(acceptance, stand, say, keep)


def _do(acceptance: Acceptance, stand: Stand, say: Say, keep: Callable[..., None]) -> None:
    say("启动消息代理、主站、模拟装置", "broker, center and simulated devices start")
    stand.start()
    _before(acceptance, stand, say, keep)
    if not any(map(acceptance.wanted, _DURING)):
        return
    facts = Phases(stand, acceptance.wanted, say).play()
    say("核对", "what is stored is compared")
    keep(_judge_health(acceptance, facts))
    durations = {name: stretch.took_s for name, stretch in facts.stretches.items()}
    for outcome in EndChecks(acceptance.plan, facts, *_comparison(acceptance, stand.layout, facts)).outcomes():
        keep([outcome], durations.get(outcome.check.name, 0.0))


def _before(acceptance: Acceptance, stand: Stand, say: Say, keep: Callable[..., None]) -> None:
    """Run the checks that need no running agent."""
    if any(map(acceptance.wanted, ("points_read", "points_true"))):
        say("逐点读取", "every point is read")
        begun_s = time.monotonic()
        rows = stand.read_once()
        keep([before_start.check_points_read(stand.config, rows)], time.monotonic() - begun_s)
        if acceptance.plan.is_driven:
            keep([before_start.check_points_true(stand, rows)])
        else:
            keep([not_applicable("points_true", "不在模拟时间下,真值未知", "no simulated time: no truth to compare")])
    if not acceptance.wanted("illegal_address"):
        return
    if acceptance.plan.is_simulated:
        begun_s = time.monotonic()
        keep([before_start.check_illegal_address(stand)], time.monotonic() - begun_s)
    else:
        zh, en = "现场不向装置请求不存在的地址", "devices of a site are not asked for addresses they do not have"
        keep([not_applicable("illegal_address", zh, en)])


def _judge_health(acceptance: Acceptance, facts: PhaseFacts) -> Iterable[CheckOutcome]:
    assert acceptance.config is not None
    took_s = {d["device"]: d["last_read_s"] for d in facts.health["devices"] if d.get("last_read_s") is not None}
    measured = None if acceptance.plan.is_driven else took_s
    return [
        before_start.check_read_time(acceptance.plan, acceptance.config, measured),
        before_start.check_clock(acceptance.plan, acceptance.config, facts.health),
    ]


def _comparison(
    acceptance: Acceptance, layout: Layout, facts: PhaseFacts
) -> tuple[RecordComparison, Callable[[], int]]:
    """The center's records with the truth, where it is known, ready to compare."""
    stored = read_stored(layout.center_dir)
    truth: Truth | None = None
    if acceptance.plan.is_driven and layout.scenario_file is not None:
        truth = go_through(layout.scenario_file, layout.config, until_ms=facts.end_ms)
    gateway = layout.config.settings.gateway
    comparison = RecordComparison(
        stored, sources_of(layout.config), gateway.record_period_ms, gateway.stale_after_periods, truth,
        acceptance.plan.tolerance,
    )  # fmt: skip
    return comparison, partial(count_in_lake, layout.center_dir, stored)


def break_off(acceptance: Acceptance, zh: str, en: str) -> None:
    """Mark the run as broken off, and every check without an outcome as not done."""
    acceptance.broken_off = both(zh, en)
