# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb: asks for missing options, writes the files, runs them here or explains where to take them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.base.errors import CollectorError
from collector.base.text import tr
from collector.cli.language import say
from collector.model.interval import local_day

if TYPE_CHECKING:
    from collector.cli.quickstart.layout import Wish

_BROKER_PORT, _PAGES_PORT = 8883, 8080
_FIRST_SIMULATOR_PORT = 15020
_HERE = ("localhost", "127.0.0.1")
# The steps of the manuals on each machine, with the files of a quick start instead of hand-written ones.
_ON_CENTER = """\
  install -d -o root -g mosquitto -m 0750 /etc/mosquitto/certs
  install -o root -g mosquitto -m 0640 -t /etc/mosquitto/certs broker/*.pem broker/*.key
  install -o root -g mosquitto -m 0640 -t /etc/mosquitto broker/collector.acl
  install -m 0644 -t /etc/mosquitto/conf.d broker/collector.conf
  systemctl restart mosquitto
  install -o root -g collector -m 0640 -t /etc/collector center/*
  runuser -u collector -- collector center import register /etc/collector/register.toml
  runuser -u collector -- collector center user add admin --role administrator
  systemctl enable --now collector-center"""
_ON_GATEWAY = "  install -o root -g collector -m 0640 -t /etc/collector gateway/*"
_SIMULATED = "  runuser -u collector -- collector simulate /etc/collector/{name} --time real &"
_START_AGENT = "  systemctl enable --now collector-agent"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("quickstart")(quickstart)


def quickstart(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where everything is put.")] = Path("quickstart"),
    plant: Annotated[str, typer.Option(help="The plant's id.")] = "",
    units: Annotated[str, typer.Option(metavar="U1,U2", help="Its units.")] = "",
    gateway: Annotated[str, typer.Option(help="The gateway's id.")] = "gateway-1",
    device: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="Modbus TCP device of a unit, once for each; default: simulated ones."),
    ] = None,
    points: Annotated[Path | None, typer.Option(help="Point table of the devices; default: the sample.")] = None,
    broker: Annotated[
        str, typer.Option(metavar="HOST[:PORT]", help="Name by which gateways reach the broker.")
    ] = "localhost",
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the pages answer.")] = "",
    write_only: Annotated[bool, typer.Option("--write-only", help="Start nothing; say what to carry where.")] = False,
    embedded: Annotated[
        bool, typer.Option("--embedded-broker", help="No Mosquitto, even where it is installed.")
    ] = False,
    seconds: Annotated[float, typer.Option(help="End so many seconds after the first record; 0: on Ctrl-C.")] = 0.0,
) -> None:
    """Configuration, keys, certificates and register for one gateway and one center, running at once. 快速开始。

    Example: collector quickstart trial --plant P1 --units U1,U2
    """
    from collector.cli.quickstart.layout import lay_out

    folder = folder.resolve()
    is_new = not (folder / "center" / "center.toml").exists()
    if is_new and folder.exists() and any(folder.iterdir()):
        raise CollectorError(tr("holds files that are not a quick start's: choose another folder"), subject=str(folder))
    starts = not write_only and (broker.partition(":")[0] in _HERE if is_new else _is_for_here(folder))
    if starts:
        _require_programs(embedded=embedded)
    if is_new:
        wish = _wish(plant, units, gateway, device or [], points, broker, listen, write_only=write_only)
        written = lay_out(folder, wish)
        print(say(tr("{count} files written below {folder}", count=len(written), folder=folder)))
    else:
        print(say(tr("{folder} is there already: its files are used as they are, and options that change them are not",
                     folder=folder)))  # fmt: skip
    if not starts:
        _say_what_to_carry(folder)
        return
    _run(folder, seconds, embedded=embedded)


def _require_programs(*, embedded: bool) -> None:
    """Refuse before anything is asked or written where a part is not installed.

    Raises:
        CollectorError: no broker.
        ModuleNotFoundError: a plant's installation, which has no center.
    """
    from importlib import import_module

    from collector.cli.quickstart.run import find_broker

    import_module("litestar")
    find_broker(embedded=embedded)


