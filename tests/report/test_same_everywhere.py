# SPDX-License-Identifier: GPL-3.0-or-later
"""The same folder gives the same bytes on any host: time zone, locale, hash seed, cores, order of files and rows."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from collector.settlement import measure_units

WHEN = Path(__file__).parents[1] / "golden" / "black-start-and-thirds" / "when"
SETTLE = "from collector.cli.main import main; main()"
EVERY_UNIT_A_BATCH = "from collector.settlement import measure; measure._BATCH_ROWS = 1; "
HOSTS = (
    {"TZ": "Asia/Shanghai", "LC_ALL": "zh_CN.UTF-8", "PYTHONHASHSEED": "1"},
    {"TZ": "America/St_Johns", "LC_ALL": "de_DE.ISO-8859-1", "PYTHONHASHSEED": "77", "PYTHONIOENCODING": "latin-1"},
    {"TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONHASHSEED": "4000", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)


def shuffled(folder: Path, out: Path, seed: int) -> Path:
    """The folder with rows in another order, and the records spread over files whose names sort otherwise."""
    rng = random.Random(seed)
    shutil.copytree(folder, out)
    for path in out.glob("*.csv"):
        header, *rows = path.read_text("utf-8").splitlines()
        rng.shuffle(rows)
        path.write_text("\n".join([header, *rows, ""]), "utf-8")
    parts: list[list[str]] = [[], [], []]
    for path in sorted((out / "records").iterdir()):
        header, *rows = path.read_text("utf-8").splitlines()
        path.unlink()
        for row in rows:
            rng.choice(parts).append(row)
    for name, rows in zip(("z", "a", "m"), parts, strict=True):
        rng.shuffle(rows)
        (out / "records" / f"{name}.csv").write_text("\n".join([header, *rows, ""]), "utf-8")
    return out


def settled(data: Path, out: Path, host: dict[str, str], cores: set[int]) -> dict[str, bytes]:
    """What the command writes under a host's settings, on some cores."""
    result = subprocess.run(
        [sys.executable, "-c", EVERY_UNIT_A_BATCH + SETTLE, "settle", "2026-06", "--data", data, "--out", out],
        env={**os.environ, **host},
        capture_output=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    assert result.returncode == 0, result.stderr.decode("utf-8", "replace")
    files = {path.name: path.read_bytes() for path in sorted(out.iterdir())}
    files["result hash"] = json.loads(files.pop("manifest.json"))["result_hash"].encode()
    return files


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores can't be chosen on this platform")
def test_neither_host_nor_order_nor_cores_change_a_byte(tmp_path: Path) -> None:
    assert hasattr(measure_units, "_BATCH_ROWS")  # what makes several tasks of few units
    every = sorted(os.sched_getaffinity(0))
    plain = settled(WHEN, tmp_path / "plain", {}, set(every[:1]))
    money = ("lines.csv", "plants.csv", "determinants.csv", "not_paid.csv", "segments.csv", "result hash")
    for number, host in enumerate(HOSTS):
        same = settled(WHEN, tmp_path / f"same-{number}", host, set(every))
        assert same == plain, host
    data = shuffled(WHEN, tmp_path / "data", 7)
    other = settled(data, tmp_path / "other", HOSTS[1], set(every))
    assert {name: other[name] for name in money} == {name: plain[name] for name in money}
