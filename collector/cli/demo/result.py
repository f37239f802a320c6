# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's result: the lake settled, the counts of each part, and each line compared with the simulators' books."""

from __future__ import annotations

import csv
import json
import resource
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collector.base.resources import config_path
from collector.cli.demo.center import CenterResult
from collector.cli.demo.first_day import link_or_copy
from collector.cli.demo.run import Run
from collector.model.interval import Month, format_time
from collector.model.record import Cause
from collector.trial.processes import Usage
from simulators.plant.inputs import write_inputs

if TYPE_CHECKING:
    from collector.center.operate.totals import StoredGap

TOLERANCE = Decimal("0.001")  # of a quantity; a gap of minutes in a month is smaller
LEAST_TICKS = 44_000


@dataclass(frozen=True, slots=True)
class LineResult:
    """One line of the statement and its true value, in the line's own unit; None: no amount, or no true value."""

    unit: str
    service: str
    quantity_unit: str
    truth: str | None
    measured: str | None
    difference_ratio: str | None
    amount_yuan: str | None
    status: str


@dataclass
class Result:
    """The content of demo.json. Each count comes from that part's own store."""

    month: str
    device_requests: dict[str, int]
    records_recorded: int
    records_buffered: int
    records_in_lake: int
    records_in_gaps: int
    least_ticks_of_a_unit: int
    batches_sent: int
    batches_committed: int
    batches_repeated: int
    wire_bytes_per_record: float
    kills: int
    broker_down_s: int
    gaps: list[dict[str, str]]
    lines: list[LineResult]
    plants: list[dict[str, str]]
    result_hash: str = ""  # of the statement, settled offline from the folder
    center_result_hash: str = ""  # of the center's own run, from the data it received
    wall_s: float = 0.0
    peak_memory_mb: float = 0.0  # of the largest process
    processes: dict[str, Usage] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """JSON with indentation, keys in the order of the chain."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n"


def compute_result(run: Run, files: tuple[Path, ...], center: CenterResult, *, wall_s: Callable[[], float]) -> Result:
    """Settle the folder offline, count, and compare with the truth and with the center's result."""
    lines, plants = _settle(run)
    result = _count(run, files, lines, plants)
    manifest = json.loads((run.out / "statement" / "manifest.json").read_text("utf-8"))
    result.result_hash, result.center_result_hash = manifest["result_hash"], center.result_hash
    result.failures = _failures(result)
    own = resource.getrusage(resource.RUSAGE_SELF)
    demo = Usage(round(own.ru_utime + own.ru_stime, 2), round(own.ru_maxrss / 1024, 1))
    result.processes = {**run.usage, "demo and settlement": demo}
    result.peak_memory_mb = max(usage.peak_memory_mb for usage in result.processes.values())
    result.wall_s = round(wall_s(), 1)
    return result


def lay_out_folder(run: Run) -> tuple[Path, ...]:
    """out/data: a settlement folder whose records are the very files of the lake."""
    from collector.center.lake.seal import seal_month

    data = run.out / "data"
    write_inputs(run.scenario, data)
    records = data / "records"
    records.mkdir(parents=True, exist_ok=True)
    # The run begins a little before the month and ends a little after it.
    before = Month(run.month.year - (run.month.month == 1), (run.month.month - 2) % 12 + 1)
    files = [f for m in (before, run.month, run.month.next()) for f in seal_month(run.center_dir, m)]
    for file in files:
        link_or_copy(file, records / f"{file.parent.name}-{file.name}")
    return tuple(files)


