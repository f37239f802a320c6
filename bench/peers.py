# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench PEERS=1`: programs nobody here wrote, on the same day files and the same simulated registers.

DuckDB, Polars and pandas make seven sums for each unit and day of a month of 100 units; beside them stands our
measuring of all services over the same files. libmodbus, in C, and modpoll read the same blocks of registers as our
driver, which makes records of them. c104's bare callback takes the same changed values as our driver. ThingsBoard
Gateway and our agent go through the same kill and the same absence of their broker. Each peer is a process in a virtual
environment of its own below build/peers, made at its first use and kept; its version is in its name. CPU seconds and
VmHWM of the process. A peer has no target. One that can't be had on this machine is a row that says why.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.figure import Figure
from bench.modbus import serve_blocks
from bench.month_folder import MONTH, UNITS_PER_PLANT, write_folder, write_lake
from bench.peers_104 import figure, measure_104
from bench.peers_thingsboard import LACKS, PACKAGES, PEER, measure_gateways
from bench.process import ended_cpu_s

PLANTS: Final = 20
BLOCKS: Final = 20_000
POINTS: Final = 50
ENVIRONMENTS: Final = Path(__file__).parents[1] / "build" / "peers"
TIMES: Final = 3
MODPOLL_DEVICES: Final = 100
_TELL: Final = """
import time, sys
def tell(begun_s):
    peak = next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    print(time.process_time() - begun_s, peak)
"""
_COLUMNS: Final = (
    "active_power_mw", "reactive_power_mvar", "bus_voltage_kv", "frequency_hz", "agc_setpoint_mw", "avc_target_kv",
    "energy_export_mwh",
)  # fmt: skip
_DUCKDB: Final = """
import duckdb
duckdb.execute("set threads = 1")
begun_s = time.process_time()
sums = ", ".join(f"sum({name})" for name in COLUMNS)
rows = duckdb.execute(
    f"select unit, time // 86400000 as day, {sums} from read_parquet('{sys.argv[1]}/*.parquet') where place = 0 "
    "group by unit, day"
).fetchall()
assert len(rows) > 100
tell(begun_s)
"""
_POLARS: Final = """
import polars
begun_s = time.process_time()
rows = (
    polars.scan_parquet(sys.argv[1] + "/*.parquet").filter(polars.col("place") == 0)
    .group_by("unit", polars.col("time") // 86400000).agg([polars.col(name).sum() for name in COLUMNS]).collect()
)
assert len(rows) > 100
tell(begun_s)
"""
_PANDAS: Final = """
import glob, pandas
begun_s = time.process_time()
read = ["unit", "time", "place", *COLUMNS]
table = pandas.concat([pandas.read_parquet(path, columns=read) for path in sorted(glob.glob(sys.argv[1] + "/*"))])
table = table[table["place"] == 0]
for name in COLUMNS:
    table[name] = table[name].astype("float64")
rows = table.groupby(["unit", table["time"] // 86400000], observed=True)[list(COLUMNS)].sum()
assert len(rows) > 100
tell(begun_s)
"""
_OURS: Final = """
from pathlib import Path
from bench.measure import measure_folder
begun_s = time.process_time()
measure_folder(Path(sys.argv[1]).parent, Path(sys.argv[1]))
tell(begun_s)
"""
# Prototypes by hand: the library's headers need not be installed.
_LIBMODBUS: Final = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
typedef struct _modbus modbus_t;
modbus_t *modbus_new_tcp(const char *ip, int port);
int modbus_connect(modbus_t *ctx);
int modbus_set_slave(modbus_t *ctx, int slave);
int modbus_read_registers(modbus_t *ctx, int addr, int nb, uint16_t *dest);
int main(int count, char **words) {
  uint16_t registers[125];
  modbus_t *ctx = modbus_new_tcp("127.0.0.1", atoi(words[1]));
  int points = atoi(words[2]), blocks = atoi(words[3]);
  modbus_set_slave(ctx, points);
  if (modbus_connect(ctx)) return 1;
  for (int n = 0; n < blocks; n++)
    if (modbus_read_registers(ctx, 0, 2 * points, registers) != 2 * points) return 2;
  printf("%f 0\\n", (double)clock() / CLOCKS_PER_SEC);
  return 0;
}
"""


@dataclass(frozen=True, slots=True)
class LakeEngine:
    """An engine that reads the lake: its packages, as pip takes them, and its script."""

    name: str
    packages: tuple[str, ...]
    script: str


ENGINES: Final = (
    LakeEngine("DuckDB", ("duckdb>=1.1",), _DUCKDB),
    LakeEngine("Polars", ("polars>=1.20",), _POLARS),
    LakeEngine("pandas", ("pandas>=2.2", "pyarrow>=18"), _PANDAS),
)


def measure() -> list[Figure]:
    """Each peer beside ours."""
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        write_folder(data, PLANTS, write_lake)
        (data / "records").rename(data / "lake")
        (data / "records").mkdir()
        figures = list(_lake(data / "lake"))
    return [*figures, *_registers(), _c104(), *_gateways()]


def _lake(records: Path) -> Iterator[Figure]:
    ours_s, ours_mb = _median(sys.executable, _TELL + _OURS, str(records))
    sums = f"seven sums a unit and day, {PLANTS * UNITS_PER_PLANT} units, {MONTH}"
    for engine in ENGINES:
        python, found = _environment(engine.name, engine.packages)
        if python is None:
            yield _skipped(engine.name, found)
            continue
        script = f"{_TELL}COLUMNS = {_COLUMNS!r}\n{engine.script}"
        taken_s, peak_mb = _median(python, script, str(records))
        yield _peer(f"{engine.name} {found}: {sums}, CPU", taken_s, "s", "ours measures all services", ours_s)
        yield _peer(f"{engine.name} {found}: {sums}, memory", peak_mb, "MB", "ours", ours_mb)


def _registers() -> Iterator[Figure]:
    """CPU of libmodbus and of modpoll for a block, beside that of our driver and its records."""
    yield from _modpoll()
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        yield _skipped("libmodbus in C", "no C compiler is installed")
        return
    with tempfile.TemporaryDirectory() as name, serve_blocks() as port:
        program = Path(name) / "poll"
        built = subprocess.run(
            [compiler, "-O2", "-x", "c", "-", "-o", program, "-x", "none", "-l:libmodbus.so.5"],
            input=_LIBMODBUS, text=True, capture_output=True,
        )  # fmt: skip
        if built.returncode:
            yield _skipped("libmodbus in C", "libmodbus5 is not installed")
            return
        command = [str(program), str(port), str(POINTS), str(BLOCKS)]
        taken_s = [float(subprocess.check_output(command, text=True).split()[0]) for _ in range(TIMES)]
        ours_s = [_our_blocks_s(port) for _ in range(TIMES)]
    theirs, ours = (statistics.median(each) / BLOCKS / POINTS * 1e6 for each in (taken_s, ours_s))
    yield _peer("libmodbus in C: reads the block, a point", theirs, "us", "ours reads and makes records", ours)


def _modpoll() -> Iterator[Figure]:
    """A poll of 100 devices over that of one, so that its start is left out; it prints nothing and sends nothing."""
    python, found = _environment("modpoll", ("modpoll==1.6.0",))
    if python is None:
        yield _skipped("modpoll 1.6", found)
        return
    with tempfile.TemporaryDirectory() as name, serve_blocks() as port:
        taken_s = {}
        for devices in (1, MODPOLL_DEVICES + 1):
            path = Path(name) / f"{devices}.csv"
            path.write_text("".join(_modpoll_rows(number) for number in range(devices)), "utf-8")
            command = [str(Path(python).with_name("modpoll")), "-f", str(path), "--tcp", "127.0.0.1", "--tcp-port"]
            command += [str(port), "--once", "--daemon", "--interval", "0"]
            taken_s[devices] = statistics.median(ended_cpu_s(command) for _ in range(TIMES))
        ours_s = statistics.median(_our_blocks_s(port) for _ in range(TIMES))
    theirs_us = (taken_s[MODPOLL_DEVICES + 1] - taken_s[1]) / MODPOLL_DEVICES / POINTS * 1e6
    ours_us = ours_s / BLOCKS / POINTS * 1e6
    yield _peer(f"modpoll {found}: reads and decodes, a point", theirs_us, "us", "ours makes records too", ours_us)


def _c104() -> Figure:
    python, found = _environment("c104", ("c104>=2.2,<3",))
    if python is None:
        return _skipped("c104's bare callback", found)
    bare_us, ours_us = measure_104(python, TIMES)
    return figure(found, statistics.median(bare_us), statistics.median(ours_us))


def _gateways() -> Iterator[Figure]:
    if LACKS:
        yield _skipped(PEER, LACKS)
        return
    python, found = _environment("thingsboard-gateway", PACKAGES)
    if python is None:
        yield _skipped(PEER, found)
        return
    yield from measure_gateways(python, found)


def _modpoll_rows(device: int) -> str:
    """A device of modpoll's configuration: the block of registers, and its points."""
    points = "".join(f"ref,d{device}p{n},{2 * n},float32,r,,\n" for n in range(POINTS))
    return f"device,d{device},{POINTS},,,\npoll,holding_register,0,{2 * POINTS},BE_BE,\n{points}"


