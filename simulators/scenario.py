# SPDX-License-Identifier: GPL-3.0-or-later
"""PLANT.toml: which plants there are, how they behave over a month, and the rule's numbers their own books use.

`agent` names the agent configuration whose devices are served; `[[area]]`, `[[plant]]` and `[[unit]]` say what the
register says about them (formats.md), `[unit.moves]` how the unit behaves.
"""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from collector.config import load_settings
from collector.errors import ConfigError, Problem
from collector.model.interval import Interval, Month
from collector.model.register import UnitKind

DecimalText = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$")]
Ratio = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Rule(_Section):
    """`[rule]`: numbers of the regulation for the simulators' own books, each with its article in the file."""

    deep_lower_ratio: dict[str, DecimalText]
    deep_gate_ratio: DecimalText
    start_stop_gap_h: int
    avc_settle_s: int
    avc_band_500_kv: DecimalText
    avc_band_220_kv: DecimalText
    avc_band_low_ratio: DecimalText


class Area(_Section):
    """`[[area]]` as in register.toml."""

    id: str
    name: str
    dispatch_mode: Literal["energy_saving", "annual_plan"]
    valley_hours: list[str]
    peak_hours: list[str]
    hours_filing: str = ""


class Plant(_Section):
    """`[[plant]]` as in register.toml, and its energy bill of the month."""

    id: str
    name: str
    area: str
    revenue_basis: Literal["on_grid"] = "on_grid"
    shares: bool = True
    settles_with: str = ""
    energy_bill_yuan: DecimalText


class Stop(_Section):
    """A stop of the unit: `day` of the month it opens, `hours` off grid, `order`: what the dispatcher ordered.

    `kept`: the restart lies inside the order; `late`: it comes after the order's end; `none`: no order at all.
    """

    day: Annotated[int, Field(ge=1, le=30)]
    hours: Annotated[float, Field(gt=0, le=72)]
    order: Literal["kept", "late", "none"]


class Moves(_Section):
    """`[unit.moves]`: how a unit behaves.

    `day_ratio`: 24 hourly values of the plan as a share of P_N; `deep_night_ratio` replaces it in the valley of a
    share `deep_nights` of the nights; `regulation_ratio`: standard deviation of what AGC asks beside the plan.
    """

    day_ratio: Annotated[list[float], Field(min_length=24, max_length=24)]
    deep_nights: Ratio = 0.0
    deep_night_ratio: Ratio = 0.0
    ramp_ratio_per_min: Annotated[float, Field(gt=0, le=1)]
    regulation_ratio: Ratio = 0.0
    agc_drops: Ratio = 0.0
    avc_orders_per_day: Annotated[int, Field(ge=0, le=20)] = 0
    avc_missed: Ratio = 0.0
    avc_at_limit: Ratio = 0.0
    avc_drops: Ratio = 0.0
    energy_start_mwh: Annotated[int, Field(ge=0)] = 0
    stop: list[Stop] = []


class Unit(_Section):
    """`[[unit]]` as in register.toml, and how it moves."""

    id: str
    plant: str
    kind: Literal["coal", "coal_other", "gas", "hydro", "pumped_storage", "nuclear", "wind", "solar", "other"]
    rated_mw: DecimalText
    agc_lower_mw: DecimalText | None = None
    agc_upper_mw: DecimalText | None = None
    avc: bool = False
    nominal_kv: DecimalText = "220"
    droop_ratio: DecimalText | None = None
    q_max_mvar: DecimalText
    q_min_mvar: DecimalText
    evidence: str | None = None
    black_start: bool = False
    black_start_document: str | None = None
    moves: Moves


