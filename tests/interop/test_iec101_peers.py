# SPDX-License-Identifier: GPL-3.0-or-later
"""Our 101 driver at lib60870-C's own example of a station, unbalanced and balanced, over two pseudo terminals.

LIB60870 names the folder `lib60870-C` of a checkout (github.com/mz-automation/lib60870, 2.4.1); the example is
built from it as it is, or with the one word changed that makes it balanced.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collector.agent.device.contract import Device, Explaining
from collector.base.errors import DeviceError
from collector.model.record import Quality
from tests.interop.interop_peers import Found, device_of, needs_socat, serial_line, with_device

SOURCE = Path(os.environ.get("LIB60870", "/nowhere"))
FOLDERS = ("config", "src/inc/api", "src/inc/internal", "src/hal/inc", "src/common/inc", "src/file-service")
PARTS = (
    "src/iec60870/*.c", "src/iec60870/*/*.c", "src/common/*.c", "src/file-service/*.c", "src/hal/memory/*.c",
    "src/hal/serial/linux/*.c", "src/hal/socket/linux/*.c", "src/hal/thread/linux/*.c", "src/hal/time/unix/*.c",
)  # fmt: skip
TABLE = """name,quantity,unit,area,type,address,raw_unit,scale,guard
p,active_power_mw,U,11,,100,MW,1,
u,bus_voltage_kv,U,11,,102,V,100,
q,reactive_power_mvar,U,11,,101,Mvar,1,
on,on_grid,U,30,bit,104,,,
agc,agc_in_service,U,1,bit,105,,,
avc,avc_in_service,U,1,bit,302,,,
target,avc_target_kv,U,11,,110,kV,1,
"""
# What slave_example.c says of itself: -1, 23 and 2300 scaled, single points; 110 counts up each second from 0.
AT_START: Found = {
    "p": (-1000, Quality.GOOD), "q": (23_000, Quality.GOOD), "u": (230_000, Quality.GOOD), "on": (1, Quality.GOOD),
    "agc": (0, Quality.GOOD), "avc": (1, Quality.GOOD),
}  # fmt: skip

pytestmark = [
    pytest.mark.skipif(
        not (SOURCE / "src").is_dir() or shutil.which("gcc") is None,
        reason="no lib60870-C to build (LIB60870 names its folder), or no gcc",
    ),
    needs_socat,
]


@contextmanager
def example(folder: Path, line: Path, mode: str) -> Iterator[None]:
    """The example station of the library at one end of a line."""
    text = (SOURCE / "examples/cs101_slave/slave_example.c").read_text("utf-8")
    chosen = "    CS101_Slave slave = CS101_Slave_create(port, NULL, NULL, IEC60870_LINK_LAYER_UNBALANCED);"
    assert chosen in text
    (folder / "slave.c").write_text(text.replace(chosen, chosen.replace("UNBALANCED", mode.upper())), "utf-8")
    parts = [str(path) for pattern in PARTS for path in sorted(SOURCE.glob(pattern))]
    includes = [f"-I{SOURCE / name}" for name in FOLDERS]
    program = folder / f"slave-{mode}"
    subprocess.run(
        ["gcc", "-O1", "-w", "-o", str(program), *includes, str(folder / "slave.c"), *parts, "-lpthread"], check=True
    )
    with subprocess.Popen([str(program), str(line)], stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def test_lib60870_is_interrogated_on_unbalanced_and_balanced_lines(tmp_path: Path) -> None:
    for mode in ("unbalanced", "balanced"):
        folder = tmp_path / mode
        folder.mkdir()

        async def scenario(device: Device) -> None:
            newest: Found = {}
            counted: list[int] = []
            while not (AT_START.items() <= newest.items() and len(counted) >= 3):
                await asyncio.sleep(0.02)  # a read of a balanced link need not wait, and the line needs its turn
                try:
                    answer = await device.read(device.points, budget_s=1.0)
                except DeviceError:
                    continue
                readings = [*answer.readings, *device.collect()]
                newest |= {r.point.name: (r.value, r.quality) for r in readings}
                counted += [r.value for r in readings if r.point.name == "target" and r.value is not None]
            assert isinstance(device, Explaining)
            assert counted == list(range(counted[0], counted[0] + 1000 * len(counted), 1000)), "each once, in order"
            assert set(device.oddities) <= {"the station sent type 7, which is not read here"}

        with serial_line(folder) as (ours, theirs), example(folder, theirs, mode):
            keys = {
                "protocol": "iec101", "serial": str(ours), "parity": "none", "common_addresses": [1],
                "link_mode": mode, "cause_octets": 2, "common_address_octets": 2, "object_address_octets": 3,
                "timeout_s": 0.5,
            }  # fmt: skip
            with_device(lambda folder=folder, keys=keys: device_of(folder, TABLE, **keys), scenario)  # type: ignore[misc]
