# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent and the center do their work under the seccomp settings of their own units."""

from __future__ import annotations

import asyncio
import ctypes
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import aiomqtt
import pytest

from collector import wire
from collector.model.record import Quality, UnitLayout, UnitRecord
from simulators.plant.scenario import free_ports
from simulators.run.pytest_plugin import ServedDevices
from tests.patience import HANG_S
from tests.systemd.confined_program import allowed_calls

ROOT = Path(__file__).parents[2]
AGENT, CENTER = (ROOT / "systemd" / f"collector-{name}.service" for name in ("agent", "center"))
CONFINED = [sys.executable, str(Path(__file__).with_name("confined_program.py"))]
TABLE = "name,quantity,area,type,address,order,scale,raw_unit\nP,active_power_mw,holding,float32,0,ABCD,1,MW\n"


def _why_not() -> str:
    if shutil.which("systemd-analyze") is None:
        return "systemd-analyze is not installed here (Debian: apt-get install systemd)"
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return "libseccomp is not installed here"
    probe = subprocess.run([*CONFINED, str(AGENT), "/bin/true"], cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if probe.returncode == 0 else f"this kernel can't: {probe.stderr.splitlines()[-1]}"


@pytest.fixture(scope="module", autouse=True)
def _confinable() -> None:
    if reason := _why_not():
        pytest.skip(reason)


def test_the_agent_may_ask_for_the_clocks_state_and_nobody_may_set_it_or_mount() -> None:
    agent, center = (allowed_calls(unit.read_text("utf-8")) for unit in (AGENT, CENTER))
    assert {"adjtimex", "clock_adjtime"} <= agent
    assert not {"adjtimex", "clock_adjtime"} & center
    assert not {"clock_settime", "settimeofday", "mount", "ptrace", "bpf", "init_module", "reboot"} & (agent | center)


def test_what_the_unit_forbids_is_refused() -> None:
    script = (
        "import mmap, socket\n"
        "netlink = lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)\n"
        "for forbidden in (netlink, lambda: mmap.mmap(-1, 4096, prot=7)):\n"
        "    try: forbidden()\n"
        "    except PermissionError: print('refused')\n"
    )
    done = subprocess.run(
        [*CONFINED, str(AGENT), sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout.split() == ["refused", "refused"]


def test_the_agent_reads_records_and_ends_well(
    modbus_device: Callable[..., ServedDevices], broker: str, tmp_path: Path
) -> None:
    served = modbus_device(TABLE)
    served.show("active_power_mw", "380")
    host, port = broker.split(":")
    config = served.config.directory / "agent.toml"
    head = f'[mqtt]\nhost = "{host}"\nport = {port}\n[[plant]]'
    text = config.read_text("utf-8").replace("[[plant]]", head, 1)
    config.write_text(text.replace('id = "g"', f'id = "g"\nstate_dir = "{tmp_path}/state"', 1), "utf-8")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(HANG_S)
        command = [*CONFINED, str(AGENT), sys.executable, "-m", "collector.cli.main", "agent", "run", str(config)]
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "PATH": "/usr/bin:/bin"}
        with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
            try:
                said = [systemd.recv(100) for _ in range(3)]
            finally:
                process.terminate()
                _, errors = process.communicate(timeout=HANG_S)
    assert said == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"], errors
    assert process.returncode == 0, errors
    assert served.requests() > 0
    assert (tmp_path / "state" / "g.buffer").stat().st_size > 0


def test_the_center_receives_seals_and_says_that_it_lives(broker: str, tmp_path: Path) -> None:
    """Its sealing processes too: they are started, lower their priority and open the store under the same settings."""
    host, port = broker.split(":")
    (tmp_path / "center.toml").write_text(
        f'schema = 1\n[center]\nstate_dir = "state"\nlisten = "127.0.0.1:{free_ports(1)[0]}"\n'
        f'[mqtt]\nhost = "{host}"\nport = {port}\n'
        "[receiver]\nmax_age_days = 36500\n"
        '[lake]\nseal_after_s = 0.0\ncheck_every_s = 0.2\n[[plant]]\nid = "P1"\nunits = ["U1"]\nunsigned = true\n',
        "utf-8",
    )
    log = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, log.open("wb") as output:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(HANG_S)
        command = [*CONFINED, str(CENTER), sys.executable, "-m", "collector.cli.main", "center", "run"]
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "PATH": "/usr/bin:/bin"}
        arguments = [*command, str(tmp_path / "center.toml")]
        with subprocess.Popen(arguments, cwd=ROOT, env=environment, stderr=output, stdout=output) as process:
            try:
                said = {systemd.recv(100) for _ in range(2)}
                asyncio.run(_send_one_batch(host, int(port), log))
            finally:
                process.terminate()
                process.wait(timeout=HANG_S)
    assert said == {b"READY=1", b"WATCHDOG=1"}, log.read_text("utf-8")
    assert process.returncode == 0, log.read_text("utf-8")
    assert list((tmp_path / "state" / "lake" / "P1").glob("*.parquet"))


async def _send_one_batch(host: str, port: int, log: Path) -> None:
    record = UnitRecord("U1", 1_773_115_200_000, (330_000,), (Quality.GOOD,))
    layout = UnitLayout("U1", ("active_power_mw",))
    batch = wire.Batch(wire.Stream("P1", "g", 1), 1, (layout,), (record,), ())
    async with aiomqtt.Client(host, port, timeout=HANG_S) as client, asyncio.timeout(HANG_S):
        while b"sealed 2026-03-10-" not in await asyncio.to_thread(log.read_bytes):
            await client.publish(wire.topic("collector", "P1", "g", "batch"), wire.encode_batch(batch, None), qos=1)
            await asyncio.sleep(0.5)
