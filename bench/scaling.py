# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/scaling.md: what a plant, a province, a region and a nation need, computed from costs that were measured.

`python -m bench.scaling` writes both pages from `scaling.json`: the costs, and the machine they were measured on.
`python -m bench.scaling bench-out/bench.json` first takes the costs from what `make bench` has written.

Costs grow with records, units and batches alone: the exponents of `make bench` hold that. Sizes and prices are
assumptions and stand on the page; put yours in and run it again.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.machine import describe
from bench.scaling_words import CHINESE, ENGLISH, ScalingWords

_FULL: Final = {",": "，", ":": "：", ";": "；", "(": "（", ")": "）"}
_CHINESE: Final = "[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
_BESIDE_CHINESE: Final = re.compile(f"(?<={_CHINESE})[,:;()]|[,:;()](?={_CHINESE})")
MEASURED: Final = Path(__file__).with_name("scaling.json")
DOCS: Final = Path(__file__).parents[1] / "docs"

DAY_S: Final = 86_400
MONTH_DAYS: Final = 31
POINTS_A_UNIT: Final = 14
QUARTERS: Final = 96
BATCH_S: Final = 60  # of records in a batch
MINUTE_ROWS: Final = MONTH_DAYS * 1440  # of a unit in the month on which measuring is measured
CATCH_UP: Final = 7  # times the usual rate: a day's backlog in four hours, beside what goes on coming
KEPT_MONTHS: Final = 24
JOURNAL_DAYS: Final = 62
BUSY: Final = 0.5  # of a core or a broker, planned for
NIGHT_H: Final = 8.0
SERVER_CORES: Final = 16
GATEWAY_YUAN: Final = 4_000
SERVER_YUAN: Final = 45_000
MIRRORED_TB_YUAN: Final = 4_000


@dataclass(frozen=True, slots=True)
class Size:
    """Something to be served."""

    key: str
    plants: int
    units: int


