# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a quick start: a folder for each machine, with everything that the manuals have one write by hand.

Existing files are never overwritten: a second run continues with the files of the first, and with later changes by
people. Only the secrets are new for each installation, none is shipped.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collector.base.resources import config_path
from collector.cli.quickstart.authority import Authority
from collector.wire import generate_key_pair

POINTS = "governor.csv"
SIMULATED = "simulated-plant.toml"


@dataclass(frozen=True, slots=True)
class Wish:
    """The options of a quick start. `devices`: HOST:PORT of each unit's device; empty: simulated devices.

    `for_services`: the files go to the machines' /etc, for services; else everything runs in the folder.
    """

    plant: str
    units: Sequence[str]
    gateway: str
    broker_host: str
    broker_port: int
    listen: str
    devices: Sequence[str]
    simulator_ports: Sequence[int]
    points: Path | None
    month: str
    for_services: bool

    def state_dir(self, service: str) -> str:
        """The state folder of a service (StateDirectory= of its unit), or the folder beside the configuration."""
        return f"/var/lib/{service}" if self.for_services else "state"


def lay_out(folder: Path, wish: Wish) -> list[Path]:
    """Write missing files below a folder; returns the new files, in the order of writing."""
    for name in ("ca", "broker", "center", "gateway"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    before = {path for path in folder.rglob("*") if path.is_file()}
    authority = Authority(folder / "ca")
    hosts = tuple(dict.fromkeys((wish.broker_host, "localhost", "127.0.0.1")))
    authority.issue(wish.broker_host, folder / "broker" / "broker.pem", hosts=hosts)
    authority.issue("center", folder / "center" / "broker-center.pem")
    authority.issue(wish.gateway, folder / "gateway" / f"{wish.gateway}.pem")
    _keys(folder / "center" / "center.key", folder / "gateway" / "center.pub")
    _keys(folder / "gateway" / f"{wish.plant}.key", folder / "center" / f"{wish.plant}.pub")
    for place, name in (("broker", "ca.pem"), ("center", "broker-ca.pem"), ("gateway", "ca.pem")):
        _copy(authority.certificate_file, folder / place / name)
    _copy(wish.points or config_path("points/governor_modbus.csv"), folder / "gateway" / POINTS)
    _copy(config_path("mosquitto/collector.conf"), folder / "broker" / "collector.conf")
    _once(folder / "broker" / "collector.acl", _acl(wish))
    _once(folder / "center" / "center.toml", _center(wish))
    _once(folder / "center" / "register.toml", _register(wish))
    _once(folder / "gateway" / "agent.toml", _agent(wish))
    if not wish.devices:
        _once(folder / "gateway" / SIMULATED, _simulated(wish))
    return sorted({path for path in folder.rglob("*") if path.is_file()} - before)


def _keys(private: Path, public: Path) -> None:
    if not private.exists():
        generate_key_pair(private, public)


def _copy(source: Path, target: Path) -> None:
    if not target.exists():
        shutil.copyfile(source, target)


def _once(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text, "utf-8")


def _center(wish: Wish) -> str:
    units = ", ".join(f'"{unit}"' for unit in wish.units)
    return f"""# Written by collector quickstart; every other key and its default: config/center.toml.
schema = 1

[center]
state_dir = "{wish.state_dir("collector-center")}"
signing_key_file = "center.key"
listen = "{wish.listen}"

[mqtt]
host = "{wish.broker_host}"
port = {wish.broker_port}
ca_file = "broker-ca.pem"
cert_file = "broker-center.pem"
key_file = "broker-center.key"

[lake]
seal_after_s = 60.0

[[plant]]
id = "{wish.plant}"
units = [{units}]
public_key_files = ["{wish.plant}.pub"]
gateways = ["{wish.gateway}"]
"""


def _agent(wish: Wish) -> str:
    head = f"""# Written by collector quickstart; every other key and its default: config/agent.toml.
schema = 1

[gateway]
id = "{wish.gateway}"
state_dir = "{wish.state_dir("collector")}"

[mqtt]
host = "{wish.broker_host}"
port = {wish.broker_port}
ca_file = "ca.pem"
cert_file = "{wish.gateway}.pem"
key_file = "{wish.gateway}.key"

[uplink]
center_key_file = "center.pub"

[buffer]
batch_max_age_s = 10               # 60 is usual: here the first record shall be seen soon

[[plant]]
id = "{wish.plant}"
signing_key_file = "{wish.plant}.key"
"""
    units = "".join(f'\n[[unit]]\nid = "{unit}"\nplant = "{wish.plant}"\n' for unit in wish.units)
    places = wish.devices or [f"127.0.0.1:{port}" for port in wish.simulator_ports]
    devices = "".join(
        f'\n[[device]]\nid = "governor-{unit}"\nprotocol = "modbus_tcp"\npoints = "{POINTS}"\nunit = "{unit}"\n'
        f'host = "{host}"\nport = {port}\n'
        for unit, (host, _, port) in zip(wish.units, (place.rpartition(":") for place in places), strict=True)
    )
    return head + units + devices


def _acl(wish: Wish) -> str:
    """The shipped ACL with this gateway instead of the sample's."""
    text = config_path("mosquitto/collector.acl").read_text("utf-8")
    return text.replace("user gateway-1", f"user {wish.gateway}").replace(
        "/P1/gateway-1/", f"/{wish.plant}/{wish.gateway}/"
    )


def _register(wish: Wish) -> str:
    """A register as docs/settle.md explains it; its ratings are examples and must be corrected."""
    head = f"""# Written by collector quickstart: examples. Put in what the contract and the filings say, then
# `collector center import register register.toml --replace` (docs/settle.md names every key).
[[area]]
id = "jiangsu"
name = "江苏"
dispatch_mode = "energy_saving"
valley_hours = ["00:00-08:00"]
peak_hours = ["08:00-11:00", "17:00-21:00"]

[[plant]]
id = "{wish.plant}"
name = "{wish.plant}"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
"""
    return head + "".join(
        f'\n[[unit]]\nid = "{unit}"\nplant = "{wish.plant}"\nkind = "coal"\nrated_mw = "660"\n'
        f'agc_lower_mw = "330"\nagc_upper_mw = "660"\n'
        for unit in wish.units
    )


def _simulated(wish: Wish) -> str:
    """A plant behind the simulated devices: the first unit of the acceptance's plant, once for each wanted unit."""
    shipped = config_path("accept/plant.toml").read_text("utf-8")
    head, _, rest = shipped.partition("[[unit]]")
    unit = "[[unit]]" + rest.partition("[[unit]]")[0]
    month = next(line for line in head.splitlines() if line.startswith("month = "))
    head = head.replace('"../agent.toml"', '"agent.toml"').replace(month, f'month = "{wish.month}"')
    for old, new in (("P1", wish.plant), ("示例电厂", wish.plant)):
        head, unit = head.replace(f'"{old}"', f'"{new}"'), unit.replace(f'"{old}"', f'"{new}"')
    return head + "".join(unit.replace('"U1"', f'"{name}"') for name in wish.units)
