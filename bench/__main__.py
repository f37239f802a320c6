# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench --out FILE [NAME…]`: every module of this folder that has `measure() -> list[Figure]`, in turn."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

from bench.figure import Figure


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    here = Path(__file__).parent
    names = arguments.names or sorted(
        p.stem for p in here.glob("*.py") if p.stem not in ("__init__", "__main__", "figure")
    )
    figures: list[Figure] = []
    for name in names:
        measure = getattr(importlib.import_module(f"bench.{name}"), "measure", None)
        for figure in measure() if measure else ():
            figures.append(figure)
            mark = "ok  " if figure.ok else "MISS"
            measured = f"{figure.value:>12.4g} {figure.unit:<14} {figure.ratio:>8.3g} x {figure.floor}"
            print(f"{mark} {figure.name:<46} {measured}", flush=True)
    arguments.out.write_text(json.dumps([f.row() for f in figures], indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
