# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector verify` by options, for scripts: one step of one point, or one step of every point that has it."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Sequence

import typer

from collector.base.text import said_by, tr
from collector.cli.language import say
from collector.cli.verify.sitting import Sitting, Wanted
from collector.verify.items import Item, PointStep
from collector.verify.judge import parse_expected, parse_tolerance, step_name
from collector.verify.judgement import judge, make_verdict
from collector.verify.observe import Observation, observe
from collector.verify.session import Pen, open_session
from collector.verify.sheet import StepRow, default_step


def verify_by_options(sitting: Sitting, wanted: Wanted) -> None:
    """Judge one step of one point, or one step of every point that has it, and record it."""
    if not wanted.who:
        raise typer.BadParameter(say(tr("who verifies? A verdict has a name")), param_hint="--who")
    meant = _meant(sitting, wanted)
    devices = {item.device for item, _ in meant}
    seen, _ = asyncio.run(observe(sitting.config, devices.pop() if len(devices) == 1 else ""))
    with open_session(sitting.path, sitting.gateway, sitting.now_utc_ms()) as pen:
        for item, step in meant:
            _judge(sitting, pen, item, step, seen[item.key], wanted)


def _meant(sitting: Sitting, wanted: Wanted) -> list[tuple[Item, PointStep]]:
    """The points and steps that the options name, each with its expected value."""
    rows = sitting.rows()
    if not wanted.point:
        if wanted.expect:
            raise typer.BadParameter(
                say(tr("is for one point; the sheet has the values of a step")), param_hint="--expect"
            )
        own = [row for row in rows if wanted.device in ("", row.item.device)]
        meant = [(row.item, row.step) for row in own if row.step.name == step_name(row.item, wanted.step)]
        if not meant:
            names = ", ".join(dict.fromkeys(row.step.name for row in rows))
            raise typer.BadParameter(
                say(tr("no point has this step; there are {names}", names=names)), param_hint="--step"
            )
        return [(item, _with_options(item, step, wanted)) for item, step in meant]
    found = [i for i in sitting.items if i.point.name == wanted.point and wanted.device in ("", i.device)]
    if len(found) != 1:
        names = ", ".join(item.device for item in found)
        message = (
            tr("several devices have it: add --device, one of {names}", names=names)
            if found
            else _no_point(sitting, wanted.point)
        )
        raise typer.BadParameter(say(message), param_hint="--point")
    item = found[0]
    return [(item, _with_options(item, _step(sitting, item, rows, wanted), wanted))]


def _no_point(sitting: Sitting, name: str) -> str:
    near = difflib.get_close_matches(name, [item.point.name for item in sitting.items], 1, 0.5)
    return tr("no point {name!r}", name=name) + (tr("; did you mean {near!r}?", near=near[0]) if near else "")


def _step(sitting: Sitting, item: Item, rows: Sequence[StepRow], wanted: Wanted) -> PointStep:
    own = [row.step for row in rows if row.item.key == item.key]
    if not wanted.step:
        step = default_step(item, rows, _expected(item, wanted.expect))
        if step is None:
            names = ", ".join(step.name for step in own)
            raise typer.BadParameter(
                say(tr("which step of {name}: {names}?", name=item.point.name, names=names)), param_hint="--step"
            )
        return step
    named = next((step for step in own if step.name == step_name(item, wanted.step)), None)
    if named is None and (item.is_status or sitting.load().expectations is not None):
        names = ", ".join(step.name for step in own)
        raise typer.BadParameter(
            say(tr("{name} has the steps {names}", name=item.point.name, names=names)), param_hint="--step"
        )
    return named or PointStep(wanted.step)


def _judge(sitting: Sitting, pen: Pen, item: Item, step: PointStep, seen: Observation, wanted: Wanted) -> None:
    judgement = judge(item, step, seen, max_age_s=wanted.max_age_s)
    passed = judgement.fits if not wanted.verdict else wanted.verdict == "pass"
    recorded = judgement.fits or not passed
    if recorded:
        pen.write(
            make_verdict(
                item, judgement, seen, passed=passed, who=wanted.who, note=wanted.note, at_utc_ms=sitting.now_utc_ms()
            )
        )
    sitting.ok &= recorded and passed
    said = "合格 passed" if passed else "不合格 failed"
    if not recorded:
        said = "不能记为合格，未记录 can't pass, nothing recorded"
    unit = f" {seen.unit}" if seen.unit else ""
    sitting.said.setdefault("verified", []).append(
        {
            "device": item.device, "point": item.point.name, "step": step.name, "recorded": recorded,
            "passed": recorded and passed, "expected": judgement.step.expected,
            "tolerance": judgement.step.tolerance, "value": seen.value, "unit": seen.unit,
            "quality": seen.quality, "raw": seen.raw.hex(" "), "obstacles": list(judgement.obstacles),
            "hints": list(judgement.hints),
        }
    )  # fmt: skip
    typer.echo(f"{item.device} {item.point.name} {step.name}: {seen.value}{unit} {seen.quality}: {said}", err=True)
    for line in (*judgement.obstacles, *judgement.hints):
        typer.echo(f"    {line}", err=True)


def _expected(item: Item, text: str) -> str:
    try:
        return parse_expected(item, text) if text else ""
    except ValueError as error:
        raise typer.BadParameter(say(said_by(error)), param_hint="--expect") from error


def _with_options(item: Item, step: PointStep, wanted: Wanted) -> PointStep:
    """The step with the values given by options.

    Raises:
        BadParameter: they contradict the sheet, or there is no expected value at all.
    """
    expected = _expected(item, wanted.expect)
    if expected and step.expected and expected != step.expected:
        place = f"{item.point.name} {step.name}"
        message = tr("{place}: {expected} is expected there", place=place, expected=step.expected)
        raise typer.BadParameter(say(message), param_hint="--expect")
    if not (expected or step.expected or wanted.verdict == "fail"):
        raise typer.BadParameter(say(tr("{name}: what is expected?", name=item.point.name)), param_hint="--expect")
    try:
        tolerance = parse_tolerance(item, wanted.tolerance)
    except ValueError as error:
        raise typer.BadParameter(say(said_by(error)), param_hint="--tolerance") from error
    return PointStep(step.name, expected or step.expected, step.tolerance or tolerance)