def _wish(
    plant: str, units: str, gateway: str, devices: list[str], points: Path | None, broker: str, listen: str, *,
    write_only: bool,
) -> Wish:  # fmt: skip
    """The wish given by options, with questions on a terminal for missing ones.

    Raises:
        typer.BadParameter: an invalid name or address.
    """
    from collector.base.clock import SystemClock
    from collector.cli.quickstart.layout import Wish
    from simulators.plant.scenario import free_ports

    asks = sys.stdin.isatty()
    plant = plant or (typer.prompt(say(tr("id of the plant")), default="P1") if asks else "P1")
    units = units or (typer.prompt(say(tr("its units, joined by commas")), default="U1,U2") if asks else "U1,U2")
    names = [name.strip() for name in units.split(",") if name.strip()]
    if asks and not devices:
        given = typer.prompt(say(tr("HOST:PORT of each unit's Modbus TCP device, joined by commas; empty: simulated")),
                             default="", show_default=False)  # fmt: skip
        devices = [place.strip() for place in given.split(",") if place.strip()]
    for option, name in (("--plant", plant), ("--gateway", gateway), *(("--units", name) for name in names)):
        _check_name(option, name)
    if len(set(names)) != len(names) or not names:
        raise typer.BadParameter(say(tr("name each unit once, got {units!r}", units=units)), param_hint="--units")
    if devices and len(devices) != len(names):
        problem = tr("{units} units and {devices} devices: one for each", units=len(names), devices=len(devices))
        raise typer.BadParameter(say(problem), param_hint="--device")
    for place in devices:
        host, _, port = place.rpartition(":")
        if not host or not port.isdecimal():
            raise typer.BadParameter(say(tr("expected HOST:PORT, got {place!r}", place=place)), param_hint="--device")
    host, _, port = broker.partition(":")
    for_services = write_only or host not in _HERE
    if for_services:  # free ports of the other machines are not known here
        ports = [_BROKER_PORT, _PAGES_PORT, *range(_FIRST_SIMULATOR_PORT, _FIRST_SIMULATOR_PORT + len(names))]
    else:
        spare = free_ports(2 + len(names))
        ports = [_free(_BROKER_PORT, spare[0]), _free(_PAGES_PORT, spare[1]), *spare[2:]]
    return Wish(
        plant=plant, units=names, gateway=gateway, broker_host=host,
        broker_port=int(port) if port.isdecimal() else ports[0], listen=listen or f"127.0.0.1:{ports[1]}",
        devices=devices, simulator_ports=ports[2:], points=points, for_services=for_services,
        month=f"{local_day(SystemClock().now_utc_ms()):%Y-%m}",
    )  # fmt: skip


def _check_name(option: str, name: str) -> None:
    from pydantic import TypeAdapter, ValidationError

    from collector.base.config import Identifier

    try:
        TypeAdapter(Identifier).validate_python(name)
    except ValidationError as error:
        problem = tr("{name!r} is no name: letters, digits, dot, dash and underscore", name=name)
        raise typer.BadParameter(say(problem), param_hint=option) from error


def _free(wanted: int, other: int) -> int:
    """The usual port, or the other one where the usual port is in use."""
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return other
    return wanted


def _is_for_here(folder: Path) -> bool:
    """True if state is kept beside the files and everything is started here; else the files are for services."""
    from collector.center.settings import load_center

    return Path(load_center(folder / "center" / "center.toml").center.state_dir).is_relative_to(folder)


def _run(folder: Path, seconds: float, *, embedded: bool) -> None:
    from collector.cli.quickstart.run import running, wait_for_the_end

    print(say(tr("starting; the first record takes about a minute")), flush=True)
    try:
        with running(folder, embedded=embedded) as (processes, place):
            print(say(tr("broker: {words}", words=place.broker)))
            print(say(tr("the first record is at the center: {address}", address=place.address)))
            print(say(tr("log in as {name}, the password is in {file}", name=place.account, file=place.password_file)))
            print(say(tr("Ctrl-C ends it; the same command goes on with what is there")), flush=True)
            wait_for_the_end(processes, seconds)
    except KeyboardInterrupt:
        print(say(tr("ended")))


def _say_what_to_carry(folder: Path) -> None:
    """Print which folder goes to which machine, and the steps there."""
    from collector.cli.quickstart.layout import SIMULATED

    print(say(tr("{center} and {broker}: to the center's machine; there, as root, in the folder that holds them:",
                 center=folder / "center", broker=folder / "broker")))  # fmt: skip
    print(_ON_CENTER)
    print(say(tr("{gateway}: to the gateway; there, as root, in the folder that holds it:",
                 gateway=folder / "gateway")))  # fmt: skip
    print(_ON_GATEWAY)
    if (folder / "gateway" / SIMULATED).exists():
        print(_SIMULATED.format(name=SIMULATED))
    print(_START_AGENT)
    print(say(tr("{ca}: nowhere; ca.key makes certificates that the broker believes", ca=folder / "ca")))
    print(say(tr("programs and services are installed first: docs/fifteen-minutes.md tells every step")))
