# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of a statement folder, for `compare` and `quarter`. Its files must match the manifest's SHA-256."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.report.manifest import hashes_wrong

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Saved:
    """A statement read back: lines.csv, plants.csv and determinants.csv as text, and the manifest."""

    folder: Path
    manifest: Mapping[str, Any]
    lines: tuple[Row, ...]
    plants: tuple[Row, ...]
    determinants: tuple[Row, ...]

    @property
    def month(self) -> str:
        """The month settled."""
        return str(self.manifest["month"])

    @property
    def inputs(self) -> Mapping[str, str]:
        """SHA-256 of each input file by name."""
        found: Mapping[str, str] = self.manifest["inputs"]
        return found


def load_saved(folder: Path, manifest: Mapping[str, Any] | None = None) -> Saved:
    """Read a statement folder. `manifest`: the manifest it must have, if known; else its own is used.

    Raises:
        ConfigError: the folder holds no statement, or a file differs from the manifest.
    """
    try:
        if manifest is None:
            manifest = json.loads((folder / "manifest.json").read_bytes())
        hashes, _ = dict(manifest["files"]), manifest["inputs"]["register.toml"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            [Problem(str(folder), 0, "", tr("is no statement folder: no manifest.json of ours"))]
        ) from None
    tables: dict[str, tuple[Row, ...]] = {}
    problems = [Problem(str(folder / "manifest.json"), 0, "", words) for words in hashes_wrong(manifest, "manifest")]
    for name in ("lines.csv", "plants.csv", "determinants.csv"):
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            problems.append(
                Problem(str(folder / name), 0, "", tr("can't be read: {strerror}", strerror=error.strerror))
            )
            continue
        if (found := hashlib.sha256(data).hexdigest()) != hashes.get(name):
            message = "is not the file the manifest names; it was changed"
            hint = f"expected SHA-256 {hashes.get(name)}, found {found}"
            problems.append(Problem(str(folder / name), 0, "", f"{message} ({hint})"))
            continue
        tables[name] = tuple(csv.DictReader(data.decode("utf-8").splitlines()))
    if problems:
        raise ConfigError(problems)
    return Saved(folder, manifest, tables["lines.csv"], tables["plants.csv"], tables["determinants.csv"])
