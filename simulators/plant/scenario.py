# SPDX-License-Identifier: GPL-3.0-or-later
"""PLANT.toml, the scenario: the plants, their behaviour over a month, and the regulation's numbers for their books.

`agent` names the agent configuration whose devices are served; `[[area]]`, `[[plant]]` and `[[unit]]` hold the
register's fields (formats.md), `[unit.moves]` the behaviour of a unit.
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
from typing import Any, Final

from collector.base.config import check_settings, read_toml
from collector.base.errors import ConfigError, Problem
from collector.model.interval import Interval, Month, parse_time_ms
from simulators.plant.scenario_model import Area, Settings, Unit


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


def read_settings(path: Path) -> Settings:
    """Read a PLANT.toml, merged with its `base`.

    Raises:
        ConfigError: every problem, with its key.
    """
    return check_settings(_merged(path), Settings, str(path))


def _merged(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A file merged over its `base` (relative path): keys replace, `[[unit]]` rows change the unit with the same id."""
    if path.resolve() in above:
        raise ConfigError([Problem(str(path), 0, "base", "leads back to itself")])
    data = read_toml(path)
    base_name = data.pop("base", None)
    if base_name is None:
        return data
    base = _merged(path.parent / str(base_name), (*above, path.resolve()))
    if "agent" in base:
        base["agent"] = str(Path(str(base_name)).parent / base["agent"])
    changes = {str(unit.get("id")): unit for unit in data.pop("unit", [])}
    known = {unit["id"] for unit in base.get("unit", [])}
    problems = [Problem(str(path), 0, "unit", f"the base has no unit {key!r}") for key in changes if key not in known]
    if problems:
        raise ConfigError(problems)
    for unit in base.get("unit", []):
        change = changes.get(unit["id"], {})
        unit["moves"] = {**unit.get("moves", {}), **change.pop("moves", {})}
        unit.update(change)
    return {**base, **data}


def load_scenario(path: Path) -> Scenario:
    """Load and check a PLANT.toml, merged with its `base`.

    Raises:
        ConfigError: every problem, with its key.
    """
    settings = read_settings(path)
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
    return found + _row_problems(settings)


def _row_problems(settings: Settings) -> list[tuple[str, str]]:
    """Problems of rows that name no unit of the scenario, or times without an offset."""
    found, units = [], {u.id for u in settings.unit}
    for name in ("event", "frequency", "order", "reserve", "voltage_band"):
        for index, row in enumerate(getattr(settings, name), 1):
            unit = getattr(row, "unit", None)
            if unit is not None and unit not in units:
                found.append((f"{name}[{index}].unit", f"no [[unit]] has id {unit!r}"))
            for key in ("at", "start", "end"):
                try:
                    parse_time_ms(getattr(row, key, "0"))
                except ValueError as error:
                    found.append((f"{name}[{index}].{key}", str(error)))
    return found


def demo_scenario() -> Path:
    """The PLANT.toml of the demo, of the checkout or else of the wheel.

    Raises:
        FileNotFoundError: neither exists.
    """
    checkout = Path(__file__).parents[2] / "config" / "demo" / "plant.toml"
    if checkout.is_file():
        return checkout
    return Path(str(files("collector_config"))) / "demo" / "plant.toml"


# A port is free again as soon as it was found: the system may give it to the next who asks, before it is used.
_GIVEN: Final[set[int]] = set()
_GIVEN_AT_MOST: Final = 10_000


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Distinct unprivileged ports that are free now; none is given twice by one process."""
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            each = stack.enter_context(socket.socket())
            each.bind((host, 0))
            port = int(each.getsockname()[1])
            if port not in _GIVEN or len(_GIVEN) > _GIVEN_AT_MOST:
                found.append(port)
                _GIVEN.add(port)
    return found


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
        source: the PLANT.toml to copy, e.g. config/demo/plant.toml; CSV files of its folder are copied too.
        out_dir: created if needed; agent.toml's relative paths resolve here.
        mqtt: HOST:PORT of the broker for `[mqtt]`; None keeps the template's.
        edits: further whole lines of agent.toml by their key, e.g. `{"state_dir": '"/tmp/x"'}`, the value as TOML.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    template = source.parent / read_settings(source).agent
    for table in sorted(template.parent.glob("*.csv")):
        shutil.copyfile(table, out_dir / table.name)
    scenario_file = _copy_scenario(source, out_dir)
    text = template.read_text("utf-8")
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
    agent_file = out_dir / template.name
    agent_file.write_text(head + mark + devices, "utf-8")
    return Instance(out_dir, scenario_file, agent_file, time_server, f"127.0.0.1:{control_port}")


def _copy_scenario(source: Path, out_dir: Path, prefix: str = "") -> Path:
    """Copy a scenario and its bases into one folder, with the names of base and agent.toml changed to match."""
    text = source.read_text("utf-8")
    target = out_dir / f"{prefix}{source.name}"
    if base := re.search(r'(?m)^base = "(.*)"$', text):
        copied = _copy_scenario(source.parent / base.group(1), out_dir, f"base-{prefix}")
        text = text.replace(base.group(0), f'base = "{copied.name}"')
    text = re.sub(r'(?m)^agent = "(?:.*/)?([^/"]+)"$', r'agent = "\1"', text)
    target.write_text(text, "utf-8")
    return target


def _renumber(text: str, ports: Mapping[str, str]) -> str:
    return re.sub(r"(?m)^port = (\d+)$", lambda match: f"port = {ports[match.group(1)]}", text)


def _edit(text: str, key: str, value: str) -> str:
    """Replace the value in the first line `key = …`; an unknown key is an error of the caller."""
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
