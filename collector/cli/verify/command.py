# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector verify`: 对点, in a terminal or by options; the session, the center's values, the sheet for signature."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from collector.base.text import tr
from collector.cli.language import say

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="agent.toml")]
SessionFile = Annotated[Path | None, typer.Option("--session", metavar="FILE", help="Default: CONFIG.verify.jsonl")]
SheetFile = Annotated[Path | None, typer.Option("--sheet", metavar="FILE", help="Steps and expected values. 期望值表")]
Template = Annotated[Path | None, typer.Option("--template", metavar="FILE", help="Write an empty sheet. 空白期望值表")]
Device = Annotated[str, typer.Option("--device", help="Only points of this one. 设备")]
PointName = Annotated[str, typer.Option("--point", metavar="NAME", help="Verify this point. 点名")]
StepName = Annotated[str, typer.Option("--step", help="This step; without --point at every point that has it. 步骤")]
Expect = Annotated[str, typer.Option("--expect", metavar="VALUE", help="Expected value; 分, 合. 期望值")]
Tolerance = Annotated[str, typer.Option("--tolerance", help="In the value's unit, or 0.5% of min..max. 允差")]
Pass = Annotated[bool, typer.Option("--pass", help="Record as passed; refused where it does not fit. 合格")]
Fail = Annotated[bool, typer.Option("--fail", help="Record as failed. 不合格")]
Who = Annotated[str, typer.Option("--who", metavar="NAME", help="Who verifies. 对点人")]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="备注")]
MaxAge = Annotated[float, typer.Option("--max-age", metavar="SECONDS", min=0, help="Of a running agent's value.")]
Listing = Annotated[bool, typer.Option("--list", help="Every step and where it stands. 清单")]
OpenOnly = Annotated[bool, typer.Option("--open", help="List what has not passed. 未完成")]
CenterPlace = Annotated[
    str, typer.Option("--center", metavar="URL|FILE", help="Merge what the center stored. 主站存储值")
]
TokenFile = Annotated[Path | None, typer.Option("--token-file", metavar="FILE", help="A token of the center.")]
CaFile = Annotated[Path | None, typer.Option("--ca-file", metavar="FILE", help="Who signed the center's certificate.")]
Export = Annotated[Path | None, typer.Option("--export", metavar="DIR", help="Write sheet.csv, .xlsx, .html. 导出")]
AsJson = Annotated[bool, typer.Option("--json", help="The same as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("verify")(verify)


def verify(
    config: ConfigFile, session: SessionFile = None, sheet: SheetFile = None, template: Template = None,
    device: Device = "", point: PointName = "", step: StepName = "", expect: Expect = "", tolerance: Tolerance = "",
    passed: Pass = False, failed: Fail = False, who: Who = "", note: Note = "", max_age: MaxAge = 10.0,
    listing: Listing = False, open_only: OpenOnly = False, center: CenterPlace = "", token_file: TokenFile = None,
    ca_file: CaFile = None, export: Export = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Verify point by point, resumable; without an option of what to do, in the terminal. 对点。

    Reads devices and never writes to them. Every verdict is on the disk before the next question. Exit 1 where
    something has failed or, where it lists or exports, is not verified yet.
    """
    from collector.agent.log import start_logging
    from collector.cli.verify.sitting import Sitting, Wanted
    from collector.points.agent_config import load_agent
    from collector.verify.judgement import printable

    start_logging(logging.CRITICAL)
    if passed and failed:
        raise typer.BadParameter(say(tr("a verdict is one of the two")), param_hint="--pass / --fail")
    loaded = load_agent(config)
    known = [each.id for each in loaded.settings.device]
    if device and device not in known:
        raise typer.BadParameter(
            say(tr("no such device; the configuration has {known}", known=", ".join(known))), param_hint="--device"
        )
    sitting = Sitting(loaded, session or config.with_suffix(".verify.jsonl"), {})
    verdict = "pass" if passed else "fail" if failed else ""
    wanted = Wanted(device, point, step, expect, tolerance, verdict, printable(who), note, max_age)
    if template:
        sitting.write_template(template, device)
    if sheet:
        sitting.take_sheet(sheet)
    if point or step:
        from collector.cli.verify.once import verify_by_options

        verify_by_options(sitting, wanted)
    if center:
        sitting.merge_center(center, token_file, ca_file)
    if listing or open_only:
        sitting.list_steps(device, open_only=open_only, as_json=as_json)
    if export:
        sitting.export(export)
    if not (template or sheet or point or step or center or listing or open_only or export):
        from collector.cli.verify.screen import verify_in_terminal

        sitting.ok = verify_in_terminal(sitting, wanted)
    if as_json:
        print(json.dumps(sitting.said, ensure_ascii=False, indent=2))
    if not sitting.ok:
        raise typer.Exit(1)