SIZES: Final = (
    Size("plant", 1, 4),
    Size("province", 60, 250),
    Size("region", 300, 1250),
    Size("nation", 2500, 10_000),
)


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured: CPU in seconds of a core, bytes of a record on the wire, at the gateway and in the lake."""

    agent_s_per_point: float
    wire_bytes: float
    buffer_bytes: float
    lake_bytes: float
    records_per_core_s: float
    seal_s_per_record: float
    batches_per_broker_s: float
    measure_s_per_record: float
    close_s_per_unit: float
    import_s_per_row: float


@dataclass(frozen=True, slots=True)
class Need:
    """What a size needs. `shares`: of what one process or machine can do, by what would run out; the largest first."""

    size: Size
    records_s: float
    rows_month: int
    wire_gb_month: float
    lake_gb_month: float
    disk_tb: float
    agent_share: float
    receiving_cores: float
    receivers: int
    brokers: int
    settle_core_h: float
    cores: int
    settle_h: float
    servers: int
    yuan: int
    shares: Mapping[str, float]


def costs_of(figures: list[dict[str, Any]]) -> tuple[Costs, dict[str, str]]:
    """The costs among the figures of a bench, and the figure each is taken from.

    Raises:
        LookupError: a figure that is needed was not measured.
    """
    taken: dict[str, str] = {}

    def find(cost: str, pattern: str) -> tuple[float, float]:
        for figure in figures:
            if found := re.fullmatch(pattern, figure["name"]):
                taken[cost] = figure["name"]
                return float(figure["value"]), float((*found.groups(), 1)[0])
        raise LookupError(f"no figure called {pattern}")

    measuring_s, units = find("measure_s_per_record", r"measure (\d+) units x 31 days over the lake, CPU")
    closing_s, closed = find("close_s_per_unit", r"CPU to close a measured month of (\d+) units")
    importing_s, rows = find("import_s_per_row", r"plan of (\d+) rows, CPU")
    sealing_s, sealed = find("seal_s_per_record", r"CPU to seal a plant-day of (\d+) units at 1 s")
    costs = Costs(
        agent_s_per_point=find("agent_s_per_point", r"agent_cpu_per_point_\d+_durable")[0] / 1e6,
        wire_bytes=find("wire_bytes", "wire_bytes_per_record")[0],
        buffer_bytes=find("buffer_bytes", "buffer_bytes_per_record")[0],
        lake_bytes=find("lake_bytes", "bytes a record in a sealed day")[0],
        records_per_core_s=find("records_per_core_s", "300 plants .*, per core")[0],
        seal_s_per_record=sealing_s / (sealed * DAY_S),
        batches_per_broker_s=1e6 / find("batches_per_broker_s", "broker_cpu_per_batch")[0],
        measure_s_per_record=measuring_s / (units * MINUTE_ROWS),
        close_s_per_unit=closing_s / closed,
        import_s_per_row=importing_s / rows,
    )
    return costs, taken


def need_of(size: Size, costs: Costs) -> Need:
    """Machines and hours for one size, records every second."""
    records_s = float(size.units)
    rows = size.units * DAY_S * MONTH_DAYS
    lake_gb = rows * costs.lake_bytes / 1e9
    journal_gb = size.units * DAY_S * JOURNAL_DAYS * costs.wire_bytes / 1e9
    receiving = records_s / costs.records_per_core_s
    receivers = max(1, math.ceil(receiving * CATCH_UP / BUSY))
    batches_s = size.plants * CATCH_UP / BATCH_S
    brokers = max(1, math.ceil(batches_s / costs.batches_per_broker_s / BUSY))
    sealing = records_s * costs.seal_s_per_record
    plan_rows = size.units * QUARTERS * MONTH_DAYS
    settle_s = (
        rows * costs.measure_s_per_record + size.units * costs.close_s_per_unit + plan_rows * costs.import_s_per_row
    )
    steady = (receiving * CATCH_UP + sealing) / BUSY + brokers * BUSY
    cores = max(2, math.ceil(max(steady, settle_s / 3600 / NIGHT_H / BUSY)))
    servers = 0 if size.plants == 1 else max(2, math.ceil(cores / SERVER_CORES))  # one, and one that stands by
    disk_tb = (lake_gb * KEPT_MONTHS + journal_gb) / 1000
    disks_yuan = math.ceil(disk_tb) * MIRRORED_TB_YUAN if servers else 0
    yuan = size.plants * GATEWAY_YUAN + servers * SERVER_YUAN + disks_yuan
    shares = {
        "receiver": receiving * CATCH_UP,
        "settling": settle_s / 3600 / (NIGHT_H * SERVER_CORES),
        "sealing": sealing / SERVER_CORES,
        "broker": batches_s / costs.batches_per_broker_s,
        "disk": disk_tb / 8,
    }
    return Need(
        size, records_s, rows, rows * costs.wire_bytes / 1e9, lake_gb, disk_tb,
        size.units / size.plants * POINTS_A_UNIT * costs.agent_s_per_point, receiving, receivers, brokers,
        settle_s / 3600, cores, settle_s / 3600 / max(1, cores * BUSY), servers, yuan,
        dict(sorted(shares.items(), key=lambda item: -item[1])),
    )  # fmt: skip


def page(words: ScalingWords, measured: Mapping[str, Any]) -> str:
    """The page in one language."""
    costs = Costs(**measured["costs"])
    needs = [need_of(size, costs) for size in SIZES]
    out = [f"# {words.title}", "", words.other, "", words.intro, "", f"## {words.needs}", ""]
    out += ["| | " + " | ".join(words.sizes[need.size.key] for need in needs) + " |", "|---|" + "---|" * len(needs)]
    for label, cell in words.rows:
        out.append(f"| {label} | " + " | ".join(cell(need) for need in needs) + " |")
    out += ["", f"## {words.breaks}", "", words.breaks_intro, ""]
    for need in needs:
        first, second = list(need.shares.items())[:2]
        used = [words.names[first[0]], f"{first[1]:.1%}", words.names[second[0]], f"{second[1]:.1%}"]
        share = words.shares.format(*used)
        out.append(f"- **{words.sizes[need.size.key]}**: {share} {words.bought(need)}")
    out += ["", words.limit_heads, "|---|---|---|"]
    largest = needs[-1]
    for name, used_part in largest.shares.items():
        units = float(f"{largest.size.units / used_part:.2g}")
        out.append(f"| {words.names[name]} | {units:,.0f} | {words.remedies[name]} |")
    out += ["", f"## {words.costs}", "", words.costs_intro, "", words.costs_heads, "|---|---|---|"]
    for name, value in measured["costs"].items():
        out.append(f"| {words.cost_names[name]} | {value:.3g} | {measured['figures'][name]} |")
    out += ["", *(f"- {name}: {text}" for name, text in measured["machine"].items()), ""]
    out += [f"## {words.assumed}", "", *words.assumptions(sys.modules[__name__]), ""]
    return "\n".join(out)


def full_width(text: str) -> str:
    """A Chinese text with the punctuation of Chinese beside Chinese characters; what stands between backticks stays."""
    parts = text.replace("**: ", "**：").split("`")
    for number in range(0, len(parts), 2):
        for _ in range(3):  # a mark beside one that was just made full
            parts[number] = _BESIDE_CHINESE.sub(lambda found: _FULL[found[0]], parts[number])
    return "`".join(parts)


def pages() -> dict[str, str]:
    """The pages by their names below docs/."""
    measured = json.loads(MEASURED.read_text("utf-8"))
    return {"scaling.md": page(ENGLISH, measured), "scaling.zh-CN.md": full_width(page(CHINESE, measured))}


def main() -> None:
    """Take costs where a bench is named, and write the pages."""
    if len(sys.argv) > 1:
        figures = [figure for path in sys.argv[1:] for figure in json.loads(Path(path).read_text("utf-8"))]
        costs, taken = costs_of(figures)
        found = {name: float(f"{getattr(costs, name):.4g}") for name in costs.__dataclass_fields__}
        measured = {"machine": describe(), "costs": found, "figures": taken}
        text = json.dumps(measured, indent=2, ensure_ascii=False)
        MEASURED.write_text(text + "\n", "utf-8")
    for name, text in pages().items():
        (DOCS / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
