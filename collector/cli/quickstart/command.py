# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb: asks what was not said, lays the files out, runs them here or says what to carry where."""

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


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("quickstart")(quickstart)


def quickstart(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where everything is put.")] = Path("quickstart"),
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
    if is_new:
        written = lay_out(folder, _wish(plant, units, gateway, device or [], points, broker, listen))
        print(say(tr("{count} files written below {folder}", count=len(written), folder=folder)))
    else:
        print(say(tr("{folder} is there already: its files are used as they are, and options that change them are not",
                     folder=folder)))  # fmt: skip
    if write_only or not _is_all_here(folder):
        _say_what_to_carry(folder)
        return
    _run(folder, seconds, embedded=embedded)


def _wish(
    plant: str, units: str, gateway: str, devices: list[str], points: Path | None, broker: str, listen: str
) -> Wish:
    """What is asked for, with questions on a terminal for what was not said.

    Raises:
        typer.BadParameter: a name or a place can't be one.
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
    spare = free_ports(2 + len(names))
    return Wish(
        plant=plant, units=names, gateway=gateway, broker_host=host,
        broker_port=int(port) if port.isdecimal() else _free(_BROKER_PORT, spare[0]),
        listen=listen or f"127.0.0.1:{_free(_PAGES_PORT, spare[1])}", devices=devices, simulator_ports=spare[2:],
        points=points, month=f"{local_day(SystemClock().now_utc_ms()):%Y-%m}",
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
    """The usual port, or the other where somebody has the usual one."""
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return other
    return wanted


def _is_all_here(folder: Path) -> bool:
    """Whether the broker is this machine, so that everything can be started here."""
    from collector.center.settings import load_center

    return load_center(folder / "center" / "center.toml").mqtt.host in ("localhost", "127.0.0.1")


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
    """Which folder goes to which machine, and the page that says how it is installed there."""
    for name, words in (
        ("gateway", tr("to the gateway, into /etc/collector; docs/install-gateway.md from step 2")),
        ("broker", tr("to the broker's machine, into /etc/mosquitto; docs/center.md, The broker")),
        ("center", tr("to the center, into /etc/collector; docs/center.md")),
        ("ca", tr("nowhere: ca.key makes certificates that the broker believes; keep it off these machines")),
    ):
        print(say(tr("{folder}: {words}", folder=folder / name, words=words)))
    print(say(tr("there state_dir is /var/lib/collector, and /var/lib/collector-center at the center")))
