# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines for people and programs: `channel=… device=… unit=… request=…`, then words."""

from __future__ import annotations

import json
import logging
from typing import Final

FORMAT: Final = "%(asctime)s %(name)s %(levelname)s %(message)s"


def fields(**named: object) -> str:
    """`name=value` for each that has a value; one with a blank, a quote or an equals sign is quoted as in JSON."""
    return " ".join(f"{name}={_plain(str(value))}" for name, value in named.items() if value not in ("", None))


def _plain(text: str) -> str:
    quoted = not text.isprintable() or any(c in text for c in ' "=')
    return json.dumps(text, ensure_ascii=False) if quoted else text


def start_logging(level: int = logging.INFO) -> None:
    """Log to stderr, for the journal. The Modbus library is silenced: the poller logs each refusal once, by name."""
    logging.basicConfig(level=level, format=FORMAT)
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
