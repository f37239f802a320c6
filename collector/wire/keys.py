# SPDX-License-Identifier: GPL-3.0-or-later
"""Ed25519 keys: PEM files (PKCS 8 private, SubjectPublicKeyInfo public), and the short name of a key."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr

KEY_ID_BYTES: Final = 8
SIGNATURE_BYTES: Final = 64


def key_id(key: Ed25519PublicKey) -> str:
    """The short name of a key: 16 hex digits, the first 8 bytes of SHA-256 of its 32 raw bytes."""
    return hashlib.sha256(key.public_bytes_raw()).digest()[:KEY_ID_BYTES].hex()


class Signer:
    """A private key with the short name of its public key. Its repr never shows the key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key()
        self.key_id = key_id(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`, 64 bytes."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"Signer({self.key_id})"


def is_signed_by(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    """True if `signature` of `message` was made with the private key that belongs to `key`."""
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def generate_key_pair(private_path: Path, public_path: Path) -> str:
    """Create a key pair, write both files, and return the key id; only the owner may read the private file.

    The public one anybody may read, whatever the umask: it is handed on, and a service of another user uses it.

    Raises:
        ConfigError: a file exists already (a key is never overwritten) or can't be written.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for path, content, mode in ((private_path, private, 0o600), (public_path, public, 0o644)):
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(content)
        except OSError as error:
            raise ConfigError(
                [Problem(str(path), 0, "", tr("can't be written: {strerror}", strerror=error.strerror))]
            ) from error
    return key_id(key.public_key())


def load_signing_key(path: Path) -> Signer:
    """Load a private key from its PEM file.

    Raises:
        ConfigError: no such file, or no unencrypted Ed25519 key in it.
    """
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError([Problem(str(path), 0, "", tr("is not an unencrypted PEM private key"))]) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            [Problem(str(path), 0, "", tr("is not an Ed25519 key; make one with `collector agent keygen`"))]
        )
    return Signer(key)


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Load a public key from its PEM file.

    Raises:
        ConfigError: no such file, or no Ed25519 public key in it.
    """
    return parse_public_key(_read(path), str(path))


def parse_public_key(pem: bytes, subject: str) -> Ed25519PublicKey:
    """Parse a public key from the text of a PEM file; `subject` names the key in an error.

    Raises:
        ConfigError: the text holds no Ed25519 public key.
    """
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError([Problem(subject, 0, "", tr("is not a PEM public key"))]) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError([Problem(subject, 0, "", tr("is not an Ed25519 public key"))])
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            [Problem(str(path), 0, "", tr("can't be read: {strerror}", strerror=error.strerror))]
        ) from error
