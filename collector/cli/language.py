# SPDX-License-Identifier: GPL-3.0-or-later
"""The language of a terminal: COLLECTOR_LANGUAGE (`zh` or `en`), else from the locale of the system."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from collector.base.text import Language, Text, into, tr

SEVERITIES: Final[Mapping[str, Text]] = {"error": tr("error"), "warning": tr("warning")}


def terminal_language() -> Language:
    """`zh` where a variable of the locale says so, else `en`."""
    names = ("COLLECTOR_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
    named = next((os.environ[name] for name in names if os.environ.get(name)), "")
    return "zh" if named.startswith("zh") else "en"


def say(text: object) -> str:
    """A text in this terminal's language."""
    return str(into(text, terminal_language()))


def print_text(text: str, /, **values: Any) -> None:
    """Print a text in this terminal's language. As with `tr`, it must be a literal at the call."""
    print(say(tr(text, **values)))


def heads(*texts: str) -> tuple[Text, ...]:
    """The headings of a table, each a literal at the call, as with `tr`."""
    return tuple(map(tr, texts))
