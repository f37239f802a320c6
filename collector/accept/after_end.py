# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks after all processes have ended: records the center stored, compared with the events of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from collector.accept.compare import PhaseResult, RecordComparison
from collector.accept.outcome import CheckOutcome, both, judged, not_applicable, some
from collector.accept.phases import PhaseFacts
from collector.accept.plan import Plan
from collector.agent.buffer.capacity import Capacity
from collector.model.interval import format_time

_NO_TRUTH = ("不在模拟时间下,真值未知", "no simulated time: the truth of an instant is not known")
READ_ONLY_BY_CONSTRUCTION = (
    "由程序构造保证(程序中只有读功能),现场无法从本机证明",
    "by construction: the program has reading functions only; not provable from here on real devices",
)


class EndChecks:
    """Makes the outcome of each check whose phase was run."""

    def __init__(self, plan: Plan, facts: PhaseFacts, comparison: RecordComparison, in_lake: Callable[[], int]) -> None:
        self.plan, self.facts, self.comparison, self.in_lake = plan, facts, comparison, in_lake
        self.limits = plan.settings.limits

    def outcomes(self) -> Iterator[CheckOutcome]:
        """The outcomes in the order of the checks' codes."""
        yield from self.cycle()
        yield self.changes()
        yield self.silence()
        yield self.network_cut()
        yield self.catch_up()
        yield self.broker_restart()
        yield self.agent_kill()
        yield self.stored_once()
        yield self.center()
        yield check_capacity(self.plan, self.facts.capacity)
        yield self.read_only()

    def _look(self, name: str, silenced: tuple[str, ...] = ()) -> PhaseResult | None:
        stretch = self.facts.stretches.get(name)
        if stretch is None:
            return None
        noticed_ms = self.facts.noticed_ms if silenced else 0
        return self.comparison.look(stretch.from_ms, stretch.to_ms, silenced=silenced, noticed_ms=noticed_ms)

    def cycle(self) -> Iterator[CheckOutcome]:
        """Check the undisturbed phase: one record per tick and unit, with the right values."""
        found = self._look("cycle") or PhaseResult()
        limits = self.limits
        share = Decimal(found.usable) / found.values if found.values else Decimal(0)
        good = len(found.missing) + found.in_gaps <= limits.missing_records and share >= Decimal(limits.usable_ratio)
        yield judged(
            "cycle", good=good and found.held > 0,
            measured=both(
                f"记录 {found.held}/{found.wanted},可用值 {found.usable}/{found.values}",
                f"records {found.held} of {found.wanted}, usable values {found.usable} of {found.values}",
            ),
            limit=both(
                f"缺 ≤ {limits.missing_records},可用率 ≥ {limits.usable_ratio}",
                f"missing at most {limits.missing_records}, usable at least {limits.usable_ratio}",
            ),
            evidence=some(found.missing + found.unusable),
        )  # fmt: skip
        if self.comparison.truth is None:
            yield not_applicable("values", *_NO_TRUTH)
            return
        yield judged(
            "values", good=found.compared > 0 and not found.wrong,
            measured=both(f"比较 {found.compared},不符 {len(found.wrong)}",
                          f"compared {found.compared}, different {len(found.wrong)}"),
            limit=both(f"偏差 ≤ 一个码值 + {limits.value_tolerance_ratio}",
                       f"off by at most one step of the register + {limits.value_tolerance_ratio}"),
            evidence=some(found.wrong),
        )  # fmt: skip

    def changes(self) -> CheckOutcome:
        """Check that status changes of the undisturbed phase were recorded."""
        stretch = self.facts.stretches.get("cycle")
        if self.comparison.truth is None or stretch is None:
            return not_applicable("changes", *_NO_TRUTH)
        wanted, wrong = self.comparison.changes(stretch.from_ms, stretch.to_ms, self.limits.change_time_ms)
        if not wanted:
            return not_applicable(
                "changes", "没有带时标的遥信,或周期数太少", "no status with a device's time tag, or too few cycles"
            )
        return judged(
            "changes", good=not wrong,
            measured=both(f"变位 {wanted},缺失或不符 {len(wrong)}",
                          f"changes {wanted}, absent or different {len(wrong)}"),
            limit=both(f"全部,时标偏差 ≤ {self.limits.change_time_ms} ms",
                       f"all, time within {self.limits.change_time_ms} ms"),
            evidence=some(wrong),
        )  # fmt: skip

    def silence(self) -> CheckOutcome:
        """Check that a silenced device gives no usable value, that all others do, and that it recovers."""
        found = self._look("silence", self.facts.silenced)
        if found is None:
            if not self.plan.is_simulated:
                return not_applicable("silence", "现场装置不能人为断开", "devices of a site are not silenced from here")
            return not_applicable("silence", "没有可以断开而看得出的装置", "no device whose loss would show")
        words = ", ".join(f"{name} {count}" for name, count in sorted(found.silenced.items()))
        others_good = not found.missing and not found.in_gaps and not found.unusable and not found.wrong
        silent = sum(found.silenced.values()) > 0 and not found.silent_usable
        back = both("已恢复", "answers again") if self.facts.recovered else both("未恢复", "did not come back")
        return judged(
            "silence", good=others_good and silent and self.facts.recovered,
            measured=both(
                f"{'、'.join(self.facts.silenced)}:{words};其余可用 {found.usable}/{found.values}",
                f"{', '.join(self.facts.silenced)}: {words}; others usable {found.usable} of {found.values}; {back}",
            ),
            limit=both("该装置无可用值,其余全部可用,之后恢复",
                       "no usable value of it, all of the others, and it comes back"),
            evidence=some(found.silent_usable + found.missing + found.unusable + found.wrong),
        )  # fmt: skip

    def network_cut(self) -> CheckOutcome:
        """Check that nothing is missing after a network cut, and that the cut took effect."""
        return self._outage("network_cut", self.facts.swallowed_bytes)

    def broker_restart(self) -> CheckOutcome:
        """Check that nothing is missing after the broker was killed."""
        return self._outage("broker_restart", None)

    def _outage(self, name: str, swallowed_bytes: int | None) -> CheckOutcome:
        found = self._look(name)
        if found is None:
            return not_applicable(name, "未安排", "not played")
        backlog = self.facts.backlog.get(name, 0)
        evidence = [both("中断期间没有积压:请延长中断", "nothing waited during the outage: make it longer")] * (
            not backlog
        )
        if swallowed_bytes is not None:
            evidence.append(both(f"吞掉 {swallowed_bytes} 字节", f"{swallowed_bytes} bytes swallowed"))
        return judged(
            name, good=backlog > 0 and not found.missing and not found.in_gaps and not found.wrong,
            measured=both(f"积压 {backlog} 批;记录 {found.held}/{found.wanted}",
                          f"{backlog} batches waited; records {found.held} of {found.wanted}"),
            limit=both("一条不缺", "none missing"), evidence=[*evidence, *some(found.missing + found.wrong)],
        )  # fmt: skip

    def catch_up(self) -> CheckOutcome:
        """Check the real time in which the backlog of the cut was sent."""
        took_s = self.facts.catch_up_s.get("network_cut")
        if took_s is None:
            return not_applicable("catch_up", "未安排通信中断", "no cut was played")
        backlog = self.facts.backlog.get("network_cut", 0)
        return judged(
            "catch_up", good=took_s <= self.limits.catch_up_s,
            measured=both(f"{took_s:.1f} s,{backlog} 批", f"{took_s:.1f} s for {backlog} batches"),
            limit=f"≤ {self.limits.catch_up_s} s",
        )  # fmt: skip

    def agent_kill(self) -> CheckOutcome:
        """Check that around kills of the agent each tick has one record or lies in a gap record."""
        found = self._look("agent_kill")
        if found is None:
            return not_applicable("agent_kill", "未安排", "not played")
        return judged(
            "agent_kill", good=found.held > 0 and not found.missing and not found.doubled and not found.wrong,
            measured=both(
                f"强制结束 {self.facts.kills} 次;存储 {found.held},缺口 {found.in_gaps},丢失 {len(found.missing)}",
                f"killed {self.facts.kills} times; stored {found.held}, in gap records {found.in_gaps}, "
                f"lost {len(found.missing)}",
            ),
            limit=both("丢失 0,重复 0", "lost 0, doubled 0"),
            evidence=some(found.missing + found.doubled + found.wrong),
        )  # fmt: skip

    def stored_once(self) -> CheckOutcome:
        """Check that from the first tick to the last no record is stored twice."""
        comparison, end_ms = self.comparison, self.facts.end_ms
        found = comparison.look(comparison.first_ms - 1, end_ms, silenced=self.facts.silenced)
        places = comparison.stored.by_place.items()
        doubled = [f"{unit} {format_time(at_ms)} × {len(rows)}" for (unit, at_ms), rows in places if len(rows) > 1]
        made_up = comparison.made_up(end_ms)
        return judged(
            "stored_once", good=found.held > 0 and not (found.missing or doubled or made_up),
            measured=both(
                f"应有 {found.wanted},存储 {found.held},缺口 {found.in_gaps},丢失 {len(found.missing)},"
                f"重复 {len(doubled)},虚增 {len(made_up)}",
                f"due {found.wanted}, stored {found.held}, in gaps {found.in_gaps}, lost {len(found.missing)}, "
                f"doubled {len(doubled)}, made up {len(made_up)}",
            ),
            limit=both("丢失、重复、虚增均为 0", "lost, doubled, made up: 0"),
            evidence=some(found.missing + doubled + made_up),
        )  # fmt: skip

    def center(self) -> CheckOutcome:
        """Check that the center refused nothing, and that the day files hold all records of the journal."""
        stored = self.comparison.stored
        in_lake, places = self.in_lake(), len(stored.by_place)
        refused = self.facts.refused + sum(stored.quarantined.values())
        per_record = stored.size_bytes / max(len(stored.rows), 1)
        return judged(
            "center", good=places > 0 and in_lake == places and not refused,
            measured=both(
                f"{stored.batches} 批(重发 {stored.repeats}),{places} 条,日文件 {in_lake} 条,拒收 {refused},"
                f"每条 {per_record:.1f} 字节",
                f"{stored.batches} batches ({stored.repeats} repeated), {places} records, {in_lake} in day files, "
                f"refused {refused}, {per_record:.1f} bytes a record",
            ),
            limit=both("日文件 = 日志,拒收 0", "day files = journal, refused 0"),
            evidence=[f"{code}: {count}" for code, count in stored.quarantined.items()],
        )  # fmt: skip

    def read_only(self) -> CheckOutcome:
        """Check by the simulators' own log that no write request reached them."""
        if not self.plan.is_simulated:
            return not_applicable("read_only", *READ_ONLY_BY_CONSTRUCTION)
        requests = {str(k): int(v) for k, v in self.facts.simulators.get("requests", {}).items()}
        violations = [str(line) for line in self.facts.simulators.get("violations", ())]
        return judged(
            "read_only", good=sum(requests.values()) > 0 and not violations,
            measured=both(f"请求 {sum(requests.values())},非读 {len(violations)}",
                          f"requests {sum(requests.values())}, not reading {len(violations)}"),
            limit=both("非读 0", "not reading 0"),
            evidence=(*some(violations), ", ".join(f"{name} {count}" for name, count in requests.items())),
        )  # fmt: skip


def check_capacity(plan: Plan, capacity: Capacity | None) -> CheckOutcome:
    """Check how long an empty buffer lasts at the data rate of this configuration."""
    if capacity is None:
        return judged("capacity", good=False, measured="–", limit="", evidence=("no buffer",))
    wanted = plan.settings.limits.buffer_hours
    return judged(
        "capacity", good=capacity.hours_in_all >= wanted,
        measured=both(
            f"{capacity.hours_in_all:.0f} h({capacity.bytes_per_record:.1f} 字节/条,"
            f"{'实测' if capacity.is_measured else '典型值'})",
            f"{capacity.hours_in_all:.0f} h ({capacity.bytes_per_record:.1f} bytes a record, "
            f"{'measured' if capacity.is_measured else 'usual'})",
        ),
        limit=f"≥ {wanted} h",
        evidence=(f"buffer.max_bytes {capacity.max_bytes}, {capacity.records_per_hour:.0f} records/h",),
    )  # fmt: skip
