# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a trial installation: the agent under test with other paths and addresses, a center, keys, the scenario.

The agent under test keeps its devices, point tables, periods and schedules. Changed are paths and addresses (state
folder, broker, keys, simulated devices on loopback) and, in simulated time, the timeouts that run in real time. Each
change is listed for the report.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from collector.accept.plan import Plan as AcceptancePlan
from collector.accept.plan import longest_period_ms
from collector.base.config import Mqtt, read_toml
from collector.model.interval import format_time
from collector.model.quantity import BY_NAME, QuantityKind
from collector.points.agent_config import (
    AgentConfig,
    DeviceConfig,
    GatewayConfig,
    PlantConfig,
    UplinkConfig,
    load_agent,
)
from collector.wire import generate_key_pair

LEAD_MS: Final = 500  # simulated time before the agent starts: at the very start the plant's values have not moved yet
_WARM_MS: Final = 10_000
_ROOT: Final = "acceptance"
_TAGGED: Final = frozenset({"30", "31"})
# Real-time timeouts in simulated time: long enough for a busy machine, short enough for a waiting person.
_DRIVEN_DEVICE: Final = {"timeout_s": 5.0, "backoff_max_s": 0.5}
_DRIVEN: Final = {("mqtt", "keepalive_s"): 2, ("uplink", "ack_timeout_s"): 2.0, ("uplink", "backoff_max_s"): 0.5}

