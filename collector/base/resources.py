# SPDX-License-Identifier: GPL-3.0-or-later
"""The place of config/: package data of an installed wheel, otherwise the folder of the checkout."""

from __future__ import annotations

import contextlib
from importlib.resources import files
from pathlib import Path


def config_path(name: str = "") -> Path:
    """The file or folder `name` of config/, e.g. `rules/east-china-trial`.

    Raises:
        FileNotFoundError: neither the wheel nor a checkout has it.
    """
    checkout = Path(__file__).parents[2] / "config"
    candidates = [checkout] if (checkout.parent / "pyproject.toml").is_file() else []
    with contextlib.suppress(ModuleNotFoundError):
        candidates.append(Path(str(files("collector_config"))))
    for root in candidates:
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(f"config/{name} is neither in the wheel nor in a checkout beside it")
