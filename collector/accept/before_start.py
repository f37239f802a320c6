# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks before the agent runs: configuration, one reading of every point, an address that does not exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from collector.accept.layout import toml_text
from collector.accept.outcome import CheckOutcome, both, judged, not_applicable, some
from collector.accept.plan import Plan
from collector.accept.trial_plant import Stand
from collector.accept.truth import TrueSource, sources_of, value_at
from collector.agent.operate.config_check import DevicePlan, compute_plan, find_problems
from collector.base.config import read_toml
from collector.base.errors import ConfigError
from collector.model.quantity import BY_NAME, QUANTITIES, QuantityKind, to_scaled
from collector.points.agent_config import AgentConfig, DeviceConfig, load_agent
from collector.points.point import cells_of

USABLE: Final = frozenset({"good", "substituted", "late_tag"})
_BEYOND: Final = 997  # registers beyond the last one of the table: no device has registers so far beyond it


def check_configuration(plan: Plan) -> tuple[CheckOutcome, AgentConfig | None]:
    """Check the files under test in their place; the configuration is None where they do not load."""
    try:
        config = load_agent(plan.agent_file)
        problems = [str(problem) for problem in find_problems(config, str(plan.agent_file))]
    except ConfigError as error:
        config, problems = None, [str(problem) for problem in error.problems]
    points = sum(len(rows) for rows in config.points.values()) if config else 0
    devices = len(config.settings.device) if config else 0
    measured = both(
        f"装置 {devices},测点 {points},问题 {len(problems)}",
        f"devices {devices}, points {points}, problems {len(problems)}",
    )
    limit = both("问题 0", "problems 0")
    return judged("configuration", good=not problems, measured=measured, limit=limit, evidence=some(problems)), config


def check_points_read(config: AgentConfig, rows: Sequence[Mapping[str, Any]]) -> CheckOutcome:
    """Check `rows` of `agent read`: one row for each point, each with a usable quality."""
    points = sum(len(points) for points in config.points.values())
    bad = [
        f"{r['device']} {r['name']}: {r['quality']} {r.get('error', '')}" for r in rows if r["quality"] not in USABLE
    ]
    good = len(rows) - len(bad)
    return judged(
        "points_read", good=good == points, measured=both(f"可用 {good}/{points} 点", f"usable {good} of {points}"),
        limit=both("全部", "all"), evidence=some(bad) or ("logs/read.log",),
    )  # fmt: skip


def check_points_true(stand: Stand, rows: Sequence[Mapping[str, Any]]) -> CheckOutcome:
    """Compare the same rows with the simulated plant's values; simulated time stands still while they are read."""
    assert stand.layout.scenario_file is not None
    places: dict[tuple[str, str], tuple[tuple[str, str], TrueSource]] = {
        (source.device, source.point): (key, source)
        for key, sources in sources_of(stand.config).items()
        for source in sources
    }
    known = value_at(stand.layout.scenario_file, stand.now_ms(), list({key for key, _ in places.values()}))
    compared, wrong = 0, []
    for row in rows:
        key, source = places.get((row["device"], row["name"]), (("", ""), None))
        truth = known.get(key)
        if source is None or truth is None or row["quality"] not in USABLE:
            continue
        compared += 1
        scale = BY_NAME[key[1]].scale
        value = to_scaled(Decimal(row["value"]), scale)
        if abs(value - truth) > source.tolerance(truth) + stand.plan.tolerance(truth):
            wrong.append(f"{row['device']} {row['name']}: {row['value']}, truth {Decimal(truth) / scale}")
    ratio = stand.plan.settings.limits.value_tolerance_ratio
    return judged(
        "points_true", good=compared > 0 and not wrong,
        measured=both(f"比较 {compared},不符 {len(wrong)}", f"compared {compared}, different {len(wrong)}"),
        limit=both(f"偏差 ≤ 一个码值 + {ratio}", f"off by at most one step of the register + {ratio}"),
        evidence=some(wrong),
    )  # fmt: skip


def check_illegal_address(stand: Stand) -> CheckOutcome:
    """Check that an extra row with an illegal Modbus address is refused while all other rows are read."""
    device = next((d for d in stand.config.settings.device if _can_probe(stand.config, d)), None)
    if device is None:
        return not_applicable(
            "illegal_address", "没有可用于试验的 Modbus 装置", "no Modbus device with registers to try it on"
        )
    config = _probe_config(stand, device)
    rows = stand.read_once(str(config))
    qualities = Counter(row["quality"] for row in rows if row["name"] != "不存在")
    refused = [row["quality"] for row in rows if row["name"] == "不存在"]
    others = len(stand.config.points[device.id])
    read = sum(count for quality, count in qualities.items() if quality in USABLE)
    return judged(
        "illegal_address", good=refused == ["refused"] and read == others,
        measured=both(
            f"{device.id}:该点 {', '.join(refused)},其余可用 {read}/{others}",
            f"{device.id}: that point {', '.join(refused)}, others usable {read} of {others}",
        ),
        limit=both("该点 refused,其余全部可用", "that point refused, all others usable"),
        evidence=(config.name, "logs/read.log"),
    )  # fmt: skip


