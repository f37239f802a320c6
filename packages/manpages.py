# SPDX-License-Identifier: GPL-3.0-or-later
"""Man pages from the program's own help: manpages.py FOLDER writes collector.1 and a page for each group of verbs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from collector import __version__
from collector.cli.main import app


def main(folder: Path) -> None:
    """Write every page."""
    folder.mkdir(parents=True, exist_ok=True)
    for words, command in groups(get_command(app), ()):
        name = "-".join(("collector", *words))
        (folder / f"{name}.1").write_text("\n".join(page(words, command)) + "\n", "utf-8")


def groups(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The program itself and each group of verbs below it."""
    yield words, command
    for name, verb in sorted(command.commands.items()):
        if hasattr(verb, "commands"):
            yield from groups(verb, (*words, name))


def page(words: tuple[str, ...], command: Any) -> Iterator[str]:
    """One page: its verbs with arguments and options; of a group below it only where to read on."""
    name = "-".join(("collector", *words))
    yield f'.TH {name.upper()} 1 "" "collector {__version__}" "Collector"'
    yield from (".SH NAME", f"{name} \\- {one_line(command.help)}")
    yield from (".SH SYNOPSIS", f".B collector {' '.join(words)}", ".I VERB …")
    yield ".SH VERBS"
    for verb_name, verb in sorted(command.commands.items()):
        yield ".SS " + " ".join(("collector", *words, verb_name))
        yield plain(verb.help or "")
        if hasattr(verb, "commands"):
            yield from (".PP", f"See \\fB{name}-{verb_name}\\fR(1).")
            continue
        for parameter in verb.params:
            heading = (
                ", ".join(parameter.opts)
                if parameter.opts[0].startswith("-")
                else parameter.metavar or parameter.name.upper()
            )
            yield from (".TP", f"\\fB{plain(heading)}\\fR", plain(getattr(parameter, "help", "") or "\\&"))
    yield from (".SH EXIT STATUS", "0 good, 1 findings or refused, 2 usage.")
    yield from (".SH FILES", "/etc/collector/agent.toml, /etc/collector/center.toml, /usr/share/doc/collector-*/")


def one_line(text: str | None) -> str:
    """The first sentence, for whatis."""
    return plain((text or "").strip().partition("\n")[0]).rstrip(".")


def plain(text: str) -> str:
    """A text that roff takes as it is."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