def _our_blocks_s(port: int) -> float:
    """CPU seconds of our driver and recorder for as many blocks, one link, in a process of its own."""
    script = f"from bench.modbus import one_link_s; print(one_link_s({port}, {POINTS}, {BLOCKS // 10}))"
    return 10 * float(subprocess.check_output([sys.executable, "-c", script], text=True))


def _median(python: str, script: str, *arguments: str) -> tuple[float, float]:
    """CPU seconds and peak memory, MB, as the script tells them."""
    told = [subprocess.check_output([python, "-c", script, *arguments], text=True).split() for _ in range(TIMES)]
    return statistics.median(float(cpu_s) for cpu_s, _ in told), max(float(mb) for _, mb in told)


def _environment(name: str, packages: tuple[str, ...]) -> tuple[str | None, str]:
    """The Python of a peer's own environment and the peer's version; None and why not."""
    folder = ENVIRONMENTS / name.lower()
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "install", "--quiet", *packages], capture_output=True, text=True)
    if done.returncode:
        return None, f"pip: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}"
    shown = subprocess.check_output([*pip, "show", name.lower()], text=True)
    return str(python), next(line.split()[1] for line in shown.splitlines() if line.startswith("Version:"))


def _peer(name: str, value: float, unit: str, floor: str, floor_value: float) -> Figure:
    """A peer's figure over ours; no target."""
    return Figure(name, value, unit, floor, floor_value, 0.0, of_ratio=True, at_most=False)


def _skipped(name: str, why: str) -> Figure:
    return Figure.absolute(f"skipped: {name}: {why}", 0.0, "", 0.0)
