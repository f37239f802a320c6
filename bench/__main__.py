# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench --out FILE [NAME…]`: every module of this folder that has `measure() -> list[Figure]`, in turn.

Each is measured in a process of its own, so that no figure inherits memory or loaded libraries from another; what its
libraries print goes to a log beside FILE, which is shown where a module fails.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.figure import Figure
from bench.machine import describe

_HERE = Path(__file__).parent
_ONE = """
import importlib, json, sys
from dataclasses import asdict
rows = [asdict(figure) for figure in importlib.import_module("bench." + sys.argv[1]).measure()]
open(sys.argv[2], "w").write(json.dumps(rows))
"""


def main() -> None:
    """Measure, print each figure as soon as it is there, write JSON and Markdown."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("names", nargs="*", help="modules of bench/; default: all that measure")
    arguments = parser.parse_args()
    out: Path = arguments.out
    machine = describe()
    for name, text in machine.items():
        print(f"{name}: {text}", flush=True)
    figures: list[Figure] = []
    failed: list[str] = []
    for name in arguments.names or _names():
        found = _measured(name, out.with_name(f"{out.stem}-{name}.log"))
        if found is None:
            failed.append(name)
        for figure in found or ():
            figures.append(figure)
            print(_line(figure), flush=True)
    out.write_text(json.dumps([f.row() for f in figures], indent=2) + "\n", "utf-8")
    out.with_suffix(".md").write_text(_markdown(machine, figures), "utf-8")
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


def _names() -> list[str]:
    """The modules that measure, by their names; peers, which are fetched, where PEERS=1 asks for them."""
    found = sorted(p.stem for p in _HERE.glob("*.py") if "\ndef measure() -> list[Figure]:" in p.read_text("utf-8"))
    return [name for name in found if name != "peers" or os.environ.get("PEERS")]


def _measured(name: str, log: Path) -> list[Figure] | None:
    """The figures of a module; None where it failed, which is told with the end of its log."""
    if importlib.util.find_spec(f"bench.{name}") is None:
        sys.exit(f"bench has no module {name}; there are {', '.join(_names())}")
    rows = log.with_suffix(".part")
    with log.open("wb") as output:
        done = subprocess.run([sys.executable, "-c", _ONE, name, str(rows)], stdout=output, stderr=output)
    if done.returncode or not rows.exists():
        print(f"FAIL {name}, {log}:", *log.read_text("utf-8", "replace").splitlines()[-5:], sep="\n     ", flush=True)
        return None
    figures = [Figure(**row) for row in json.loads(rows.read_text("utf-8"))]
    rows.unlink()
    return figures


def _line(figure: Figure) -> str:
    beside = "" if figure.ratio is None else f"{figure.ratio:>8.3g} x {figure.floor}"
    return f"{_verdict(figure)} {figure.name:<46} {figure.value:>12.4g} {figure.unit:<14} {beside}".rstrip()


def _verdict(figure: Figure) -> str:
    return "ok  " if figure.ok else "MISS"


def _markdown(machine: Mapping[str, str], figures: Sequence[Figure]) -> str:
    lines = ["# Bench", "", *(f"- {name}: {text}" for name, text in machine.items()), ""]
    lines += ["| what | value | floor or peer in the same run | ratio | target | |", "|---|---|---|---|---|---|"]
    for f in figures:
        floor = "" if f.floor_value is None else f"{f.floor}: {f.floor_value:.4g} {f.unit}"
        ratio = "" if f.ratio is None or math.isinf(f.ratio) else f"{f.ratio:.3g}"
        target = f"{'≤' if f.at_most else '≥'} {f.target:g} {'×' if f.of_ratio else f.unit}"
        verdict = "ok" if f.ok else "**missed**"
        lines.append(f"| {f.name} | {f.value:.4g} {f.unit} | {floor} | {ratio} | {target} | {verdict} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
