# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector demo`: a month of three simulated plants through every part, compared with the simulators' own books."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from collector.base.errors import CollectorError
from collector.base.text import tr

RESULT_FILE = "demo.json"


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command("demo")
    def demo(
        out: Annotated[Path, typer.Option(help="Where everything is left; an earlier demo there is replaced.")] = Path(
            "demo-out"
        ),
        broker: Annotated[str, typer.Option(help="mqtt://HOST:PORT of a broker in place of the embedded one.")] = "",
    ) -> None:
        """Run the whole chain on this machine and compare the statement with the truth. 全链路演示，与真值对比。"""
        from collector.cli.demo.center import settle_at_center
        from collector.cli.demo.result import compute_result, lay_out_folder
        from collector.cli.demo.run import run_month
        from collector.cli.demo.screen import DemoScreen

        started_s = time.monotonic()
        clear(out)
        with DemoScreen() as screen:
            run = run_month(out.resolve(), broker, screen)
            screen.stage("sealing the lake, settling offline and at the center · 入湖、结算")
            files = lay_out_folder(run)
            center = settle_at_center(run.center_dir, run.out / "data", run.month)
            result = compute_result(run, files, center, wall_s=lambda: time.monotonic() - started_s)
        (out / RESULT_FILE).write_text(result.to_json(), "utf-8")
        screen.show(result, center, out)
        if result.failures:
            raise typer.Exit(1)


def clear(out: Path) -> None:
    """Make `out` an empty folder: files of an earlier demo are removed.

    Raises:
        CollectorError: it holds files that are not a demo's.
    """
    if out.is_dir() and any(out.iterdir()):
        if not (out / "logs").is_dir() or not (out / "config").is_dir():
            raise CollectorError(tr("holds files that are not a demo's: choose another --out"), subject=str(out))
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
