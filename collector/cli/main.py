# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs of `collector`: arguments in, exit code out (0 good, 1 findings or refused, 2 usage).

Heavy modules are imported inside functions, so that a gateway without the center extra has all plant-side verbs, and
`--help` answers at once.
"""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
from pathlib import Path
from typing import Final

import typer
from typer.main import get_command

from collector.base.errors import CollectorError
from collector.base.ownership import remedy_for, remedy_of
from collector.base.text import join, said_by, tr
from collector.cli.help_words import list_whole, put_into_chinese, refuse_in_chinese
from collector.cli.language import say, terminal_language
from collector.cli.panels import ROOT_PANELS
from collector.cli.verbs import group_of
from collector.cli.version import print_version

# Errors of a disk that accepts no more data.
OF_THE_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})

app = typer.Typer(
    name="collector", cls=group_of(ROOT_PANELS), no_args_is_help=True, pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: boxes would cost three times the time of the help itself
    help="Ancillary-service records from plant devices to the monthly statement. 辅助服务：采集、上送、结算。",
    epilog="Examples: collector quickstart trial · collector agent check agent.toml · collector center status",
)  # fmt: skip


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=print_version, is_eager=True,
                                 help="Version, commit and versions of the schemas, and exit."),
) -> None:  # fmt: skip
    del version  # print_version ends the program


def main() -> None:
    """Entry point: every error of ours becomes words on stderr and exit code 1.

    New files (books, statements, keys) are readable by their user only, whatever the umask of shell or service.
    """
    os.umask(0o077)
    # Modules stay for good: looking for garbage among them took a tenth of the time in which the center's are loaded.
    gc.set_threshold(20_000, 20, 20)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Chinese shows `?` instead of stopping the work
    try:
        program = get_command(app)
        if terminal_language() == "zh":
            put_into_chinese(program)
            refuse_in_chinese(program)
        else:
            list_whole(program)
        program()
    except (CollectorError, PermissionError) as error:
        for text in filter(None, (said_by(error), remedy_for(error))):
            print(say(text), file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.errno not in OF_THE_DISK:
            raise
        words = tr("not written: {strerror}. Make room, and do it again", strerror=error.strerror)
        print(say(join(": ", filter(None, (error.filename and str(error.filename), words)))), file=sys.stderr)
        sys.exit(1)
    except SystemExit as ended:
        # Typer reports "path … is not readable" as a usage error; the file's owner is the helpful information.
        named = (Path(word) for word in sys.argv[1:] if os.sep in word)
        if ended.code == 2 and (closed := remedy_of(named, os.R_OK)):
            print(say(closed), file=sys.stderr)
        raise
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing in ("collector", "simulators"):
            raise
        remedy = tr(
            "this verb needs {module}, which is not installed here: in the checkout, pip install '.[center,demo]'; "
            "from packages, collector-center",
            module=missing,
        )
        print(say(remedy), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
