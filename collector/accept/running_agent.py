# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of an agent that runs already: its status is read twice; nothing is started, cut or killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from collector.accept import before_start
from collector.accept.after_end import READ_ONLY_BY_CONSTRUCTION, check_capacity
from collector.accept.outcome import CHECKS, CheckOutcome, both, judged, not_applicable, some
from collector.accept.plan import Plan
from collector.agent.buffer.capacity import compute_capacity
from collector.agent.operate.status_server import ask_agent
from collector.agent.paths import socket_path
from collector.base.errors import LinkError
from collector.base.text import tr
from collector.points.agent_config import AgentConfig

_MARGIN: Final = 0.9  # smallest share of the expected reads of a device
_ACK_SLACK_S: Final = 120.0
_CAN: Final = frozenset({"configuration", "points_read", "read_time", "clock", "cycle", "center", "capacity"})


def watch_agent(plan: Plan, config: AgentConfig, say: Callable[[str, str], None], keep: Callable[..., None]) -> None:
    """Run every check that is possible on a running agent.

    Raises:
        LinkError: no agent of this configuration runs here.
    """
    first = _page(config, "/status")
    cycles, period_s = plan.settings.steps.cycles, config.settings.gateway.record_period_s
    say(f"观察 {cycles} 个周期", f"the running agent is watched for {cycles} cycles")
    begun_s = time.monotonic()
    time.sleep(cycles * period_s)
    took_s = time.monotonic() - begun_s
    last = _page(config, "/status")
    points: list[dict[str, Any]] = _page(config, "/points")
    keep(_outcomes(plan, config, first, last, points, took_s), took_s)


def _page(config: AgentConfig, name: str) -> Any:
    path = socket_path(config)
    body = ask_agent(path, name)
    if body is None:
        raise LinkError(
            tr("no agent of this configuration runs here; start it, or set start = true"), subject=str(path)
        )
    return msgspec.json.decode(body)


def _outcomes(
    plan: Plan, config: AgentConfig, first: Mapping[str, Any], last: Mapping[str, Any],
    points: list[dict[str, Any]], took_s: float,
) -> Iterator[CheckOutcome]:  # fmt: skip
    bad = [f"{p['device']} {p['point']}: {p['quality']}" for p in points if p["quality"] not in before_start.USABLE]
    good = len(points) - len(bad)
    yield judged(
        "points_read", good=bool(points) and not bad,
        measured=both(f"可用 {good}/{len(points)} 点(运行中的采集进程)",
                      f"usable {good} of {len(points)}, of the running agent"),
        limit=both("全部", "all"), evidence=some(bad),
    )  # fmt: skip
    read_s = {d["device"]: d["last_read_s"] for d in last["devices"] if d.get("last_read_s") is not None}
    yield before_start.check_read_time(plan, config, read_s)
    yield before_start.check_clock(plan, config, last)
    yield _cycle(plan, config, first, last, took_s)
    yield _center(config, last)
    yield check_capacity(plan, compute_capacity(config))
    for check in CHECKS.values():
        if check.name == "read_only":
            yield not_applicable("read_only", *READ_ONLY_BY_CONSTRUCTION)
        elif check.name not in _CAN:
            yield not_applicable(
                check.name, "采集进程已在运行,不对其施加故障", "the agent runs already; nothing is broken on purpose"
            )


def _cycle(
    plan: Plan, config: AgentConfig, first: Mapping[str, Any], last: Mapping[str, Any], took_s: float
) -> CheckOutcome:
    """Check ticks written and missed, and the number of reads of each device."""
    written = last["ticks"]["written"] - first["ticks"]["written"]
    missed = last["ticks"]["missed"] - first["ticks"]["missed"]
    reads = {d["device"]: d["reads"] for d in first["devices"]}
    base_s = config.settings.gateway.record_period_s
    late = []
    for device in config.settings.device:
        if device.is_telecontrol:
            continue  # the device reports spontaneously
        due = int(took_s / (device.period_s or base_s) * _MARGIN)
        had = next((d["reads"] for d in last["devices"] if d["device"] == device.id), 0) - reads.get(device.id, 0)
        if had < due:
            late.append(f"{device.id}: {had} reads, {due} were due")
    wanted = plan.settings.steps.cycles
    return judged(
        "cycle", good=not late and missed <= plan.settings.limits.missing_records and written >= wanted * _MARGIN,
        measured=both(f"{took_s:.0f} s 内周期 {written},缺 {missed}",
                      f"{written} ticks in {took_s:.0f} s, {missed} missed"),
        limit=both(f"缺 ≤ {plan.settings.limits.missing_records},各装置按周期读取",
                   f"missed at most {plan.settings.limits.missing_records}, each device read in its period"),
        evidence=some(late),
    )  # fmt: skip


def _center(config: AgentConfig, last: Mapping[str, Any]) -> CheckOutcome:
    """Check the connection to the center, by the center's own acknowledgements."""
    uplink, buffer = last["uplink"], last["buffer"]
    limit_s = config.settings.buffer.batch_max_age_s + config.settings.uplink.ack_timeout_s + _ACK_SLACK_S
    age_s = uplink["last_ack_age_s"]
    good = uplink["connected"] and age_s is not None and age_s <= limit_s and not buffer["refused"]
    age = "–" if age_s is None else f"{age_s:.0f} s"
    return judged(
        "center", good=good and not uplink["unrecognised"],
        measured=both(f"主站最近确认 {age} 前,待确认 {buffer['pending']} 批,拒收 {buffer['refused']} 批",
                      f"last acknowledged {age} ago, {buffer['pending']} batches waiting, {buffer['refused']} refused"),
        limit=both(f"≤ {limit_s:.0f} s,拒收 0", f"at most {limit_s:.0f} s, refused 0"),
        evidence=[uplink["last_error"]] if uplink["last_error"] else [],
    )  # fmt: skip