_SECTIONS: Final[dict[str, type[BaseModel]]] = {
    "gateway": GatewayConfig, "mqtt": Mqtt, "uplink": UplinkConfig, "plant": PlantConfig, "device": DeviceConfig,
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Paths and ports of a trial. `agent_port`: the agent's broker address, a proxy in front of `broker_port`.

    `changes`: the differences from the configuration under test, one line each.
    """

    out: Path
    agent_file: Path
    center_file: Path
    scenario_file: Path | None
    broker_port: int
    agent_port: int
    metrics_port: int
    time_port: int
    control_port: int
    config: AgentConfig
    changes: tuple[str, ...] = ()

    @property
    def agent_dir(self) -> Path:
        """The state folder of the agent."""
        return self.out / "agent"

    @property
    def center_dir(self) -> Path:
        """The state folder of the center."""
        return self.out / "center"


@dataclass
class _Edit:
    """Changes one agent.toml and notes each change."""

    data: dict[str, Any]
    changes: list[str] = field(default_factory=list)

    def set(self, where: dict[str, Any], name: str, key: str, value: Any) -> None:
        """Set a value, or delete the key where the value is None."""
        before = where.get(key, _SECTIONS[name.partition(" ")[0]].model_fields[key].default)
        if before == value or not (before or value):
            return
        self.changes.append(f"{name}.{key}: {before or '–'} → {value or '–'}")
        if value is None:
            where.pop(key, None)
        else:
            where[key] = value


def lay_out(plan: AcceptancePlan, out: Path, agent_port: int) -> Layout:
    """Write all files of a run below `out`.

    Args:
        plan: the plan of the acceptance.
        out: the folder of this run.
        agent_port: the port of the agent's broker address.

    Raises:
        ConfigError: a named file can't be read.
    """
    from simulators.plant.scenario import free_ports

    config = out / "config"
    config.mkdir(parents=True)
    edit = _Edit(read_toml(plan.agent_file))
    served = _Edit(read_toml(plan.served_file)) if plan.served_file is not None else None
    addresses = [device for each in (edit, served) if each is not None for device in each.data.get("device", [])]
    # all at once: single calls may give the same port twice
    broker, metrics, time_port, control, *ports = free_ports(4 + len(addresses))
    devices = _Places(out / "lines", ports) if served is not None else None
    _edit_agent(edit, plan, out, agent_port, metrics, time_port if plan.is_driven else 0, devices)
    agent_file = config / "agent.toml"
    agent_file.write_text(toml_text(edit.data), "utf-8")
    scenario_file = None
    if plan.scenario_file is not None and served is not None and devices is not None:
        _edit_served(served, plan, time_port if plan.is_driven else 0, devices)
        (config / "served.toml").write_text(toml_text(served.data), "utf-8")
        scenario_file = config / "plant.toml"
        scenario_file.write_text(_scenario_text(plan.scenario_file, config / "served.toml"), "utf-8")
    loaded = load_agent(agent_file)
    _write_center(loaded, config, broker)
    return Layout(
        out, agent_file, config / "center.toml", scenario_file, broker, agent_port, metrics, time_port, control,
        loaded, tuple(edit.changes),
    )  # fmt: skip


class _Places:
    """Maps each device address to a free loopback port or a pseudo terminal."""

    def __init__(self, lines: Path, ports: Sequence[int]) -> None:
        self._lines = lines
        self._free = list(ports)
        self._ports: dict[tuple[str, int], int] = {}
        self._serial: dict[str, str] = {}

    def port_of(self, host: str, port: int) -> int:
        """The loopback port that replaces an address."""
        if (host, port) not in self._ports:
            self._ports[host, port] = self._free.pop()
        return self._ports[host, port]

    def line_of(self, serial: str) -> str:
        """The pseudo terminal that replaces a serial line."""
        return self._serial.setdefault(serial, str(self._lines / f"line-{len(self._serial) + 1}"))


def _edit_agent(
    edit: _Edit, plan: AcceptancePlan, out: Path, agent_port: int, metrics: int, time_port: int, places: _Places | None
) -> None:
    data = edit.data
    gateway, mqtt, uplink = (data.setdefault(name, {}) for name in ("gateway", "mqtt", "uplink"))
    edit.set(gateway, "gateway", "state_dir", str(out / "agent"))
    edit.set(gateway, "gateway", "metrics_listen", f"127.0.0.1:{metrics}")
    edit.set(gateway, "gateway", "time_server", f"127.0.0.1:{time_port}" if time_port else "")
    for key, value in (("host", "127.0.0.1"), ("port", agent_port), ("root", _ROOT)):
        edit.set(mqtt, "mqtt", key, value)
    for key in ("username", "password_file", "ca_file", "cert_file", "key_file"):
        edit.set(mqtt, "mqtt", key, None)
    edit.set(uplink, "uplink", "center_key_file", str(out / "config" / "center.pub"))
    for plant in data.get("plant", []):
        edit.set(plant, f"plant {plant['id']}", "signing_key_file", str(out / "config" / f"{plant['id']}.key"))
    if time_port:
        for (section, key), wait_s in _DRIVEN.items():
            edit.set(data[section], section, key, wait_s)
    for device in data.get("device", []):
        name = f"device {device['id']}"
        device["points"] = str((plan.agent_file.parent / device["points"]).resolve())
        if places is not None:
            _edit_device(edit, name, device, places)
        elif device.get("serial"):
            device["serial"] = str(plan.agent_file.parent / device["serial"])
        if time_port:
            for key, wait_s in _DRIVEN_DEVICE.items():
                edit.set(device, name, key, wait_s)
            if device["protocol"] == "iec104":
                edit.set(device, name, "w", 1)  # each frame is confirmed at once: time waits for it


def _edit_device(edit: _Edit, name: str, device: dict[str, Any], places: _Places) -> None:
    if device.get("serial"):
        edit.set(device, name, "serial", places.line_of(str(device["serial"])))
        return
    port = places.port_of(str(device.get("host", "")), int(device.get("port", 0)))
    edit.set(device, name, "host", "127.0.0.1")
    edit.set(device, name, "port", port)
    if device.get("redundant"):
        edit.set(device, name, "redundant", None)


def _edit_served(edit: _Edit, plan: AcceptancePlan, time_port: int, places: _Places) -> None:
    """Change the simulators' configuration: the same addresses and the time server, nothing else."""
    assert plan.served_file is not None
    edit.set(edit.data["gateway"], "gateway", "time_server", f"127.0.0.1:{time_port}" if time_port else "")
    for device in edit.data.get("device", []):
        device["points"] = str((plan.served_file.parent / device["points"]).resolve())
        _edit_device(edit, f"device {device['id']}", device, places)


def _scenario_text(source: Path, served: Path) -> str:
    """The scenario with extra switches: each tagged status changes away from its initial state and back."""
    from simulators.plant.scenario import load_scenario, read_settings

    scenario = load_scenario(source)
    events = [event.model_dump() for event in read_settings(source).event]
    at_ms = scenario.run.start_ms + LEAD_MS + warm_up_ms(load_agent(served)) + 3217
    for unit, quantity in tagged_statuses(load_agent(served)):
        settings = next(u for u in scenario.settings.unit if u.id == unit)
        first = {"on_grid": 1, "agc_in_service": int(settings.agc_lower_mw is not None),
                 "avc_in_service": int(settings.avc)}.get(quantity, 0)  # fmt: skip
        for value in (1 - first, first):
            events.append({"at": format_time(at_ms), "unit": unit, "quantity": quantity, "value": str(value)})
            at_ms += 2377
    return toml_text({"schema": 1, "base": str(source.resolve()), "agent": str(served.resolve()), "event": events})


_SWITCHED: Final = ("on_grid", "agc_in_service", "avc_in_service", "condenser", "spilling")


def tagged_statuses(config: AgentConfig) -> Iterator[tuple[str, str]]:
    """Unit and quantity of each status with the device's own time tag."""
    for device in config.settings.device:
        for point in config.points[device.id] if device.is_telecontrol else ():
            tagged = point.area in _TAGGED and not point.backup and point.quantity in _SWITCHED
            if tagged and BY_NAME[point.quantity].kind is QuantityKind.STATUS:
                yield point.unit or device.unit, point.quantity


def warm_up_ms(config: AgentConfig) -> int:
    """Time until every device has been due, the slowest twice, and 104 stations have been interrogated, ms."""
    has_stations = any(device.is_telecontrol for device in config.settings.device)
    return 2 * longest_period_ms(config) + (_WARM_MS if has_stations else _WARM_MS // 5)


def _write_center(config: AgentConfig, folder: Path, port: int) -> None:
    """Write center.toml of a center for this run only, with new keys: the keys of the site are not touched."""
    generate_key_pair(folder / "center.key", folder / "center.pub")
    plants = []
    for plant in config.settings.plant:
        generate_key_pair(folder / f"{plant.id}.key", folder / f"{plant.id}.pub")
        units = [unit.id for unit in config.settings.unit if unit.plant == plant.id]
        plants.append({"id": plant.id, "units": units, "public_key_files": [f"{plant.id}.pub"]})
    data = {
        "schema": 1,
        "center": {"id": "acceptance", "state_dir": "../center", "signing_key_file": "center.key"},
        "mqtt": {"host": "127.0.0.1", "port": port, "root": _ROOT, "keepalive_s": 2},
        # Simulated time may be far from real time.
        "receiver": {"backoff_max_s": 0.5, "max_age_days": 36_500, "max_future_s": 3e9},
        "plant": plants,
    }
    (folder / "center.toml").write_text(toml_text(data), "utf-8")


def toml_text(data: Mapping[str, Any]) -> str:
    """Write data as `tomllib` reads them back: values, tables of values, lists of such tables."""
    lines = [f"{key} = {_toml(value)}" for key, value in data.items() if not _is_table(value)]
    for key, value in data.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{key}]", *(f"{k} = {_toml(v)}" for k, v in value.items())]
        elif _is_table(value):
            for row in value:
                lines += ["", f"[[{key}]]", *(f"{k} = {_toml(v)}" for k, v in row.items())]
    return "\n".join(lines) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


def _toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)  # a JSON string, number or boolean is valid TOML too
