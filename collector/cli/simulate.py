# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector simulate`: device simulators on real sockets, with a table of what is served and who asks."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.errors import CollectorError

if TYPE_CHECKING:
    from rich.table import Table

    from simulators.simulation import Simulation

REFRESH_S = 1.0


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("simulate")(simulate)


def simulate(
    plant: Annotated[
        Path | None,
        typer.Argument(help="PLANT.toml; with --replay an agent.toml, or the folder to write one in, by default here"),
    ] = None,
    faults: Annotated[Path | None, typer.Option(help="faults file (TOML)")] = None,
    replay: Annotated[Path | None, typer.Option(help="CSV of recorded values to play as devices")] = None,
    columns: Annotated[str, typer.Option(help="quantity=column,… of the recording")] = "",
    control: Annotated[str, typer.Option(help="HOST:PORT of the control socket (JSON lines)")] = "",
    time: Annotated[str, typer.Option(help="driven | real | accelerated[:SPEED]")] = "",
    seconds: Annotated[float, typer.Option(help="end after so many real seconds; 0: on SIGTERM")] = 0.0,
) -> None:
    """Serve simulated devices until SIGTERM, Ctrl-C, or `stop` on the control socket. 模拟装置。

    On a terminal faults are switched by typing `fault DEVICE KIND [VALUE [PROBABILITY]]` and `clear DEVICE KIND`.
    """
    import uvloop

    from simulators.fault_file import load_faults
    from simulators.scenario import load_scenario
    from simulators.simulation import Simulation

    if replay is not None:
        from simulators.replay import replay_simulation

        simulation = replay_simulation(replay, columns, plant or Path(replay.stem))
    elif plant is None:
        raise typer.BadParameter("name a PLANT.toml, or a recording by --replay")
    else:
        simulation = Simulation.of_scenario(load_scenario(plant))
    if faults is not None:
        simulation.plan_faults(load_faults(faults, frozenset(simulation.devices.requests())))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(simulation, control, time, seconds))
    if simulation.devices.audit.violations:
        for line in simulation.devices.audit.violations[:20]:
            print(f"not a reading request: {line}", file=sys.stderr)
        raise typer.Exit(1)


async def _run(simulation: Simulation, control: str, time: str, seconds: float) -> None:
    from simulators.simulation import opened

    speed = _speed(time or ("driven" if simulation.config.settings.gateway.time_server else "real"))
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, simulation.stop)
    if seconds:
        loop.call_later(seconds, simulation.stop)
    async with opened(simulation, control_listen=control), asyncio.TaskGroup() as group:
        print(f"listening: {len(simulation.devices.requests())} devices", flush=True)
        tasks = [group.create_task(_show(simulation), name="table")]
        if sys.stdin.isatty():
            loop.add_reader(sys.stdin, _obey, simulation)
        if speed:
            from collector.clock import SystemClock

            follow = simulation.keeper.follow(SystemClock(), speed, simulation.stopped)
            tasks.append(group.create_task(follow, name="time"))
        await simulation.stopped.wait()
        for task in tasks:
            task.cancel()
        if sys.stdin.isatty():
            loop.remove_reader(sys.stdin)
    print("ended: " + _counts(simulation), flush=True)


def _speed(text: str) -> float:
    """Simulated seconds per real second; 0 where the clients drive."""
    kind, _, factor = text.partition(":")
    if kind == "driven" and not factor:
        return 0.0
    if kind == "real" and not factor:
        return 1.0
    with contextlib.suppress(ValueError):
        if kind == "accelerated" and 0 < (speed := float(factor or "60")) <= 1e6:
            return speed
    raise typer.BadParameter(f"expected driven, real or accelerated[:SPEED], got {text!r}", param_hint="--time")


def _obey(simulation: Simulation) -> None:
    """A line typed: `fault DEVICE KIND [VALUE [PROBABILITY]]`, `clear DEVICE KIND`, `hold`, `release`, `quit`."""
    from simulators.faults import Fault

    words = sys.stdin.readline().split()
    try:
        match words:
            case ["fault", device, kind, *rest] if len(rest) <= 2:
                value, probability = (*rest, "0", "1")[:2] if len(rest) != 1 else (rest[0], "1")
                simulation.fault_on(Fault(device, kind, int(value), float(probability)))
            case ["clear", device, kind]:
                simulation.fault_off(device, kind)
            case ["hold"]:
                simulation.hold(simulation.keeper.now_utc_ms)
            case ["release"]:
                simulation.release()
            case ["quit"] | []:
                simulation.stop() if words else None
            case _:
                print("fault DEVICE KIND [VALUE [PROBABILITY]] | clear DEVICE KIND | hold | release | quit", flush=True)
    except (CollectorError, ValueError) as error:
        print(error, flush=True)


def _counts(simulation: Simulation) -> str:
    return ", ".join(f"{device} {count}" for device, count in simulation.devices.requests().items())


async def _show(simulation: Simulation) -> None:
    """A live table on a terminal; elsewhere nothing until the end."""
    if not sys.stdout.isatty():
        return
    from rich.live import Live

    with Live(_table(simulation), auto_refresh=False) as live:
        while True:
            await asyncio.sleep(REFRESH_S)
            live.update(_table(simulation), refresh=True)


def _table(simulation: Simulation) -> Table:
    from rich.table import Table

    from collector.model.interval import format_time

    table = Table(title=f"{simulation.month}  {format_time(simulation.keeper.now_utc_ms)}")
    for title in ("device", "protocol", "where", "points", "asked by", "requests", "faults"):
        table.add_column(title, justify="right" if title in ("points", "requests") else "left")
    counts, active = simulation.devices.requests(), simulation.devices.faults.active()
    for device in simulation.config.settings.device:
        if device.id not in counts:
            continue
        where = device.serial or f"{device.host}:{device.port}/{device.slave}"
        table.add_row(
            device.id, device.protocol, where, str(len(simulation.config.points[device.id])),
            ", ".join(simulation.devices.peers(device.id)) or "-", str(counts[device.id]),
            " ".join(f"{fault.kind}:{fault.value}" for fault in active if fault.device == device.id),
        )  # fmt: skip
    return table
