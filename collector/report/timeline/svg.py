# SPDX-License-Identifier: GPL-3.0-or-later
"""One day of a unit as inline SVG: a step curve of power over the hours, and strips of states and segments below.

No script and no external resource: shapes, texts and titles (shown on hovering). Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from typing import Final

from collector.model.interval import DAY_MS, HOUR_MS
from collector.report import words
from collector.report.timeline.drawing import Block, DrawnDay, Step
from collector.settlement.statement import SEGMENT_VALUE_DIVISOR

WIDTH, LEFT, RIGHT = 1040, 118, 78
_PLOT: Final = WIDTH - LEFT - RIGHT
_HEIGHT: Final = 190
_STRIP, _GAP = 11, 3
COLOURS: Final[Mapping[str, str]] = {
    "counted": "#1f9d63",
    "unpaid": "#b9bec5",
    "missing": "#d64545",
    "excluded": "#8b6fc0",
    "own_fault": "#e08a2e",
    "outside": "#eef0f2",
}
_LIMIT_COLOURS: Final = {
    "P_N": "#444",
    "lower limit": "#0a6fb8",
    "gate": "#b8300a",
    "AGC upper": "#7a7a00",
    "AGC lower": "#7a7a00",
}
_LIMIT_WORDS: Final = {
    "P_N": "P_N",
    "lower limit": "基本调峰下限",
    "gate": "深度调峰门槛",
    "AGC upper": "AGC上限",
    "AGC lower": "AGC下限",
}
STATE_WORDS: Final = {
    "on_grid": "并网 on grid",
    "agc_in_service": "AGC投入 AGC",
    "avc_in_service": "AVC投入 AVC",
    "condenser": "调相 condenser",
    "spilling": "弃水 spilling",
    "order": "指令 orders",
    "reserve": "备用 reserve",
    "exclusion": "剔除 exclusions",
}


def day_svg(day: DrawnDay) -> str:
    """The drawing of a day."""
    strips = [*day.states, *day.rows]
    bottom = _HEIGHT + 18
    height = bottom + (len(strips) + 1) * (_STRIP + _GAP) + 6
    top_kw, low_kw = _range(day)

    def y(kw: int) -> float:
        return round(8 + (top_kw - kw) * (_HEIGHT - 12) / (top_kw - low_kw), 1)

    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{day.day}">']
    parts += _bands(day.valley, "valley", "低谷 valley hours")
    parts += _bands(day.peak, "peak", "高峰 peak hours")
    parts += _grid(y, top_kw, low_kw)
    parts += _limits(day, y)
    parts += _curve(day.plan, y, "plan")
    parts += _curve(day.power, y, "power")
    for index, name in enumerate(strips):
        at = bottom + index * (_STRIP + _GAP)
        parts.append(_label(at, STATE_WORDS[name]))
        if name in day.states:
            parts += _states(day.states[name], at)
        else:
            parts += [_block(a, b, at, "#6b8fb5", what) for a, b, what in day.rows[name]]
    parts += _segments(day, bottom + len(strips) * (_STRIP + _GAP))
    return "".join([*parts, "</svg>"])


def _range(day: DrawnDay) -> tuple[int, int]:
    """Highest and lowest kW to draw."""
    values = [kw for *_, kw in (*day.power, *day.plan)] + [kw for _, kw in day.limits]
    top, low = max([1000, *values]), min([0, *values])
    return top + (top - low) // 20, low


def _x(ms: int) -> float:
    return round(LEFT + ms * _PLOT / DAY_MS, 1)


def _bands(blocks: Iterable[Block], kind: str, title: str) -> Iterator[str]:
    for a, b, _ in blocks:
        width = round(_x(b) - _x(a), 1)
        yield f'<rect class="{kind}" x="{_x(a)}" y="4" width="{width}" height="{_HEIGHT - 4}">'
        yield f"<title>{title}</title></rect>"


def _grid(y: Callable[[int], float], top_kw: int, low_kw: int) -> Iterator[str]:
    for hour in range(0, 25, 2):
        at = _x(hour * HOUR_MS)
        yield f'<path class="grid" d="M{at} 4V{_HEIGHT}"/><text x="{at}" y="{_HEIGHT + 11}" class="h">{hour:02d}</text>'
    step = next((s for s in (10, 20, 50, 100, 200, 500, 1000, 2000) if (top_kw - low_kw) / 1000 / s <= 6), 5000)
    for mw in range(-(-low_kw // (step * 1000)) * step, top_kw // 1000 + 1, step):
        yield f'<path class="grid" d="M{LEFT} {y(mw * 1000)}H{WIDTH - RIGHT}"/>'
        yield f'<text x="{LEFT - 5}" y="{y(mw * 1000) + 3}" class="v">{mw}</text>'
    yield f'<text x="{LEFT - 48}" y="12" class="v">MW</text>'


def _limits(day: DrawnDay, y: Callable[[int], float]) -> Iterator[str]:
    taken: list[float] = []
    for name, kw in day.limits:
        at = y(kw)
        yield f'<path class="limit" stroke="{_LIMIT_COLOURS[name]}" d="M{LEFT} {at}H{WIDTH - RIGHT}"/>'
        text_at = at + 3
        while any(abs(text_at - other) < 9 for other in taken):  # move labels of close limits apart
            text_at += 9
        taken.append(text_at)
        text = _LIMIT_WORDS[name]
        yield f'<text x="{WIDTH - RIGHT + 3}" y="{text_at}" fill="{_LIMIT_COLOURS[name]}">{text}</text>'


def _curve(steps: list[Step], y: Callable[[int], float], kind: str) -> Iterator[str]:
    """A step curve, interrupted where no value is known."""
    path: list[str] = []
    until = -1
    for a, b, kw in steps:
        path.append(f"V{y(kw)}" if a == until else f"M{_x(a)} {y(kw)}")
        path.append(f"H{_x(b)}")
        until = b
    if path:
        yield f'<path class="{kind}" d="{"".join(path)}"/>'


def _label(at: int, text: str) -> str:
    return f'<text x="{LEFT - 5}" y="{at + 9}" class="v">{escape(text)}</text>'


def _block(a: int, b: int, at: int, colour: str, title: str) -> str:
    width = max(round(_x(b) - _x(a), 1), 0.4)
    shape = f'<rect x="{_x(a)}" y="{at}" width="{width}" height="{_STRIP}" fill="{colour}">'
    return f"{shape}<title>{_clock(a)}-{_clock(b)} {escape(title)}</title></rect>"


def _states(steps: list[Step], at: int) -> Iterator[str]:
    """The strip of a state: in service dark, out pale, unknown drawn as missing."""
    yield f'<rect x="{LEFT}" y="{at}" width="{_PLOT}" height="{_STRIP}" fill="{COLOURS["missing"]}" opacity=".45"/>'
    for a, b, value in steps:
        yield _block(a, b, at, "#33658a" if value else "#dfe5ea", "投入 in" if value else "退出 out")


def _segments(day: DrawnDay, at: int) -> Iterator[str]:
    yield _label(at, "时段 segments")
    for a, b, cause, reason, value, unit in day.segments:
        worth = f" {value / SEGMENT_VALUE_DIVISOR[unit]:.3f} {unit}" if value else ""
        title = f"{words.both(words.CLASSES, cause)}: {words.both(words.REASONS, reason)}{worth}"
        yield _block(a, b, at, COLOURS[cause], title)


def _clock(ms: int) -> str:
    minute, rest = divmod(ms // 1000, 60)
    return f"{minute // 60:02d}:{minute % 60:02d}" + (f":{rest:02d}" if rest else "")
