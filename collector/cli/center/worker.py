# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector center worker`: processes of this machine that measure for a center elsewhere."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("worker")(worker)


def worker(
    scheduler: Annotated[str, typer.Argument(metavar="dask://HOST:PORT", help="Where `dask scheduler` runs.")],
    processes: Annotated[
        int, typer.Option("--processes", min=0, metavar="N", help="How many; 0: one for each core.")
    ] = 0,
) -> None:
    """Measure for a center elsewhere, until it is stopped. 计量节点。

    This machine must see the lake under the same path. Dask asks for no password and carries out what it is sent: use
    it on a network of the center's own only.
    """
    from collector.center.runs.measuring.executors import require_dask, scheduler_of

    address = scheduler_of(scheduler, "worker")
    require_dask("worker")
    command = [
        sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard", "--nthreads", "1",
        "--nworkers", str(processes or os.cpu_count() or 1), "--local-directory", tempfile.gettempdir(),
    ]  # fmt: skip
    os.execv(sys.executable, command)