class Settings(_Section):
    """PLANT.toml as written. `quiet_hours`: local hours of the day in which nothing switches and no order comes."""

    schema_version: Literal[1] = Field(alias="schema")
    agent: str
    seed: int
    month: str
    step_s: Literal[60] = 60
    lead_in_s: Annotated[int, Field(ge=0, le=86_400)] = 120
    lead_out_s: Annotated[int, Field(ge=0, le=86_400)] = 120
    hold_limit_s: Annotated[int, Field(ge=60, le=86_400)] = 180
    quiet_hours: tuple[int, int] = Field(default=(12, 14), strict=False)
    time_listen: str = ""
    rule: Rule
    area: list[Area]
    plant: list[Plant]
    unit: list[Unit]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked PLANT.toml. `run`: the simulated time, lead-in and lead-out included."""

    settings: Settings
    month: Month
    run: Interval
    agent_file: Path

    def area_of(self, unit: Unit) -> Area:
        """The settlement area a unit is paid in."""
        plant = next(p for p in self.settings.plant if p.id == unit.plant)
        return next(a for a in self.settings.area if a.id == plant.area)

    def kind_of(self, unit: Unit) -> UnitKind:
        """Its kind."""
        return UnitKind(unit.kind)


def load_scenario(path: Path) -> Scenario:
    """A PLANT.toml.

    Raises:
        ConfigError: every problem, with its key.
    """
    settings = load_settings(path, Settings)
    problems = [Problem(str(path), 0, key, message) for key, message in _problems(settings)]
    if problems:
        raise ConfigError(problems)
    month = Month.parse(settings.month)
    span = month.interval
    run = Interval(span.start_ms - settings.lead_in_s * 1000, span.end_ms + settings.lead_out_s * 1000)
    return Scenario(settings, month, run, path.parent / settings.agent)


def _problems(settings: Settings) -> list[tuple[str, str]]:
    found = []
    try:
        Month.parse(settings.month)
    except ValueError as error:
        found.append(("month", str(error)))
    areas, plants = {a.id for a in settings.area}, {p.id for p in settings.plant}
    for index, plant in enumerate(settings.plant, 1):
        if plant.area not in areas:
            found.append((f"plant[{index}].area", f"no [[area]] has id {plant.area!r}"))
    for index, unit in enumerate(settings.unit, 1):
        if unit.plant not in plants:
            found.append((f"unit[{index}].plant", f"no [[plant]] has id {unit.plant!r}"))
        if (unit.agc_lower_mw is None) != (unit.agc_upper_mw is None):
            found.append((f"unit[{index}].agc_lower_mw", "AGC limits come only together"))
    for index, area in enumerate(settings.area, 1):
        if area.id not in settings.rule.deep_lower_ratio:
            found.append((f"area[{index}].id", f"[rule] deep_lower_ratio has no entry for {area.id!r}"))
    return found


def demo_scenario() -> Path:
    """The PLANT.toml of the demo: the checkout's own, else the one in the wheel.

    Raises:
        FileNotFoundError: neither is there.
    """
    checkout = Path(__file__).parents[1] / "config" / "demo" / "plant.toml"
    if checkout.is_file():
        return checkout
    return Path(str(files("collector_config"))) / "demo" / "plant.toml"


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Unprivileged ports that are free now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass(frozen=True, slots=True)
class Instance:
    """A scenario copied into a folder of its own with free ports. `time_server`, `control`: HOST:PORT."""

    directory: Path
    scenario_file: Path
    agent_file: Path
    time_server: str
    control: str


def instantiate(
    source: Path, out_dir: Path, *, mqtt: str | None = None, edits: Mapping[str, str] | None = None
) -> Instance:
    """Copy a scenario folder (PLANT.toml, agent.toml, point tables) and give every device a free loopback port.

    Args:
        source: the PLANT.toml to copy, e.g. config/demo/plant.toml; its folder's CSV files come along.
        out_dir: made if need be; agent.toml's relative names resolve here.
        mqtt: HOST:PORT of the broker for `[mqtt]`; None leaves what the template says.
        edits: further whole lines of agent.toml by their key, e.g. `{"state_dir": '"/tmp/x"'}`, the value as TOML.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    settings = load_settings(source, Settings)
    for table in sorted(source.parent.glob("*.csv")):
        shutil.copyfile(table, out_dir / table.name)
    scenario_file = out_dir / source.name
    shutil.copyfile(source, scenario_file)
    text = (source.parent / settings.agent).read_text("utf-8")
    head, mark, devices = text.partition("[[device]]")
    old_ports = list(dict.fromkeys(re.findall(r"(?m)^port = (\d+)$", devices)))
    time_port, control_port, *ports = free_ports(len(old_ports) + 2)
    devices = _renumber(devices, dict(zip(old_ports, map(str, ports), strict=True)))
    time_server = f"127.0.0.1:{time_port}"
    head = _edit(head, "time_server", f'"{time_server}"')
    if mqtt is not None:
        host, _, port = mqtt.rpartition(":")
        section, found, rest = head.partition("[mqtt]")
        head = section + found + _edit(_edit(rest, "host", f'"{host}"'), "port", port)
    for key, value in (edits or {}).items():
        head = _edit(head, key, value)
    agent_file = out_dir / settings.agent
    agent_file.write_text(head + mark + devices, "utf-8")
    return Instance(out_dir, scenario_file, agent_file, time_server, f"127.0.0.1:{control_port}")


def _renumber(text: str, ports: Mapping[str, str]) -> str:
    return re.sub(r"(?m)^port = (\d+)$", lambda match: f"port = {ports[match.group(1)]}", text)


def _edit(text: str, key: str, value: str) -> str:
    """The first line `key = …` with another value; an unknown key is an error of the caller."""
    changed, count = re.subn(rf"(?m)^{re.escape(key)} = .*$", lambda _: f"{key} = {value}", text, count=1)
    if not count:
        raise ConfigError([Problem("agent.toml", 0, key, "the template has no such line to edit")])
    return changed


def local_spans(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Daily spans `HH:MM-HH:MM` as minutes of the local day; one over midnight becomes two."""
    spans: list[tuple[int, int]] = []
    for text in texts:
        start, end = (int(part[:2]) * 60 + int(part[3:]) for part in text.split("-"))
        spans.extend([(start, end)] if start < end else [(start, 1440), (0, end)])
    return tuple(spans)
