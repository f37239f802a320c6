# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector verify` in a terminal: one step after the other, line by line, so that it works over any ssh.

A line is a command or an expected value. A verdict is on the disk before the next question; the terminal may be closed
at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import replace
from typing import Final

from collector.base.errors import CollectorError
from collector.base.text import tr
from collector.cli.verify.sitting import Sitting, Wanted
from collector.model.interval import format_time
from collector.verify.export import REASONS, STATES
from collector.verify.hints import candidates_of
from collector.verify.items import CLOSED, OPENED, Item, PointStep
from collector.verify.judge import parse_expected, parse_tolerance
from collector.verify.judgement import Judgement, judge, make_verdict, printable
from collector.verify.observe import AGENT, Observation, observe
from collector.verify.session import Pen, open_session
from collector.verify.sheet import StepRow, StepState, is_done, make_sheet

HELP: Final = """\
    回车 Enter          读数 read now
    380  380 ±1  380 0.5%   期望值(及允差)expected value (and tolerance); 遥信: 0 1 分 合
    p                   记为合格 record as passed
    f [备注]            记为不合格 record as failed (with a note)
    n TEXT              备注 note for this step
    c                   其他解码 other decodings of the same bytes
    s, b                跳过，上一步 skip, back
    g NAME              到某点 go to a point
    l                   未完成清单 what is open
    q                   结束，可随时续做 quit; the same command goes on"""


def verify_in_terminal(sitting: Sitting, wanted: Wanted) -> bool:
    """Ask until every step has passed or the person quits; True if every step has passed."""
    with open_session(sitting.path, sitting.gateway, sitting.now_utc_ms()) as pen:
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            VerifyScreen(sitting, wanted, pen).run()
        rows = sitting.rows()
    print(f"\n{sitting.counts_text(rows)}\n已保存 kept in {sitting.path}")
    return is_done(rows)


