# SPDX-License-Identifier: GPL-3.0-or-later
"""A Mosquitto near the plants, bridged to the center's by the shipped file: either of them may die at any time."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.center.center_batches import NOON, minutes, payload_of
from tests.center.center_process import Plant, configured, free_port, running_center, stored, wait_for_port
from tests.interop.tls_broker import MOSQUITTO, SHIPPED, needs_mosquitto, write_shipped
from tests.patience import HANG_S

pytestmark = [needs_mosquitto, pytest.mark.crash]

BATCHES = 300
OUTAGES = ("center's", "plants'", "center's", "plants'")


class Mosquitto:
    """A broker of a configuration, killed and started again."""

    def __init__(self, conf: Path, port: int) -> None:
        self._conf, self._port = conf, port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with what it had stored."""
        assert MOSQUITTO is not None
        with self._conf.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._conf)], stdout=log, stderr=log)
        wait_for_port(self._port)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def bridged(folder: Path) -> Iterator[tuple[dict[str, Mosquitto], int, int]]:
    """Both brokers, running; the port of the plants' and of the center's."""
    near, far = folder / "near", folder / "far"
    near.mkdir()
    far.mkdir()
    far_port, near_port = write_shipped(far), free_port()
    acl = (far / "collector.acl").read_text("utf-8").replace("P1/gateway-1", "P1/g1")  # the plant of these tests
    (far / "collector.acl").write_text(acl, "utf-8")
    text = (SHIPPED / "bridge.conf").read_text("utf-8")
    for shipped, here in (
        ("/etc/mosquitto/certs/bridge-1", str(far / "gateway-1")), ("/etc/mosquitto/certs", str(far)),
        ("broker.dispatch.example:8883", f"127.0.0.1:{far_port}"), ("restart_timeout 1 30", "restart_timeout 1 1"),
    ):  # fmt: skip
        assert shipped in text
        text = text.replace(shipped, here)
    head = f"listener {near_port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\n"
    limits = "max_queued_messages 10000\nlog_dest stderr\n"
    (near / "mosquitto.conf").write_text(f"{head}persistence_location {near}/\n{limits}{text}", "utf-8")
    brokers = {
        "center's": Mosquitto(far / "mosquitto.conf", far_port),
        "plants'": Mosquitto(near / "mosquitto.conf", near_port),
    }
    try:
        for broker in brokers.values():
            broker.start()
        yield brokers, near_port, far_port
    finally:
        for broker in brokers.values():
            broker.kill()


def test_over_a_bridge_each_batch_is_stored_once_whichever_broker_dies(tmp_path: Path) -> None:
    far = tmp_path / "far"
    tls = f'\n[mqtt]\nca_file = "{far}/ca.pem"\ncert_file = "{far}/center.pem"\nkey_file = "{far}/center.key"\n'
    signer = configured(tmp_path, lines=tls)
    payloads = {n: payload_of(n, minutes("U1", NOON + n * 600_000, 3), signer=signer) for n in range(1, BATCHES + 1)}

    async def send(brokers: dict[str, Mosquitto], plant: Plant) -> None:
        left = sorted(payloads)
        sent: list[int] = []
        for name in OUTAGES:
            share, left = left[: BATCHES // 5], left[BATCHES // 5 :]
            sent += share
            plant.pending = {n: payloads[n] for n in share}
            plant.heard.clear()
            sending = asyncio.create_task(plant.send_all())
            # Between two outages something came all the way and its acknowledgement back.
            await asyncio.wait_for(plant.heard.wait(), HANG_S)
            await asyncio.to_thread(brokers[name].kill)
            if name == "center's":  # what is sent meanwhile waits at the plants' broker
                plant.pending = {n: payloads[n] for n in sent} | plant.pending
                await asyncio.sleep(1.0)
            await asyncio.to_thread(brokers[name].start)
            await asyncio.wait_for(sending, HANG_S)
        plant.pending = {n: payloads[n] for n in left}
        await plant.send_all()

    with bridged(tmp_path) as (brokers, near_port, far_port), running_center(tmp_path, far_port):
        plant = Plant(tmp_path, near_port, {})
        asyncio.run(send(brokers, plant))
    assert not plant.refused
    assert stored(tmp_path) == (BATCHES, 3 * BATCHES, BATCHES)
