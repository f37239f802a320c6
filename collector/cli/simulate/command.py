# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector simulate`: device simulators on real sockets, with a table of what is served and who asks."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.base.text import tr
from collector.cli.language import say

if TYPE_CHECKING:
    from simulators.run.simulation import Simulation


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

    On a terminal faults are switched by typing `fault DEVICE KIND [VALUE [PROBABILITY]]` and `clear DEVICE KIND`, and
    values set by `set UNIT QUANTITY VALUE` and `unset UNIT QUANTITY`.
    """
    import asyncio

    import uvloop

    from simulators.faults.file import load_faults
    from simulators.plant.scenario import load_scenario
    from simulators.run.simulation import Simulation

    if replay is not None:
        from simulators.run.replay import replay_simulation

        simulation = replay_simulation(replay, columns, plant or Path(replay.stem))
    elif plant is None:
        raise typer.BadParameter(say(tr("name a PLANT.toml, or a recording by --replay")))
    else:
        simulation = Simulation.of_scenario(load_scenario(plant))
    if faults is not None:
        simulation.plan_faults(load_faults(faults, frozenset(simulation.devices.requests())))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(simulation, control, time, seconds))
    if simulation.devices.audit.violations:
        for line in simulation.devices.audit.violations[:20]:
            print(say(tr("not a reading request: {line}", line=line)), file=sys.stderr)
        raise typer.Exit(1)


async def _run(simulation: Simulation, control: str, time: str, seconds: float) -> None:
    import asyncio

    from collector.cli.simulate.screen import run_screen
    from simulators.run.simulation import opened

    speed = _speed(time or ("driven" if simulation.config.settings.gateway.time_server else "real"))
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, simulation.stop)
    if seconds:
        loop.call_later(seconds, simulation.stop)
    async with opened(simulation, control_listen=control), asyncio.TaskGroup() as group:
        print(say(tr("listening: {count} devices", count=len(simulation.devices.requests()))), flush=True)
        tasks = [group.create_task(run_screen(simulation), name="screen")]
        if speed:
            from collector.base.clock import SystemClock

            follow = simulation.keeper.follow(SystemClock(), speed, simulation.stopped)
            tasks.append(group.create_task(follow, name="time"))
        await simulation.stopped.wait()
        for task in tasks:
            task.cancel()
    print(say(tr("ended: {counts}", counts=_counts(simulation))), flush=True)


def _speed(text: str) -> float:
    """Simulated seconds per real second; 0 where the clients drive the time."""
    kind, _, factor = text.partition(":")
    if kind == "driven" and not factor:
        return 0.0
    if kind == "real" and not factor:
        return 1.0
    with contextlib.suppress(ValueError):
        if kind == "accelerated" and 0 < (speed := float(factor or "60")) <= 1e6:
            return speed
    raise typer.BadParameter(
        say(tr("expected driven, real or accelerated[:SPEED], got {text!r}", text=text)), param_hint="--time"
    )


def _counts(simulation: Simulation) -> str:
    return ", ".join(f"{device} {count}" for device, count in simulation.devices.requests().items())
