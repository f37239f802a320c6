# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs of `collector`: arguments in, exit code out (0 good, 1 findings or refused, 2 usage).

Modules import what is heavy inside their functions, so that a gateway without the center
extra has all plant-side verbs and `--help` answers at once.
"""

from __future__ import annotations

import io
import sys

import typer

from collector.base.errors import CollectorError
from collector.base.text import said_by
from collector.cli import accept, explain, points, rulebook
from collector.cli.agent import commands as agent
from collector.cli.center import commands as center
from collector.cli.demo import command as demo
from collector.cli.language import say
from collector.cli.settle import command as settle
from collector.cli.simulate import command as simulate
from collector.cli.verify import command as verify

app = typer.Typer(
    name="collector", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Ancillary-service records from plant devices to the monthly statement. 辅助服务:采集、上送、结算。",
)  # fmt: skip
app.add_typer(agent.app, name="agent")
app.add_typer(center.app, name="center")
app.add_typer(points.app, name="points")
demo.register(app)
accept.register(app)
settle.register(app)
explain.register(app)
app.add_typer(rulebook.app, name="rulebook")
simulate.register(app)
verify.register(app)


def main() -> None:
    """Entry point: every error of ours becomes words on stderr and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Chinese shows `?`, and the work is not lost
    try:
        app()
    except CollectorError as error:
        print(say(said_by(error)), file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing in ("collector", "simulators"):
            raise
        remedy = "pip install 'collector[center,demo]'"
        print(f"this verb needs {missing}, which is not installed: {remedy}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
