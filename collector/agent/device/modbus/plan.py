# SPDX-License-Identifier: GPL-3.0-or-later
"""The read planner: groups the points of a device into few requests. Pure.

Promises: every point lies whole in exactly one request; no request is longer than the device allows; at most `max_gap`
unneeded registers in a row are read along (0 by default: a device may answer a hole with an error, or worse).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from collector.points import Point

# How requests and replies are framed, whatever carries them.
Framing = Literal["tcp", "udp", "rtu", "ascii"]
BIT_AREAS = frozenset({"coil", "discrete"})


@dataclass(frozen=True, slots=True)
class Block:
    """One request: `count` registers (or coils) of an area from `address`, and the points that lie in it."""

    area: str
    address: int
    count: int
    points: tuple[Point, ...]

    @property
    def request_bytes(self) -> int:
        """Bytes of request and reply together in RTU framing; TCP framing has 8 more."""
        data = (self.count + 7) // 8 if self.area in BIT_AREAS else 2 * self.count
        return 8 + 5 + data


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits of a device: most registers and coils per request, longest gap read along, only one point per request."""

    max_registers: int = 125
    max_coils: int = 2000
    max_gap: int = 0
    one_point_per_request: bool = False


def plan_reads(points: Iterable[Point], limits: RequestLimits) -> tuple[Block, ...]:
    """Plan the requests for `points`, ordered by area and address.

    Raises:
        ValueError: a point is wider than the longest request allowed.
    """
    blocks: list[Block] = []
    pending: list[Point] = []
    start = end = 0
    for point in sorted(points, key=lambda p: (p.area, p.address, p.registers)):
        limit = limits.max_coils if point.area in BIT_AREAS else limits.max_registers
        if point.registers > limit:
            raise ValueError(f"{point.name} fills {point.registers} registers, a request may hold {limit}")
        last = point.address + point.registers
        joins = (
            bool(pending)
            and not limits.one_point_per_request
            and point.area == pending[0].area
            and point.address <= end + limits.max_gap
            and max(end, last) - start <= limit
        )
        if not joins:
            if pending:
                blocks.append(Block(pending[0].area, start, end - start, tuple(pending)))
            pending, start, end = [], point.address, point.address
        pending.append(point)
        end = max(end, last)
    if pending:
        blocks.append(Block(pending[0].area, start, end - start, tuple(pending)))
    return tuple(blocks)
