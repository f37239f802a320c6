# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's terminal output: a progress bar while the month runs, then the statement beside the true values."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from collector.cli.demo.center import CenterResult
from collector.cli.demo.first_day import Lines
from collector.cli.demo.result import LineResult, Result
from collector.model.interval import Interval, time_to_read


class DemoScreen:
    """The terminal; on other outputs the same texts without animation."""

    def __init__(self) -> None:
        self.console = Console()
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[now]}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=self.console, transient=True)
        self._task: TaskID = self._progress.add_task("", total=1.0, now="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, text: str) -> None:
        """A new stage begins."""
        self._progress.update(self._task, description=text)
        if not self.console.is_terminal:
            self.console.print(text)

    def time(self, now_utc_ms: int, span: Interval) -> None:
        """Show the simulated time reached."""
        done = (now_utc_ms - span.start_ms) / (span.end_ms - span.start_ms)
        self._progress.update(self._task, completed=done, now=time_to_read(now_utc_ms)[:16])

    def event(self, text: str) -> None:
        """Print an event."""
        self.console.print(f"  • {text}")

    def first_lines(self, day: str, lines: Lines) -> None:
        """The lines of the first day that have an amount; never final."""
        table = Table(
            title=f"first day settled, never final · 首日已结算，非最终: {day}", box=box.SIMPLE, padding=(0, 1, 0, 0)
        )
        for heading in ("unit\n机组", "service\n服务"):
            table.add_column(heading, no_wrap=True)
        for heading in ("measured\n计量", "yuan\n元"):
            table.add_column(heading, justify="right", no_wrap=True)
        for line in lines:
            if line["amount_yuan"]:
                measured = f"{_number(line['quantity'])} {line['quantity_unit']}"
                table.add_row(line["unit"], line["service"], measured, f"{Decimal(line['amount_yuan']):,.2f}")
        self.console.print(table)

    def show(self, result: Result, center: CenterResult, out: Path) -> None:
        """Print the statement, the places of the files, the comparison, and how to see the month in the browser."""
        self.console.print(_lines_table(result))
        self.console.print(_plants_table(result))
        self.console.print(_counts(result))
        for name in ("statement/statement.html", "statement/lines.csv", "demo.json", "logs"):
            self.console.print(f"  {out / name}", style="cyan", highlight=False, soft_wrap=True)
        config = out / "config" / "center.toml"
        # The program's name as it was called, to be copied.
        program = sys.argv[0] if Path(sys.argv[0]).name == "collector" else "collector"
        command = f"{program} center run {config}"
        self.console.print("in the browser · 在浏览器中查看：", end=" ")
        self.console.print(command, style="cyan", highlight=False, soft_wrap=True)
        address = f"http://127.0.0.1:8080/months/{result.month}"
        self.console.print(f"  {address}  {center.name} / {center.password}", highlight=False, soft_wrap=True)
        ended = "its broker has ended: that it finds none is no fault · 演示用的代理已停，找不到代理属正常"
        self.console.print(f"  {ended}", highlight=False, soft_wrap=True)
        verdict = f"finished in {result.wall_s:g} s, largest process {result.peak_memory_mb:g} MB"
        if result.failures:
            self.console.print(f"[bold red]NOT as it should be · 与真值不符[/]: {verdict}")
            for failure in result.failures:
                self.console.print(f"  ✗ {failure}", style="red")
        else:
            self.console.print(f"[bold green]measured = truth within 0.1 % · 计量与真值一致[/]: {verdict}")


def _lines_table(result: Result) -> Table:
    table = Table(
        title=f"{result.month} · statement beside the truth · 结算单与真值", box=box.SIMPLE, padding=(0, 1, 0, 0)
    )
    for heading in ("unit\n机组", "service\n服务"):
        table.add_column(heading, no_wrap=True)
    for heading in ("truth\n真值", "measured\n计量"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for heading in ("diff. %\n差", "yuan\n元"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in result.lines:
        amount = f"{Decimal(line.amount_yuan):,.2f}" if line.amount_yuan else line.status
        truth, measured = _number(line.truth), _number(line.measured)
        table.add_row(line.unit, line.service, truth, measured, line.quantity_unit, _percent(line), amount)
    return table


def _plants_table(result: Result) -> Table:
    table = Table(title="plants · 电厂", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("area\n区域", "plant\n电厂"):
        table.add_column(heading)
    for heading in ("compensation\n补偿费用", "allocation\n分摊费用", "net\n结算费用"):
        table.add_column(heading, justify="right")
    table.add_column("status\n状态")
    for row in result.plants:
        amounts = [row[k] for k in ("compensation_yuan", "allocation_yuan", "net_yuan")]
        table.add_row(row["area"], row["plant"], *(f"{Decimal(a):,.2f}" if a else "–" for a in amounts), row["status"])
    return table


def _counts(result: Result) -> str:
    requests = sum(result.device_requests.values())
    gaps = f"{result.records_in_gaps} in {len(result.gaps)} gap records"
    return (
        f"device requests {requests:,} · records recorded {result.records_recorded:,} = buffered"
        f" {result.records_buffered:,} = lake {result.records_in_lake:,} · {gaps}\n"
        f"batches sent {result.batches_sent:,} · committed {result.batches_committed:,} · repeated"
        f" {result.batches_repeated:,} · {result.wire_bytes_per_record:.1f} bytes a record on the wire ·"
        f" kills {result.kills} · broker down {result.broker_down_s / 86400:g} days"
    )


def _number(text: str | None) -> str:
    return f"{Decimal(text):,.3f}" if text else "–"


def _percent(line: LineResult) -> str:
    return f"{Decimal(line.difference_ratio) * 100:.4f}" if line.difference_ratio else "–"
