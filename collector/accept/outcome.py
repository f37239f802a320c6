# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks by their codes, and the outcome of a check. A code is never used for another check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class CheckVerdict(StrEnum):
    """The verdict on a check."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"
    NOT_DONE = "not_done"  # the run was broken off before it

    @property
    def words(self) -> str:
        """The verdict in words, Chinese first."""
        return _WORDS[self.value]


_WORDS: Final = {
    "pass": "合格 passed", "fail": "不合格 failed", "not_applicable": "不适用 not applicable",
    "not_done": "未做 not done",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its code and name, its title and description in both languages."""

    code: str
    name: str
    zh: str
    en: str
    done_zh: str
    done_en: str


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """The outcome of a check. `measured`, `limit`, `reason`: texts for the report; `evidence`: lines and file names."""

    check: Check
    verdict: CheckVerdict
    measured: str = ""
    limit: str = ""
    reason: str = ""
    duration_s: float = 0.0
    evidence: tuple[str, ...] = ()


def both(zh: str, en: str) -> str:
    """A text in both languages, Chinese first."""
    return f"{zh} · {en}"


def some(things: Sequence[str], most: int = 10) -> tuple[str, ...]:
    """The first `most` of many texts, and the number of the others."""
    rest = len(things) - most
    return (*things[:most], *((f"… +{rest}",) if rest > 0 else ()))


_CHECKS: Final = (
    Check("A01", "configuration", "配置与点表检查", "Configuration and point tables",
          "静态检查配置与全部点表。", "agent.toml and every point table checked without touching a device."),
    Check("A02", "points_read", "逐点读取", "Every point read once",
          "逐点读取一次,查看品质。", "Every point read once, its quality looked at."),
    Check("A03", "points_true", "读数与真值一致", "Readings equal the truth",
          "将逐点读数与模拟装置的真值比较。", "The same readings compared with what the simulated plant knew."),
    Check("A04", "illegal_address", "非法地址隔离", "An illegal address stays alone",
          "在一台 Modbus 装置的点表中加入一个不存在的地址并读取。",
          "One address that does not exist added to a Modbus device's table, and all read."),
    Check("A05", "read_time", "读取时间小于周期", "Reading fits its period",
          "比较每台装置一次读取所需时间与其周期。", "What one reading of each device takes, beside its period."),
    Check("A06", "clock", "时钟", "Clocks",
          "查看网关时钟状态及各装置时钟偏差。", "The gateway's clock state and how far the devices' clocks are off."),
    Check("A07", "cycle", "记录周期保持", "Record period held",
          "连续若干周期不加扰动,统计记录与可用值。", "Cycles without disturbance; records and usable values counted."),
    Check("A08", "values", "存储值与真值一致", "Stored values equal the truth",
          "主站所存各值与真值逐一比较。", "Every value the center stored compared with the truth of its instant."),
    Check("A09", "changes", "变位时标与顺序", "Status changes, times and order",
          "主站所存变位与真值比较:时标、值、顺序。", "Changes at the center beside the truth: time, value, order."),
    Check("A10", "silence", "单台装置失联", "One device silent",
          "使一台装置不应答,随后恢复。", "One device made silent, then let answer again."),
    Check("A11", "network_cut", "通信中断", "Network cut",
          "切断网关与消息代理之间的网络,随后恢复。", "The line between agent and broker cut, then mended."),
    Check("A12", "catch_up", "补传时间", "Catching up",
          "从网络恢复到积压全部被主站确认的时间。", "From the line mended until the center has acknowledged all."),
    Check("A13", "broker_restart", "消息代理重启", "Broker restarted",
          "强制结束消息代理,一段时间后重新启动。", "The broker killed, and started again after a while."),
    Check("A14", "agent_kill", "采集进程被强制结束", "Agent killed",
          "多次以 SIGKILL 结束采集进程并重新启动。", "The agent killed with SIGKILL and started again, repeatedly."),
    Check("A15", "stored_once", "不丢、不重、不虚", "Nothing lost, doubled or made up",
          "全程逐条核对:每条记录恰好一次,或在缺口记录之内。",
          "Over the whole run: each record exactly once at the center, or inside a gap record."),
    Check("A16", "center", "主站接收", "The center took everything",
          "查看拒收、隔离与日文件。", "Refusals, quarantine, and the day files against the journal."),
    Check("A17", "capacity", "缓存容量", "Buffer capacity",
          "按本次实测记录大小计算断网可持续时间。", "How long an outage may last, by the measured size of a record."),
    Check("A18", "read_only", "只读", "Reading only",
          "核对装置侧收到的每一条请求。", "Every request that reached a device looked at on the device's side."),
)  # fmt: skip
CHECKS: Final[dict[str, Check]] = {check.code: check for check in _CHECKS}
BY_NAME: Final[dict[str, Check]] = {check.name: check for check in _CHECKS}


def judged(name: str, *, good: bool, measured: str, limit: str, evidence: Sequence[str] = ()) -> CheckOutcome:
    """The outcome of a check that was done."""
    verdict = CheckVerdict.PASS if good else CheckVerdict.FAIL
    return CheckOutcome(BY_NAME[name], verdict, measured, limit, evidence=tuple(evidence))


def not_applicable(name: str, zh: str, en: str) -> CheckOutcome:
    """The outcome of a check that does not apply, with the reason."""
    return CheckOutcome(BY_NAME[name], CheckVerdict.NOT_APPLICABLE, reason=both(zh, en))
