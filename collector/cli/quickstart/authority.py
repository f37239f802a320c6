# SPDX-License-Identifier: GPL-3.0-or-later
"""A small certificate authority for a quick start: its own certificate, and one for each client of the broker.

In production the same files come from your own certificate authority (docs/center.md).
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collector.base.clock import SystemClock

_AUTHORITY_DAYS: Final = 3650
_CERTIFICATE_DAYS: Final = 825


class Authority:
    """The authority in a folder: `ca.pem` and `ca.key`, made where they do not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
        if not key_file.exists():
            self._key = ec.generate_private_key(ec.SECP256R1())
            name = _name("collector quick start CA")
            basic = x509.BasicConstraints(ca=True, path_length=0)
            made = _builder(name, name, self._key, _AUTHORITY_DAYS).add_extension(basic, critical=True)
            made = made.add_extension(_usage(signs=True), critical=True)
            self._certificate = made.sign(self._key, hashes.SHA256())
            _write(key_file, _pem(self._key), 0o600)
            _write(self.certificate_file, self._certificate.public_bytes(serialization.Encoding.PEM), 0o644)
            return
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())

    def issue(self, name: str, certificate_file: Path, *, hosts: tuple[str, ...] = ()) -> None:
        """A certificate with CN `name`, and its key beside it; no effect where it exists already.

        `hosts`: names and addresses of a server; without them the certificate is a client's.
        """
        if certificate_file.exists():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        made = _builder(_name(name), self._certificate.subject, key, _CERTIFICATE_DAYS)
        made = made.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        made = made.add_extension(_usage(signs=False), critical=True)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = made.add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts or (name,)]), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = made.add_extension(authority, critical=False)
        _write(certificate_file.with_suffix(".key"), _pem(key), 0o600)
        pem = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        _write(certificate_file, pem, 0o644)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    # A gateway whose clock is a day behind accepts the certificate too.
    now = datetime.datetime.fromtimestamp(SystemClock().now_utc_ms() // 1000, datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=days))
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.add_extension(identifier, critical=False)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
                         key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                         decipher_only=False)  # fmt: skip


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _write(path: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