def _can_probe(config: AgentConfig, device: DeviceConfig) -> bool:
    return device.protocol.startswith("modbus") and any(
        p.area in ("holding", "input") for p in config.points[device.id]
    )


def _probe_config(stand: Stand, device: DeviceConfig) -> Any:
    """An agent.toml with only this device, its table copied with one row beyond the end."""
    points = stand.config.points[device.id]
    area = next(p.area for p in points if p.area in ("holding", "input"))
    beyond = max(p.address + p.registers for p in points if p.area == area) + _BEYOND
    used = {p.quantity for p in points}
    quantity = next(q for q in QUANTITIES if q.name not in used and q.kind is QuantityKind.ANALOG)
    rows = [dict(cells_of(point, device.protocol), quantity=point.quantity) for point in points]
    for row in rows:
        row["unit"] = next(p.unit for p in points if p.name == row["name"]) or device.unit
    extra = dict.fromkeys(rows[0], "")
    extra |= {"name": "不存在", "quantity": quantity.name, "unit": device.unit or rows[0]["unit"], "area": area,
              "type": "uint16", "address": str(beyond), "raw_unit": quantity.unit}  # fmt: skip
    folder = stand.layout.agent_file.parent
    table = folder / "illegal_address.csv"
    lines = [",".join(rows[0]), *(",".join(f'"{cell}"' for cell in row.values()) for row in (*rows, extra))]
    table.write_text("\n".join(lines) + "\n", "utf-8")
    data = read_toml(stand.layout.agent_file)
    data["device"] = [dict(row, points=str(table)) for row in data["device"] if row["id"] == device.id]
    path = folder / "illegal_address.toml"
    path.write_text(toml_text(data), "utf-8")
    return path


def check_read_time(plan: Plan, config: AgentConfig, took_s: Mapping[str, float] | None) -> CheckOutcome:
    """Compare reading time and period: measured or, in simulated time, computed from the read plan."""
    share = Decimal(plan.settings.limits.read_time_ratio)
    plans: list[DevicePlan] = compute_plan(config)
    periods = {each.device: each.period_s for each in plans}
    times = dict(took_s) if took_s is not None else {each.device: each.cycle_s for each in plans}
    slow = [f"{name}: {took:.3f} s / {periods[name]:g} s" for name, took in times.items()
            if Decimal(took) > share * Decimal(periods[name])]  # fmt: skip
    worst = max(times, key=lambda name: times[name] / periods[name], default="–")
    how = ("实测", "measured") if took_s is not None else ("读取计划计算", "computed from the read plan")
    shown = f"{worst} {times.get(worst, 0):.3f} s / {periods.get(worst, 0):g} s"
    return judged(
        "read_time", good=bool(times) and not slow,
        measured=both(f"{how[0]},最长 {shown}", f"{how[1]}, slowest {shown}"),
        limit=both(f"≤ 周期 × {share}", f"at most {share} of the period"), evidence=some(slow),
    )  # fmt: skip


def check_clock(plan: Plan, config: AgentConfig, health: Mapping[str, Any]) -> CheckOutcome:
    """Check the gateway's clock and the clocks of the devices."""
    limits = plan.settings.limits
    # In simulated time an arrival between two instants is stamped with the later one.
    stride_ms = config.settings.gateway.record_period_ms if plan.is_driven else 0
    limit_ms = limits.device_clock_offset_ms + stride_ms
    offsets = {d["device"]: d["clock_offset_ms"] for d in health["devices"] if d.get("clock_offset_ms") is not None}
    off = [f"{name}: {ms} ms" for name, ms in offsets.items() if abs(ms) > limit_ms]
    synchronised = health["clock"] == "synchronised"
    worst = max(map(abs, offsets.values()), default=0)
    return judged(
        "clock", good=not off and (synchronised or not limits.clock_synchronised),
        measured=both(
            f"网关 {health['clock']},{len(offsets)} 台装置,最大偏差 {worst} ms",
            f"gateway {health['clock']}, {len(offsets)} devices, at most {worst} ms off",
        ),
        limit=both(
            f"{'已同步,' if limits.clock_synchronised else ''}偏差 ≤ {limit_ms} ms",
            f"{'synchronised, ' if limits.clock_synchronised else ''}off at most {limit_ms} ms",
        ),
        evidence=some(off),
    )  # fmt: skip
