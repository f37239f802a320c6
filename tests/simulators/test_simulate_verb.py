# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector simulate` as a process: starts, obeys its control socket and a typed line, ends cleanly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from collector.points.agent_config import load_agent
from simulators.plant.scenario import Instance, demo_scenario, instantiate
from simulators.run.simulation import split_address
from tests.patience import HANG_S


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return instantiate(demo_scenario(), tmp_path)


def command(instance: Instance) -> list[str]:
    file = str(instance.scenario_file)
    return [sys.executable, "-m", "collector.cli.main", "simulate", file, "--control", instance.control]


def control(instance: Instance, **ask: object) -> dict[str, Any]:
    with (
        socket.create_connection(split_address(instance.control), timeout=HANG_S) as link,
        link.makefile("rwb") as file,
    ):
        file.write(json.dumps(ask).encode() + b"\n")
        file.flush()
        answer: dict[str, Any] = json.loads(file.readline())
        return answer


def read_until(end: int, mark: str) -> str:
    text = ""
    while mark not in text:
        text += os.read(end, 4096).decode("utf-8", "replace")
    return text


def test_it_serves_until_sigterm_and_ends_with_0(instance: Instance) -> None:
    with subprocess.Popen(command(instance), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening: 11 devices\n"
        assert control(instance, do="status")["violations"] == []
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=HANG_S)
    assert (process.returncode, errors) == (0, "")
    assert out.startswith("ended: coal-1-governor 0, ")


def test_a_request_that_does_not_only_read_makes_it_end_with_1(instance: Instance) -> None:
    with subprocess.Popen(command(instance), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        governor = load_agent(instance.agent_file).settings.device[0]
        with socket.create_connection((governor.host, governor.port or 0), timeout=HANG_S) as link:
            link.sendall(bytes.fromhex("000100000006010600000001"))
            assert link.recv(20)[7] == 0x86
        control(instance, do="stop")
        _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 1
    assert "Modbus function that is not a reading one" in errors


def test_a_recording_is_replayed_from_a_folder_named_after_it(tmp_path: Path) -> None:
    (tmp_path / "march.csv").write_text("unit,time,p\nA,2026-03-01T00:00:00+10:00,1.5\n", "utf-8")
    replay = [sys.executable, "-m", "collector.cli.main", "simulate", "--replay", "march.csv"]
    replay += ["--columns", "active_power_mw=p", "--seconds", "0.2"]
    done = subprocess.run(replay, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_S)
    assert (done.returncode, done.stdout) == (0, "listening: 1 devices\nended: A-governor 0\n")
    assert load_agent(tmp_path / "march" / "agent.toml").settings.device[0].unit == "A"
    assert subprocess.run([*replay[:4]], capture_output=True, timeout=HANG_S).returncode == 2


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_fault_is_switched_from_the_keyboard(instance: Instance, term: str) -> None:
    ours, theirs = os.openpty()
    try:
        terminal = {**os.environ, "TERM": term}
        with subprocess.Popen(command(instance), stdin=theirs, stdout=theirs, stderr=theirs, env=terminal) as process:
            read_until(ours, "listening")
            os.write(ours, b"fault coal-1-governor delay 30\nfault nobody delay\n")
            read_until(ours, "no such device")
            assert control(instance, do="status")["faults"] == ["coal-1-governor delay 30"]
            os.write(ours, b"clear coal-1-governor delay\nquit\n")
            read_until(ours, "ended:")
            assert process.wait(HANG_S) == 0
    finally:
        os.close(ours)
        os.close(theirs)


def test_every_address_that_somebody_has_is_named_at_once(instance: Instance) -> None:
    devices = [d for d in load_agent(instance.agent_file).settings.device if d.port and not d.serial][:2]
    sockets = [socket.create_server((d.host, d.port or 0)) for d in devices]
    sockets.append(socket.create_server(split_address(instance.control)))
    try:
        ended = subprocess.run(command(instance), capture_output=True, text=True, timeout=HANG_S, check=False)
    finally:
        for taken in sockets:
            taken.close()
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    for device in devices:
        assert f"device {device.id}: Address already in use: {device.host}:{device.port}" in ended.stderr
    assert "--control: " in ended.stderr
    assert "ss -ltnp" in ended.stderr
