# SPDX-License-Identifier: GPL-3.0-or-later
"""A Mosquitto with the files of config/mosquitto, certificates of our own, and clients that show one."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from simulators.plant.scenario import free_ports
from tests.patience import HANG_S

SHIPPED = Path(__file__).parents[2] / "config" / "mosquitto"
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
ACCEPTED = bytes.fromhex("20020000")  # CONNACK
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed here")


class Authority:
    """Issues certificates into a folder: NAME.pem and NAME.key, its own as ca.pem."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        self._write("ca", self._key, self._sign("authority", self._key, is_authority=True))

    def issue(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self._write(name, key, self._sign(name, key, is_authority=False))

    def _sign(self, name: str, key: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        encoding = serialization.Encoding.PEM
        pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self._folder / f"{name}.key").write_bytes(pem)
        (self._folder / f"{name}.pem").write_bytes(certificate.public_bytes(encoding))


def write_shipped(folder: Path) -> int:
    """Write `mosquitto.conf` with the shipped files, and certificates of broker, center and two gateways.

    Returns the port it names.
    """
    authority = Authority(folder)
    for name in ("broker", "center", "gateway-1", "gateway-2"):
        authority.issue(name)
    (port,) = free_ports(1)
    shutil.copyfile(SHIPPED / "collector.acl", folder / "collector.acl")
    text = (SHIPPED / "collector.conf").read_text("utf-8")
    for shipped, here in (
        ("/etc/mosquitto/certs", str(folder)), ("/etc/mosquitto", str(folder)),
        ("listener 8883", f"listener {port} 127.0.0.1"),
    ):  # fmt: skip
        assert shipped in text
        text = text.replace(shipped, here)
    # Started by root, mosquitto would become another user, who may not read this folder.
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "collector.conf").write_text(text, "utf-8")
    # As Debian ships it, around what is put into conf.d: mosquitto refuses to be told some things twice.
    debian = (
        f"persistence true\npersistence_location {folder}/\nlog_dest stderr\ninclude_dir {folder}/conf.d\nuser root\n"
    )
    (folder / "mosquitto.conf").write_text(debian, "utf-8")
    return port


@contextmanager
def shipped_broker(folder: Path) -> Iterator[int]:
    """Port of a mosquitto with the shipped files."""
    port = write_shipped(folder)
    assert MOSQUITTO is not None
    command = [MOSQUITTO, "-c", str(folder / "mosquitto.conf")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "running" in line:
                break
        try:
            yield port
        finally:
            process.terminate()
            process.communicate(timeout=HANG_S)


def context_of(folder: Path, name: str) -> ssl.SSLContext:
    """Believes the folder's authority and shows the certificate of `name`."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def answer_to_a_connect(port: int, context: ssl.SSLContext) -> bytes:
    """What the broker says to a CONNECT (MQTT 3.1.1, client id x); nothing where it hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=HANG_S) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as link:
                # In TLS 1.3 a refusal may come only after our first bytes.
                link.sendall(bytes.fromhex("100d00044d5154540402003c000178"))
                return link.recv(4)
        except (ssl.SSLError, ConnectionError):
            return b""


@asynccontextmanager
async def connected(port: int, folder: Path, name: str) -> AsyncIterator[aiomqtt.Client]:
    """A client with the certificate of `name`."""
    context = context_of(folder, name)
    async with aiomqtt.Client(
        "127.0.0.1", port, tls_context=context, protocol=aiomqtt.ProtocolVersion.V5, timeout=HANG_S
    ) as client:
        yield client
