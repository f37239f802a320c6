# SPDX-License-Identifier: GPL-3.0-or-later
"""The live page as HTML: problems in words first, then uplink and buffer, devices, points. Everything is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from collector.agent.buffer.capacity import Capacity
from collector.agent.operate.doctor_words import QUALITY_NAMES, Trouble
from collector.agent.operate.health import DeviceHealth, Health, PointNow
from collector.base.text import into, tr, tr_in
from collector.model.interval import format_time
from collector.model.quantity import BY_NAME

_GOOD: Final = ("good", "substituted", "late_tag")
_CLOCKS: Final = {
    "synchronised": tr("synchronised"), "unsynchronised": tr("not synchronised"),
    "unknown": tr_in("clock", "unknown"),
}  # fmt: skip


class LivePage:
    """Renders the live page in one language."""

    def __init__(self, language: str) -> None:
        self._language = language

    def say(self, text: object) -> str:
        """A text in the page's language, escaped."""
        return escape(str(into(text, self._language)))

    def render(
        self, health: Health, capacity: Capacity, points: Sequence[PointNow], troubles: Sequence[Trouble]
    ) -> str:
        """The whole page."""
        say = self.say
        errors = sum(t.severity == "error" for t in troubles)
        mark, word = ("bad", tr("{count} problems", count=errors)) if errors else ("good", tr("works"))
        other, name = ("en", "English") if self._language == "zh" else ("zh", "中文")
        head = (
            f'<header><h1>{escape(health.gateway)}</h1><span id="now"><strong class="{mark}">{say(word)}</strong> '
            f'<span class="soft">{escape(format_time(health.time_utc_ms))}</span></span>'
            f'<a href="/?lang={other}" lang="{other}">{name}</a></header>'
            f'<p id="lost" class="bad" role="alert">{say(tr("The agent does not answer; this is old."))}</p>'
        )
        parts = [self._troubles(troubles), self._uplink(health, capacity), self._devices(health), self._points(points)]
        return self.frame(escape(health.gateway), f"{head}<main>{''.join(parts)}</main>", is_live=True)

    def ask_for_token(self, place: str) -> str:
        """The page that asks for the token. `place`: the path of its file."""
        say = self.say
        where = tr("It lies in {place}; the agent's user and root can read it.", place=place)
        form = (
            f'<form method="get" action="/"><h1>{say(tr("Token of this page"))}</h1><p>{say(where)}</p>'
            f'<label>{say(tr("Token"))} <input name="token" type="password" autocomplete="off" required></label> '
            f"<button>{say(tr('Show'))}</button></form>"
        )
        return self.frame(say(tr("Token of this page")), form, is_live=False)

    def frame(self, title: str, body: str, *, is_live: bool) -> str:
        """A whole document around the body; without scripts, the browser reloads it by itself."""
        again = '<noscript><meta http-equiv="refresh" content="5"></noscript>' if is_live else ""
        script = '<script src="/page.js" defer></script>' if is_live else ""
        return (
            f'<!doctype html><html lang="{self._language}"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
            f'<link rel="stylesheet" href="/page.css"><link rel="icon" href="data:,">{again}{script}</head>'
            f"<body>{body}</body></html>"
        )

    def _troubles(self, troubles: Sequence[Trouble]) -> str:
        say, colon = self.say, "：" if self._language == "zh" else ": "
        rows = "".join(
            f'<li class="{t.severity}"><strong>{say(t.subject)}</strong>{colon}{say(t.message)}'
            f'<br><span class="soft">→ {say(t.remedy)}</span></li>'
            for t in troubles
        )
        return f"<h2>{say(tr('What is wrong'))}</h2>" + (f"<ul>{rows}</ul>" if rows else f"<p>{say(tr('nothing'))}</p>")

    def _uplink(self, health: Health, capacity: Capacity) -> str:
        uplink, counts = health.uplink, health.buffer
        link = tr("connected") if uplink.connected else tr("not connected")
        last = tr("never") if uplink.last_ack_age_s is None else tr("{s} s ago", s=round(uplink.last_ack_age_s))
        waiting = tr("{batches} batches, {records} records", batches=counts.pending, records=counts.pending_records)
        room = tr(
            "{used} of {all} MB, {ratio} % unsent, {hours} h left", used=f"{counts.used_bytes / 1e6:.1f}",
            all=f"{health.max_bytes / 1e6:.0f}", ratio=f"{100 * health.unsent_ratio:.1f}",
            hours=f"{capacity.hours_left:.0f}",
        )  # fmt: skip
        ticks = tr("{written} written, {missed} missed", written=health.ticks.written, missed=health.ticks.missed)
        way = tr("Folder") if uplink.broker.startswith("/") else tr("Broker")
        rows = [
            (way, tr("{broker}: {link}", broker=uplink.broker, link=link)),
            (tr("The center's last word"), last),
            (tr("Not acknowledged"), waiting),
            (tr("Buffer"), room),
            (tr("Clock"), _CLOCKS.get(health.clock, health.clock)),
            (tr("Ticks"), ticks),
            (tr("Agent"), tr("version {version}, running for {hours} h", version=health.version,
                             hours=f"{health.running_s / 3600:.1f}")),
        ]  # fmt: skip
        list_ = "".join(f"<dt>{self.say(name)}</dt><dd>{self.say(value)}</dd>" for name, value in rows)
        return f"<h2>{self.say(tr('Uplink and buffer'))}</h2><dl>{list_}</dl>"

    def _devices(self, health: Health) -> str:
        rows = [
            (
                f"<td>{escape(d.device)}</td>{self._state(d)}<td class='number less'>{d.reads}</td>"
                f"<td class='number'>{d.failures}</td><td class='number less'>{_ms(d.last_read_s)}</td>"
                f"<td class='less'>{'' if d.answers else self.say(d.last_error)}</td>"
            )
            for d in health.devices
        ]
        names = [(tr("Device"), ""), (tr("State"), ""), (tr("Reads"), "number less"), (tr("Failed"), "number"),
                 (tr("ms"), "number less"), (tr("Error"), "less")]  # fmt: skip
        return f"<h2>{self.say(tr('Devices'))}</h2>{self._table(names, rows)}"

    def _state(self, device: DeviceHealth) -> str:
        if not device.reads:
            return f"<td class='soft'>{self.say(tr('not read yet'))}</td>"
        mark, word = ("good", tr("answers")) if device.answers else ("bad", tr("silent"))
        return f"<td class='{mark}'>{self.say(word)}</td>"

    def _points(self, points: Sequence[PointNow]) -> str:
        rows = []
        for p in points:
            quantity = BY_NAME[p.quantity]
            name = quantity.zh if self._language == "zh" else _words(p.quantity, quantity.unit)
            mark = "good" if p.quality in _GOOD else "bad"
            rows.append(
                f"<td>{escape(p.generating_unit)}</td><td>{escape(p.point)}</td><td class='less'>{escape(name)}</td>"
                f"<td class='number'>{escape(p.value)}</td><td>{escape(p.unit)}</td>"
                f"<td class='{mark}'>{self.say(QUALITY_NAMES.get(p.quality, p.quality))}</td>"
                f"<td class='number'>{'' if p.age_s is None else f'{p.age_s:.1f}'}</td>"
                f"<td class='less'><code>{escape(p.raw)}</code></td><td class='less'>{escape(p.device)}</td>"
            )
        names = [
            (tr("Generating unit"), ""), (tr("Point"), ""), (tr("Measured quantity"), "less"), (tr("Value"), "number"),
            ("", ""), (tr("Quality"), ""), (tr("Age, s"), "number"), (tr("Raw"), "less"),
            (tr("Device"), "less"),
        ]  # fmt: skip
        return f"<h2>{self.say(tr('Points'))}</h2>{self._table(names, rows)}"

    def _table(self, names: Iterable[tuple[str, str]], rows: Sequence[str]) -> str:
        head = "".join(f'<th scope="col" class="{mark}">{self.say(name)}</th>' for name, mark in names)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.1f}"


def _words(quantity: str, unit: str) -> str:
    """The words of a quantity's name without its unit, which has a column of its own."""
    return quantity.removesuffix(f"_{unit.lower()}").replace("_", " ")
