# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages on a real socket: in the clear on loopback, by TLS with a certificate's files, and ended cleanly."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collector.base.errors import ConfigError
from collector.center.operate.readiness import ask_running_center
from collector.center.settings import CenterSettings
from collector.center.web.app import build_app
from collector.center.web.server.serve import serve_web
from simulators.plant.scenario import free_ports
from tests.center.web.web_world import World, settings_of, world
from tests.patience import HANG_S


def served(own: World, settings: CenterSettings, ask: Callable[[], httpx.Response]) -> httpx.Response:
    """What a client in another thread is answered; the server has ended afterwards."""

    async def run() -> httpx.Response:
        serving = asyncio.create_task(serve_web(build_app(own.store, settings), settings))
        try:
            async with asyncio.timeout(HANG_S):
                while True:
                    try:
                        return await asyncio.to_thread(ask)
                    except httpx.ConnectError:
                        await asyncio.sleep(0.05)
        finally:
            serving.cancel()
            await asyncio.wait([serving])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def test_supervision_of_this_machine_is_answered_on_loopback(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with world(tmp_path) as own:
        settings = settings_of(tmp_path, f"127.0.0.1:{port}")
        answer = served(own, settings, lambda: httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=HANG_S))
        assert (answer.status_code, answer.text) == (200, "ready\n")


def test_a_center_that_cant_commit_is_not_ready_and_doctor_says_why(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with world(tmp_path) as own:
        settings = settings_of(tmp_path, f"127.0.0.1:{port}")
        own.store.health.asked()
        own.store.health.ended("database or disk is full")
        url = f"http://127.0.0.1:{port}/readyz"
        answers = [served(own, settings, lambda: httpx.get(url, timeout=HANG_S))]
        said: list[str | None] = []

        def look() -> httpx.Response:
            answer = httpx.get(url, timeout=HANG_S)
            said.append(ask_running_center(settings))
            return answer

        answers.append(served(own, settings, look))
    words = "the last commit failed: database or disk is full"
    assert [(a.status_code, a.text) for a in answers] == [(503, f"{words}\n")] * 2
    assert said == [words]
    assert ask_running_center(settings) is None  # nobody answers


def test_with_a_certificate_pages_come_by_tls(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    write_certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
    trust = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    with world(tmp_path / "state") as own:
        files = {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
        settings = settings_of(tmp_path, f"127.0.0.1:{port}", **files)
        answer = served(
            own, settings, lambda: httpx.get(f"https://127.0.0.1:{port}/login", verify=trust, timeout=HANG_S)
        )
        assert answer.status_code == 200
        assert "strict-transport-security" in answer.headers


def test_a_certificate_that_cant_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nothing of the kind", "utf-8")
    with world(tmp_path / "state") as own:
        files = {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "cert.pem")}
        settings = settings_of(tmp_path, "127.0.0.1:1", **files)
        with pytest.raises(ConfigError, match=r"web\.cert_file"):
            asyncio.run(serve_web(build_app(own.store, settings), settings))


def write_certificate(cert: Path, key: Path) -> None:
    """A certificate for 127.0.0.1, signed by itself."""
    import ipaddress

    made = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "center")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(made.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(made, hashes.SHA256())
    )
    cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key.write_bytes(made.private_bytes(encoding, form, serialization.NoEncryption()))
