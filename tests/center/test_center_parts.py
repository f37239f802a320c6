# SPDX-License-Identifier: GPL-3.0-or-later
"""The center as a whole process: what ends it and what does not, and what it tells systemd."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection

from collector.base.errors import ConfigError
from collector.center.operate.watchdog import say_alive
from collector.center.settings import load_center
from tests.center.center_batches import NOON, minutes, new_store, payload_of
from tests.center.center_process import CENTER, Plant, configured, free_port, running_broker, stored
from tests.patience import HANG_S


def test_pages_that_can_not_be_served_end_the_process(tmp_path: Path) -> None:
    """A center that receives and shows nothing would look dead to people and alive to systemd."""
    configured(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [*CENTER, "run", f"{tmp_path}/center.toml", "--listen", listen]
        ended = subprocess.run(command, capture_output=True, check=False, timeout=HANG_S)
    assert ended.returncode != 0
    assert b"ddress already in use" in ended.stderr


def test_sqlite_refuses_to_be_split(tmp_path: Path) -> None:
    configured(tmp_path)
    file = tmp_path / "center.toml"
    file.write_text(file.read_text("utf-8").replace("[center]", '[center]\nparts = ["receiver"]', 1), "utf-8")
    with pytest.raises(ConfigError, match="SQLite serves one process"):
        load_center(file)
    file.write_text(
        file.read_text("utf-8").replace("[center]", '[center]\ndatabase_url = "postgresql+psycopg:///c"', 1), "utf-8"
    )
    assert load_center(file).center.parts == ["receiver"]


def test_a_webhook_that_nobody_hears_is_no_reason_to_end(tmp_path: Path) -> None:
    nobody = free_port()
    lines = f'[alarms]\nsilent_after_s = 10.0\nwebhook_url = "http://127.0.0.1:{nobody}/"\nwebhook_timeout_s = 0.2'
    signer = configured(tmp_path, lines=lines)
    port = free_port()
    command = [*CENTER, "run", f"{tmp_path}/center.toml", "--broker", f"127.0.0.1:{port}"]
    command += ["--listen", f"127.0.0.1:{free_port()}"]
    with running_broker(port), (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as center:
        try:
            plant = Plant(tmp_path, port, {1: payload_of(1, minutes("U1", NOON, 5), signer=signer)})
            asyncio.run(plant.send_all())
            assert center.poll() is None
        finally:
            center.terminate()
            assert center.wait(HANG_S) == 0
    assert stored(tmp_path) == (1, 5, 1)


def test_the_watchdog_is_fed_by_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each word follows a job the writer has done; a writer that hangs lets systemd's patience run out."""

    async def listen_and_hang(systemd: socket.socket) -> list[bytes]:
        with new_store(tmp_path / "state") as store:
            saying = asyncio.create_task(say_alive(store, period_s=0.01))
            heard = [await asyncio.to_thread(systemd.recv, 100) for _ in range(2)]
            let_go = asyncio.Event()
            loop = asyncio.get_running_loop()
            begun = threading.Event()

            def hang(_: Connection) -> None:
                begun.set()
                asyncio.run_coroutine_threadsafe(let_go.wait(), loop).result()

            held = store.write(hang)
            await asyncio.to_thread(begun.wait)
            systemd.setblocking(False)
            for _ in iter(lambda: _heard(systemd), b""):
                continue
            for _ in range(20):  # turns in which a timer would have gone off as often
                await asyncio.sleep(0.01)
            # Of a job that was done before the writer hung the word may still have been on its way.
            assert sum(1 for _ in iter(lambda: _heard(systemd), b"")) <= 1
            let_go.set()
            await asyncio.wrap_future(held)
            saying.cancel()
        return heard

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(HANG_S)
        monkeypatch.setenv("NOTIFY_SOCKET", os.fspath(tmp_path / "notify"))
        assert asyncio.run(listen_and_hang(systemd)) == [b"WATCHDOG=1"] * 2


def _heard(systemd: socket.socket) -> bytes:
    try:
        return systemd.recv(100)
    except BlockingIOError:
        return b""