class VerifyScreen:
    """The terminal of one sitting."""

    def __init__(self, sitting: Sitting, wanted: Wanted, pen: Pen) -> None:
        self._sitting = sitting
        self._wanted = wanted
        self._pen = pen
        self._who = wanted.who
        self._rows: list[StepRow] = []
        self._note = ""
        self._seen: Observation | None = None
        self._judgement: Judgement | None = None

    def run(self) -> None:
        """Run the dialogue."""
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - arrow keys and history in input()
        self._refresh()
        print(f"对点 {self._sitting.gateway}: {self._sitting.counts_text(self._rows)}")
        print(f"记录 session: {self._sitting.path}   ? 帮助 help")
        while not self._who:
            self._who = _ask("对点人 who> ")
        at = self._next(0)
        while at is not None:
            at = self._one(at)
        print("全部完成 nothing is left to do")

    def _refresh(self) -> None:
        device = self._wanted.device
        rows = make_sheet(self._sitting.items, self._pen.session)
        self._rows = [row for row in rows if device in ("", row.item.device)]

    def _next(self, start: int) -> int | None:
        """The next step that has not passed, from `start` on, then from the beginning."""
        places = [*range(start, len(self._rows)), *range(start)]
        return next((i for i in places if self._rows[i].state is not StepState.PASSED), None)

    def _one(self, at: int) -> int | None:
        """Handle one step, until it is recorded or skipped; returns the place of the next one."""
        row = self._rows[at]
        step, self._note, self._judgement = self._with_tolerance(row), "", None
        self._head(at, row)
        self._look(row, step)
        while True:
            word, _, rest = _ask("> ").partition(" ")
            match word.lower():
                case "":
                    self._look(row, step)
                case "?" | "h":
                    print(HELP)
                case "p" | "f":
                    if self._record(row, passed=word.lower() == "p", note=rest.strip()):
                        self._refresh()
                        return self._next(at + 1)
                case "n":
                    self._note = rest.strip()
                    print(f"    备注 note: {self._note}")
                case "c":
                    self._candidates(row, step)
                case "s":
                    return (at + 1) % len(self._rows)
                case "b":
                    return (at - 1) % len(self._rows)
                case "g":
                    if (place := self._find(rest.strip())) is not None:
                        return place
                case "l":
                    self._list()
                case "q":
                    return self._quit()
                case _:
                    step = self._expect(row, step, f"{word} {rest}".strip())

    @staticmethod
    def _quit() -> int | None:
        raise EOFError

    def _with_tolerance(self, row: StepRow) -> PointStep:
        """The step with --tolerance, where the sheet gives none of its own."""
        if row.step.tolerance or row.item.is_status or not self._wanted.tolerance:
            return row.step
        try:
            return replace(row.step, tolerance=parse_tolerance(row.item, self._wanted.tolerance))
        except ValueError as error:
            print(f"    --tolerance: {error}")
            return row.step

    def _head(self, at: int, row: StepRow) -> None:
        item = row.item
        print(f"\n── {at + 1}/{len(self._rows)}  {item.device} · {item.point.name} · {row.step.name}")
        parts = (item.point.description, item.unit, f"{item.kind_zh} {item.quantity.zh} {item.quantity.unit}".strip(),
                 item.address, item.place, "备用 backup" if item.point.backup else "")  # fmt: skip
        print("    " + " | ".join(filter(None, parts)))
        if row.verdict is not None:
            zh, en = STATES[row.state]
            why = ", ".join(f"{REASONS[r][0]} {REASONS[r][1]}" for r in row.reasons)
            print(f"    上次 before: {zh} {en} {why} {row.verdict.value} {row.verdict.who} {row.verdict.note}".rstrip())
            if row.state is StepState.CENTER_DIFFERS and row.stored is not None:
                print(f"    主站存储 the center stored: {row.stored.value or '—'} {row.stored.quality}")

    def _look(self, row: StepRow, step: PointStep) -> None:
        """Read the point now, and compare it with the expected value."""
        if step.expected:
            around = f" ± {step.tolerance}" if step.tolerance else ""
            print(f"    期望 expected: {_shown(row.item, step.expected)}{around}")
        self._seen = None
        try:
            found, _ = asyncio.run(observe(self._sitting.config, row.item.device))
        except CollectorError as error:
            print(f"    读不到 can't read: {error}")
            return
        seen = self._seen = found[row.item.key]
        value = _shown(row.item, seen.value)
        more = [f"[{seen.raw.hex(' ')}]" if seen.raw else "", format_time(seen.time_utc_ms)[11:-6]]
        if seen.device_time_utc_ms is not None:
            more.append(f"装置 device {format_time(seen.device_time_utc_ms)}")
        if seen.source == AGENT:
            more.append(f"采集程序 {seen.age_s:.1f} s 前 told by the running agent")
        print(f"    读数 read: {value}   {seen.quality}   {'  '.join(filter(None, more))}")
        self._judgement = judge(row.item, step, seen, max_age_s=self._wanted.max_age_s)
        if self._judgement.fits:
            print(f"    相符 fits, ± {self._judgement.step.tolerance}: p 记录合格 records it as passed")
            return
        if step.expected or not seen.usable:
            for line in (*self._judgement.obstacles, *self._judgement.hints):
                print(f"    ! {line}")
        else:
            print("    输入期望值 type the expected value")

    def _expect(self, row: StepRow, step: PointStep, text: str) -> PointStep:
        """Parse a typed expected value, with an optional tolerance after it, and read the point again."""
        words = text.replace("±", " ").replace("+-", " ").split()
        try:
            if len(words) > 2:
                raise ValueError(tr("not understood: {text!r}; ? helps", text=text))
            expected = parse_expected(row.item, words[0])
            if row.step.expected and expected != row.step.expected:
                raise ValueError(tr("this step expects {expected}", expected=row.step.expected))
            given = parse_tolerance(row.item, words[1]) if len(words) == 2 else ""
            if given and row.step.tolerance and given != row.step.tolerance:
                raise ValueError(tr("the sheet gives the tolerance: ± {tolerance}", tolerance=row.step.tolerance))
        except ValueError as error:
            print(f"    {error}")
            return step
        step = replace(step, expected=expected, tolerance=given or step.tolerance)
        self._look(row, step)
        return step

    def _record(self, row: StepRow, *, passed: bool, note: str) -> bool:
        seen, judgement = self._seen, self._judgement
        if seen is None or judgement is None:
            print("    没有读数 nothing was read: Enter reads")
            return False
        if passed and not judgement.fits:
            for line in judgement.obstacles:
                print(f"    不能记为合格 can't pass: {line}")
            return False
        now_ms = self._sitting.now_utc_ms()
        verdict = make_verdict(
            row.item, judgement, seen, passed=passed, who=self._who, note=note or self._note, at_utc_ms=now_ms
        )
        self._pen.write(verdict)
        print("    已记录 recorded: " + ("合格 passed" if passed else "不合格 failed"))
        return True

    def _candidates(self, row: StepRow, step: PointStep) -> None:
        raw = self._seen.raw if self._seen else b""
        judged = self._judgement.step if self._judgement else step
        found = candidates_of(row.item, raw, judged.expected, judged.tolerance or "0")
        for candidate in found:
            mark = "  ← 相符 fits" if candidate.fits else ""
            print(f"    {candidate.type} {candidate.order}: {candidate.value}{mark}")
        if not found:
            print("    没有其他解码 no other decodings")

    def _find(self, name: str) -> int | None:
        """The first step of a point by its name, or by a part of it."""
        hits = [i for i, row in enumerate(self._rows) if name and name == row.item.point.name]
        hits = hits or [
            i for i, row in enumerate(self._rows) if name and name in f"{row.item.device} {row.item.point.name}"
        ]
        if not hits:
            print(f"    没有 no point {name!r}")
            return None
        return next((i for i in hits if self._rows[i].state is not StepState.PASSED), hits[0])

    def _list(self) -> None:
        for place, row in enumerate(self._rows, 1):
            if row.state is not StepState.PASSED:
                zh, en = STATES[row.state]
                print(f"    {place}  {row.item.device} {row.item.point.name} {row.step.name}: {zh} {en}")
        sys.stdout.flush()


def _ask(prompt: str) -> str:
    """A line from the keyboard that can be encoded again."""
    while True:
        try:
            line = input(prompt)
            line.encode()  # in some locales, undecodable input stands for its raw bytes
            return printable(line)
        except UnicodeError:
            print("    终端编码不是 UTF-8 this terminal does not speak UTF-8: type it in ASCII, or change its encoding")


def _shown(item: Item, value: str) -> str:
    """A value with its unit; a state with its word."""
    if not value:
        return "—"
    if item.is_status:
        return f"{value} {(OPENED, CLOSED)[int(value)]}"
    return f"{value} {item.quantity.unit}"
