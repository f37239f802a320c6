# SPDX-License-Identifier: GPL-3.0-or-later
"""The help of the verbs in Chinese: docstrings and option texts are English in the code, the catalogue has the other.

An English help keeps the few Chinese words at the end of each verb, so that one who can't set a language finds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from click import Context

from collector.base.text import Text, catalogue, tr
from collector.cli.verbs import Verbs


def every_text(command: Any) -> Iterator[str]:
    """Each text of a command's help and of all verbs below it, as it stands in the code."""
    yield from filter(None, (command.help, command.epilog, *(getattr(each, "help", None) for each in command.params)))
    for verb in getattr(command, "commands", {}).values():
        yield from every_text(verb)


def put_into_chinese(command: Any) -> None:
    """Give a command, its options and each verb below it, once made, their Chinese; what has none stays English."""
    words = catalogue().gettext
    if command.help:
        command.help = words(command.help)
        # By click's own rule a list of verbs ends a text at an English full stop, and cuts it at a space.
        command.short_help = command.help.partition("\n")[0].partition("\u3002")[0]
    if command.epilog:
        command.epilog = words(command.epilog)
    for parameter in (*command.params, command.get_help_option(Context(command))):
        if getattr(parameter, "help", None):
            parameter.help = words(parameter.help)
    verbs = getattr(command, "commands", {})
    if isinstance(verbs, Verbs):
        verbs.change = put_into_chinese
        return
    for verb in verbs.values():
        put_into_chinese(verb)


# Click's own text of --help.
SHOW_HELP: Text = tr("Show this message and exit.")
