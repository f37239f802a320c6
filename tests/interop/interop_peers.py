# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of others in processes of their own, a serial line by socat, and our devices at them."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from collector.agent.device.contract import Device
from collector.agent.device.factory import build_devices
from collector.base.clock import SystemClock
from collector.model.record import Quality
from collector.points import load_points
from collector.points.agent_config import AgentConfig, AgentSettings
from tests.patience import HANG_S, wait_until

HERE = Path(__file__).parent
SOCAT = shutil.which("socat")
needs_socat = pytest.mark.skipif(SOCAT is None, reason="socat is not installed")
Found = dict[str, tuple[int | None, Quality]]


@contextmanager
def script(name: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A script beside this file, once it has said `ready`; ended at the end."""
    command = [sys.executable, str(HERE / name), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "ready"
            yield process
        finally:
            process.kill()


@contextmanager
def serial_line(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The two ends of a line, as two pseudo terminals that socat joins."""
    assert SOCAT
    ends = folder / "ours", folder / "theirs"
    command = [SOCAT, *(f"pty,raw,echo=0,link={end}" for end in ends)]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: all(end.exists() for end in ends), "the two ends of the line")
            yield ends
        finally:
            process.terminate()


def device_of(folder: Path, table: str, **keys: Any) -> Device:
    """One device read by a table."""
    (folder / "points.csv").write_text(table, "utf-8")
    settings = AgentSettings.model_validate(
        {
            "schema": 1, "gateway": {"id": "g"}, "plant": [{"id": "P"}], "unit": [{"id": "U", "plant": "P"}],
            "device": [{"id": "d", "points": "points.csv", "unit": "U", "timeout_s": 60.0} | keys],
        }
    )  # fmt: skip
    points = load_points(folder / "points.csv", keys["protocol"], "d")
    (built,) = build_devices(AgentConfig(settings, {"d": points}, folder), SystemClock())
    return built.device


def with_device(device: Callable[[], Device], scenario: Callable[[Device], Awaitable[None]]) -> None:
    """Run it as the agent would, with the device closed at the end."""

    async def body() -> None:
        opened = device()
        try:
            async with asyncio.timeout(HANG_S):
                await scenario(opened)
        finally:
            await opened.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())


async def read(device: Device) -> Found:
    """Every point by name: value and quality."""
    answer = await device.read(device.points, budget_s=10.0)
    return {r.point.name: (r.value, r.quality) for r in answer.readings}
