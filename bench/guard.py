# SPDX-License-Identifier: GPL-3.0-or-later
"""`make guard`: fails when a hot path takes 15 % more instructions than the recorded number (`bench/guard.json`).

The instructions of each path of `hot_paths` are counted by valgrind's callgrind and divided by those of a bare loop in
the same run: neither how fast the machine is nor what else it does matters, nor how the interpreter was built. What
does is kept with the numbers: Python's version and the processor's kind. Where another stands, nothing is held, and a
line says so; so it does where valgrind is not installed.

`python -m bench.guard --accept` records what was found. Do so in the commit that makes a path dearer, and say in its
body what for; and in one that makes it cheaper, so that the gain is held from then on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.hot_paths import YARDSTICK, make_world

RECORD: Final = Path(__file__).with_name("guard.json")
MOST: Final = 1.15  # of the recorded ratio
_PART: Final = re.compile(r"^desc: Trigger: Client Request: ([^\n]+)$.*?^totals: (\d+)$", re.MULTILINE | re.DOTALL)


def main() -> None:
    """Count, compare, and record where asked to."""
    parser = argparse.ArgumentParser(prog="bench.guard")
    parser.add_argument("--accept", action="store_true", help="record what is found")
    accept = parser.parse_args().accept
    here, record = place(), json.loads(RECORD.read_text("utf-8"))
    if shutil.which("valgrind") is None or platform.machine() != "x86_64":
        print(f"hot paths are not guarded: needs valgrind on x86_64; this is {here}")
        return
    if record["place"] != here and not accept:
        print(f"hot paths are not guarded: the record is of {record['place']}, this is {here}")
        return
    found = count()
    if accept:
        RECORD.write_text(json.dumps({"place": here, "ratios": found}, indent=2) + "\n", "utf-8")
    dearer = compare(found, found if accept else record["ratios"])
    if dearer:
        sys.exit(
            f"dearer than recorded by more than {MOST - 1:.0%}: {', '.join(dearer)}\n"
            "Look for what it is with a profiler. Where it is worth it: python -m bench.guard --accept"
        )


def place() -> str:
    """What the counts depend on beside the code and the pinned libraries."""
    return f"Python {sys.version_info.major}.{sys.version_info.minor} on {platform.machine()}"


def count() -> dict[str, float]:
    """Instructions of each path, in bare loops of 100 000 steps."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_world(folder)
        out = folder / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}", "--quiet"]
        # What differs from one run to the next is fixed: the order of sets, threads that share work as they come.
        fixed = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run(
            [*command, sys.executable, "-m", "bench.hot_paths", name], check=True, env={**os.environ, **fixed}
        )
        parts = sorted(folder.glob("callgrind.out.*"), key=lambda path: int(path.suffix[1:]))
        instructions = dict(instructions_of(path.read_text("utf-8", "replace")) for path in parts)
    yardstick = instructions.pop(YARDSTICK)
    return {path: round(number / yardstick, 3) for path, number in instructions.items()}


def instructions_of(part: str) -> tuple[str, int]:
    """The name and the instructions of a part that callgrind dumped.

    Raises:
        ValueError: it is none.
    """
    found = _PART.search(part)
    if found is None:
        raise ValueError("callgrind wrote a part without name or total")
    return found[1], int(found[2])


def compare(found: Mapping[str, float], recorded: Mapping[str, float]) -> list[str]:
    """Print each path beside its record; those that are too dear, and those that one of the two lacks."""
    dearer = [path for path in recorded if path not in found]
    for path, ratio in found.items():
        before = recorded.get(path)
        change = "not recorded" if before is None else f"{ratio / before - 1:+.1%}"
        if before is None or ratio > before * MOST:
            dearer.append(path)
        print(f"{'FAIL' if path in dearer else 'ok  '} {path:<40} {ratio:>8.3f} bare loops  {change}", flush=True)
    return dearer


if __name__ == "__main__":
    main()
