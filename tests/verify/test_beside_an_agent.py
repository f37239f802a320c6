# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the agent runs and holds the device, `verify` asks it, and believes it by the table on the disk only."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from collector.agent.operate.status_server import ask_agent
from collector.agent.operate.table_hashes import loaded_tables
from collector.agent.paths import socket_path
from collector.base.errors import LinkError
from collector.points.agent_config import load_agent
from simulators.run.pytest_plugin import ServedDevices
from tests.patience import HANG_S, wait_until
from tests.verify.verify_world import config_of, run, states, verified

Serve = Callable[..., ServedDevices]
TABLE = "name,quantity,area,type,address,raw_unit\np,active_power_mw,holding,int32,0,kW\n"


@contextlib.contextmanager
def running_agent(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`collector agent run`, without a broker, once it has read its device."""
    with (config.parent / "agent.log").open("wb") as log:
        command = [sys.executable, "-m", "collector.cli.main", "agent", "run", str(config)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: process.poll() is not None or has_read(config), "a reading")
        assert process.poll() is None, "the agent has ended"
        yield process
    finally:
        process.terminate()
        process.wait(HANG_S)


def has_read(config: Path) -> bool:
    return any(p["quality"] == "good" for p in json.loads(page(config, "/points") or b"[]"))


def page(config: Path, name: str) -> bytes:
    with contextlib.suppress(LinkError):
        return ask_agent(socket_path(load_agent(config)), name) or b""
    return b""


def test_the_running_agent_is_asked_and_the_device_left_to_it(modbus_device: Serve) -> None:
    device = modbus_device(TABLE)
    config = config_of(device)
    device.show("active_power_mw", "380")
    with running_agent(config):
        said = run(config, "--point", "p", "--expect", "380", "--who", "Z", "--json", "--max-age", "3600")
        found = verified(said)
        assert (said.code, found["value"], found["quality"], found["raw"]) == (0, "380", "good", "")
    (row,) = run(config, "--list", "--json").data["steps"]
    assert row["source"] == "运行中的采集程序"
    # Stopped, the device is read again, with its bytes.
    assert verified(run(config, "--point", "p", "--expect", "380", "--who", "Z", "--json"))["raw"] == "00 05 cc 60"


def test_an_agent_with_another_table_is_not_believed_until_it_reloads(modbus_device: Serve) -> None:
    device = modbus_device(TABLE)
    config = config_of(device)
    device.show("active_power_mw", "380")
    words = ("--point", "p", "--expect", "380000", "--who", "Z", "--max-age", "3600")
    with running_agent(config) as agent:
        (config.parent / "points.csv").write_text(TABLE.replace(",kW", ",MW"), "utf-8")
        said = run(config, *words)
        assert "another point table" in said.error
        assert not (config.parent / "agent.verify.jsonl").exists()
        agent.send_signal(signal.SIGHUP)
        told = loaded_tables(load_agent(config))
        wait_until(lambda: json.loads(page(config, "/tables") or b"{}") == told, "the table read again")
        # 380 000 MW is beyond belief: out_of_range, told by the agent; it can't pass.
        assert run(config, *words, "--pass").code == 1
        assert set(states(config).values()) == {"open"}