def _settle(run: Run) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The statement by the same code as `collector settle`, read back from its files."""
    from collector.cli.settle.command import RULEBOOK, settle_folder

    statement = run.out / "statement"
    settle_folder(run.month, run.out / "data", statement, config_path(RULEBOOK))
    return _rows(statement / "lines.csv"), _rows(statement / "plants.csv")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _count(run: Run, files: tuple[Path, ...], lines: list[dict[str, str]], plants: list[dict[str, str]]) -> Result:
    from collector.agent.buffer.counts import read_counts
    from collector.center.lake.seal import count_records
    from collector.center.operate.totals import read_totals

    buffer, center = read_counts(run.agent_dir), read_totals(run.center_dir)
    down = run.broker_down
    step_ms = run.scenario.settings.step_s * 1000
    return Result(
        month=str(run.month),
        device_requests=run.device_requests,
        records_recorded=buffer.recorded,
        records_buffered=buffer.buffered,
        records_in_lake=count_records(files),
        # Ticks strictly between the last record before a gap and the first after it.
        records_in_gaps=sum(-(-gap.to_ms // step_ms) - gap.from_ms // step_ms - 1 for gap in center.gaps),
        least_ticks_of_a_unit=_least_ticks(files),
        batches_sent=buffer.sealed,
        batches_committed=center.batches,
        batches_repeated=center.repeats,
        wire_bytes_per_record=round(center.size_bytes / max(center.records, 1), 2),
        kills=len(run.kills),
        broker_down_s=(down.end_ms - down.start_ms) // 1000 if down else 0,
        gaps=[_gap(gap) for gap in center.gaps],
        lines=_compare(run.books, lines),
        plants=plants,
    )


def _gap(gap: StoredGap) -> dict[str, str]:
    times = {"from": format_time(gap.from_ms), "to": format_time(gap.to_ms)}
    return {"plant": gap.plant, "unit": gap.unit, **times, "reason": gap.reason}


def _least_ticks(files: tuple[Path, ...]) -> int:
    """Tick records of the unit that has the fewest, counted in the lake."""
    from collector.center.lake.day_file import read_units

    ticks: Counter[str] = Counter()
    for file in files:
        for records in read_units(file):
            ticks[records.unit] += int((records.cause == Cause.TICK).sum())
    return min(ticks.values(), default=0)


def _compare(books: dict[str, Any], lines: list[dict[str, str]]) -> list[LineResult]:
    truth = {(row["unit"], row["service"]): Decimal(row["quantity"]) for row in books["lines"]}
    results = []
    for line in lines:
        real = truth.pop((line["unit"], line["service"]), None)
        measured = Decimal(line["quantity"]) if line["quantity"] else None
        results.append(
            LineResult(
                unit=line["unit"],
                service=line["service"],
                quantity_unit=line["quantity_unit"],
                truth=None if real is None else str(real),
                measured=None if measured is None else str(measured),
                difference_ratio=_difference(real, measured),
                amount_yuan=line["amount_yuan"] or None,
                status=line["status"],
            )
        )
    for (unit, service), real in truth.items():
        results.append(LineResult(unit, service, "", str(real), None, None, None, "no line"))
    return results


def _difference(truth: Decimal | None, measured: Decimal | None) -> str | None:
    if truth is None or measured is None:
        return None
    if truth == 0:
        return "0" if measured == 0 else "1"
    return f"{(measured - truth) / truth:.6f}"


def _failures(result: Result) -> list[str]:
    found = []
    counts = (result.records_recorded, result.records_buffered, result.records_in_lake)
    if len(set(counts)) != 1:
        found.append("recorded, buffered and in the lake differ: " + ", ".join(map(str, counts)))
    if result.least_ticks_of_a_unit < LEAST_TICKS:
        found.append(f"a unit has {result.least_ticks_of_a_unit} ticks, fewer than {LEAST_TICKS}")
    if result.result_hash != result.center_result_hash:
        found.append(f"the center's own run came to {result.center_result_hash}, the folder to {result.result_hash}")
    for line in result.lines:
        name = f"{line.unit} {line.service}"
        if line.difference_ratio is None:
            found.append(f"{name}: truth {line.truth}, measured {line.measured}")
        elif abs(Decimal(line.difference_ratio)) > TOLERANCE:
            found.append(f"{name}: differs from the truth by {line.difference_ratio} of the quantity")
    return found
