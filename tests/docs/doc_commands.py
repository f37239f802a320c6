# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that the documentation shows, and a scratch root in which they are carried out as printed.

A command of ours runs in this process; any other in a shell. What names a place of the machine (/etc/collector,
/var/lib, /backup) is at that place below the scratch root; an owner is not set, which takes root.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from typer.testing import CliRunner

from collector.cli.main import app
from tests.patience import HANG_S

ROOT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL: Final = frozenset({"sh", "bash", "shell", "console"})
_PLACE: Final = re.compile(
    r"(?<![\w./-])/(?=(?:etc/(?:collector|mosquitto|systemd)|var/lib|backup|packages|opt/collector)\b)"
)
_OWNER: Final = re.compile(r" -[og] \w+(?= )")
_AS_USER: Final = re.compile(r"^runuser -u collector -- ")
_OURS: Final = re.compile(r"^(?:\S*/bin/)?collector(?= )")


def pages() -> list[Path]:
    """Every page with commands: the English ones (a test holds the Chinese blocks to be the same), and READMEs."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    found += [path for folder in ("packages", "config", "bench") for path in (ROOT / folder).rglob("*.md")]
    return sorted(path for path in found if path.name == "README.zh-CN.md" or not path.name.endswith(".zh-CN.md"))


def sections_of(page: Path) -> dict[str, list[str]]:
    """The commands below each heading of a page."""
    parts = re.split(r"^##+ (.*)$", page.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return {heading: commands_in(text) for heading, text in zip(parts[::2], parts[1::2], strict=True)}


def commands_of(page: Path) -> list[str]:
    """The commands of a page in their order."""
    return commands_in(page.read_text("utf-8"))


def commands_in(text: str) -> list[str]:
    """The commands of a text in their order; a loop is one command."""
    found: list[str] = []
    for kind, block in _BLOCK.findall(text):
        loop: list[str] = []
        for line in block.replace("\\\n", " ").splitlines():
            command = re.sub(r"\s+#.*$", "", line).strip()
            # A block of no kind is a table or a picture, or shows what our own commands take.
            if not command or command.startswith("#") or not (kind in _SHELL or (not kind and _OURS.match(command))):
                continue
            loop.append(command)
            if not loop[0].startswith("for ") or command == "done":
                found.append("\n".join(loop))
                loop = []
        found += loop
    return found


@dataclass(frozen=True, slots=True)
class Scratch:
    """A root of its own, and the folder in it where the commands are given."""

    root: Path

    def placed(self, command: str) -> str:
        """The command with its places below this root."""
        text = _OWNER.sub("", _AS_USER.sub("", command))
        return _PLACE.sub(f"{self.root}/", text).replace(" -C / ", f" -C {self.root} ")

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and output."""
        text = self.placed(command)
        if _OURS.match(text):
            words = shlex.split(_OURS.sub("", text))
            with contextlib.chdir(self.root):
                result = CliRunner().invoke(app, words, env={"COLUMNS": "200", "COLLECTOR_LANGUAGE": "en"})
            return result.exit_code, result.output + (str(result.exception) if result.exception else "")
        done = subprocess.run(
            ["bash", "-ec", text], cwd=self.root, capture_output=True, text=True, timeout=HANG_S, env=dict(os.environ)
        )
        return done.returncode, done.stdout + done.stderr


def every_command() -> Iterator[tuple[str, str]]:
    """Page (its name) and command."""
    for page in pages():
        for command in commands_of(page):
            yield page.relative_to(ROOT).as_posix(), command
