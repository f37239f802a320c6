# SPDX-License-Identifier: GPL-3.0-or-later
"""Each command of the documentation with the test that runs it: `python -m tests.docs.command_list`.

Three columns with tabs between them: page, command, test. What is run elsewhere says so in tests/docs/commands.toml.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from typing import Final

from tests.docs.doc_commands import ROOT, every_command

_HERE: Final = "tests/docs/test_commands.py"


def commands_and_tests() -> Iterator[tuple[str, str, str]]:
    """Page, command and test, in the order of the pages; each once a page."""
    listed = tomllib.loads((ROOT / "tests/docs/commands.toml").read_text("utf-8"))["not_run"]
    elsewhere = {command: each["held_by"] for each in listed for command in each["commands"]}
    for page, command in dict.fromkeys(every_command()):
        yield page, " ".join(command.split()), elsewhere.get(command, _HERE)


if __name__ == "__main__":
    sys.stdout.writelines("\t".join(row) + "\n" for row in commands_and_tests())
