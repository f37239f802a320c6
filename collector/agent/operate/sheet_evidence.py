# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence from a live device for a table proposed from its maker's sheet: base of the addresses, byte order.

The device is read once per base; each value is decoded in every order. The reading decides where exactly one
combination gives values that are possible in a power plant; the values are reported in any case. Only reading functions
are used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from collector.agent.device.factory import build_devices
from collector.agent.device.registers import decode_value, scaling_of
from collector.agent.operate.read_once import REGISTER_AREAS, read_device
from collector.base.clock import SystemClock
from collector.base.config import load_settings
from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.model.quantity import BY_NAME, from_scaled
from collector.points import ORDERS, Point
from collector.points.agent_config import AgentConfig, AgentSettings
from collector.points.convert.proposal import TableProposal

# A real value is neither denormal nor astronomically large.
_LEAST: Final = 1e-6
_GREATEST: Final = 1e12
_NOMINAL_HZ: Final = (45_000_000, 55_000_000)  # stored integers


def settle_by_reading(proposal: TableProposal, points: tuple[Point, ...], agent: Path, device: str) -> None:
    """Read the proposed points of a device of agent.toml, report the values, and settle the decisions they answer.

    Raises:
        ConfigError: agent.toml can't be read, or has no such device.
    """
    settings = load_settings(agent, AgentSettings)
    chosen = [d for d in settings.device if d.id == device]
    if not chosen:
        known = ", ".join(d.id for d in settings.device)
        raise ConfigError([Problem(str(agent), 0, "device", tr("no [[device]] has id {device_id!r}{hint}",
                                                               device_id=device, hint=f" ({known})"))])  # fmt: skip
    config = AgentConfig(settings.model_copy(update={"device": chosen}), {}, agent.parent)
    found: dict[tuple[int, str], tuple[int, list[str]]] = {}
    for shift in (0, 1) if "base" in proposal.decisions else (0,):
        moved = tuple(replace(p, address=p.address - shift) for p in points if p.address >= shift)
        raws = _read(config, device, moved)
        for order in ORDERS if "order" in proposal.decisions else ("",):
            found[shift, order] = _judge(moved, raws, order)
    best = max(score for score, _ in found.values())
    winners = [key for key, (score, _) in found.items() if score == best]
    (shift, order), (_, said) = winners[0], found[winners[0]]
    for line in said:
        proposal.about.append(tr("read: {line}", line=line))
    if len(winners) == 1 and best > 0:
        _settle(proposal, shift, order)
    else:
        proposal.about.append(tr("the reading does not decide: {count} ways are as good", count=len(winners)))


def _read(config: AgentConfig, device: str, points: tuple[Point, ...]) -> Mapping[str, bytes]:
    async def read() -> dict[str, bytes]:
        clock = SystemClock()
        (built,) = build_devices(replace(config, points={device: points}), clock)
        return {row.name: raw for row, _, raw in await read_device(built, clock) if row.raw}

    return asyncio.run(read())


def _judge(points: tuple[Point, ...], raws: Mapping[str, bytes], order: str) -> tuple[int, list[str]]:
    """The score of one decoding, and its values in words.

    The score is the number of values that are possible in a power plant, a frequency counting thrice, less the
    impossible ones.
    """
    score, said = 0, []
    for point in points:
        raw = raws.get(point.name)
        if raw is None or point.type == "bit" or point.area not in REGISTER_AREAS:
            continue
        value = decode_value(raw, point.type, order or point.order, point.bit, point.bit_count)
        stored, quality = scaling_of(point).judge(value)
        odd = isinstance(value, float) and value != 0 and not _LEAST < abs(value) < _GREATEST
        if point.quantity == "frequency_hz":
            score += 3 if stored is not None and _NOMINAL_HZ[0] < stored < _NOMINAL_HZ[1] else -3
        elif stored != 0:
            score += 1 if stored is not None and not odd else -1
        quantity = BY_NAME[point.quantity]
        shown = (
            f"{from_scaled(stored, quantity.scale):f} {quantity.unit}" if stored is not None else quality.name.lower()
        )
        said.append(f"{point.name} {point.address} {raw.hex(' ')} {order} = {shown}".replace("  ", " "))
    return score, said


def _settle(proposal: TableProposal, shift: int, order: str) -> None:
    for row in proposal.rows:
        if "base" in proposal.decisions:
            row.cells["address"] = str(int(row.cells["address"]) - shift)
            row.why.append(tr("counted from {base}: the values read are believable so only", base=shift))
        if "order" in proposal.decisions and row.cells.get("order"):
            row.cells["order"] = order
            row.why.append(tr("order {order}: the values read are believable so only", order=order))
    for key in ("base", "order"):
        proposal.decisions.pop(key, None)
