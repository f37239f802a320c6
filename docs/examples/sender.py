# SPDX-License-Identifier: GPL-3.0-or-later
"""A complete sender of unit records in one file, without the collector package: the wire format of docs/wire.md.

Python's standard library and one package for Ed25519 (`cryptography`). It reads records from a CSV, seals them into
signed batches that lie as files in a folder, sends each until the center itself has acknowledged it, and answers the
center's asks for batches. It may be killed at any moment and started again.

    python sender.py RECORDS.csv --broker 127.0.0.1:1883 --plant P1 --gateway G1 --key G1.pem --center-key center.pem

The CSV has the columns `unit`, `time_utc_ms` and any of `SCALES`, in the units of their names; an empty cell is a
missing value. The rows of a unit are in the order of their times.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import re
import secrets
import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# Quantity -> code on the wire, and what its unit is multiplied by.
SCALES = {
    "active_power_mw": (1, 1000), "reactive_power_mvar": (2, 1000), "bus_voltage_kv": (3, 1000),
    "frequency_hz": (4, 1_000_000), "on_grid": (5, 1), "agc_in_service": (6, 1), "agc_setpoint_mw": (7, 1000),
    "avc_in_service": (8, 1), "avc_target_kv": (9, 1000), "avc_at_limit": (10, 1), "condenser": (11, 1),
    "spilling": (12, 1), "primary_frequency_in_service": (13, 1), "energy_export_mwh": (14, 1_000_000),
}  # fmt: skip
SCHEMA_VERSION = 2
ABSENT, GOOD, SILENT = 0x80, 0, 20
CLOCK_UNKNOWN = 2
FINAL = {"oversized", "malformed", "topic", "foreign_unit"}
RECORDS_PER_BATCH = 600
ACK_TIMEOUT_S = 30.0

Row = dict[str, str]


# --- msgpack, as much of it as a batch needs -------------------------------------------------------------------------


def pack(value: Any) -> bytes:
    """A value as msgpack, each in its shortest form."""
    if value is None:
        return b"\xc0"
    if isinstance(value, int):
        if -32 <= value < 128:
            return struct.pack("b" if value < 0 else "B", value)
        for mark, form, low, high in (
            (0xCC, ">B", 0, 1 << 8), (0xCD, ">H", 0, 1 << 16), (0xCE, ">I", 0, 1 << 32), (0xCF, ">Q", 0, 1 << 64),
            (0xD0, ">b", -(1 << 7), 0), (0xD1, ">h", -(1 << 15), 0), (0xD2, ">i", -(1 << 31), 0),
            (0xD3, ">q", -(1 << 63), 0),
        ):  # fmt: skip
            if low <= value < high:
                return bytes([mark]) + struct.pack(form, value)
    if isinstance(value, bytes):
        return _head(len(value), 0xC4, 0xC5, 0xC6) + value
    if isinstance(value, str):
        text = value.encode()
        return (bytes([0xA0 | len(text)]) if len(text) < 32 else _head(len(text), 0xD9, 0xDA, 0xDB)) + text
    if isinstance(value, list):
        head = bytes([0x90 | len(value)]) if len(value) < 16 else _head(len(value), 0, 0xDC, 0xDD)
        return head + b"".join(map(pack, value))
    raise ValueError(f"{value!r} has no place in a batch")


def _head(size: int, one: int, two: int, four: int) -> bytes:
    if one and size < 1 << 8:
        return bytes([one, size])
    return struct.pack(">BH", two, size) if size < 1 << 16 else struct.pack(">BI", four, size)


# --- the body: an index and columns ----------------------------------------------------------------------------------


def narrow(numbers: Sequence[int]) -> tuple[int, bytes]:
    """Numbers zigzag coded in 1, 2, 4 or 8 bytes, the bytes of one significance together, least first."""
    coded = [2 * n if n >= 0 else -2 * n - 1 for n in numbers]
    width = next(w for w in (1, 2, 4, 8) if max(coded) < 1 << 8 * w)
    octets = b"".join(n.to_bytes(width, "little") for n in coded)
    return width, b"".join(octets[place::width] for place in range(width))


def axis(times: Sequence[int], first_ms: int) -> list[Any]:
    """The times of one unit's records."""
    step = times[1] - times[0] if len(times) > 1 else 0
    rest = [later - earlier - step for earlier, later in pairwise(times[1:])]
    plain = [len(times), times[0] - first_ms, step]
    return [*plain, 1, *narrow(rest)] if any(rest) else plain


def zstd(data: bytes) -> bytes:
    """A zstd frame that compresses nothing (RFC 8878: a single segment of raw blocks); any compressor may be used."""
    blocks = [data[at : at + 65_536] for at in range(0, len(data), 65_536)]
    frame = b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", len(data))
    for block in blocks:
        frame += (len(block) << 3 | (block is blocks[-1])).to_bytes(3, "little") + block
    return frame


def table_of(rows: Sequence[Row], quantities: Sequence[str]) -> list[list[int]]:
    """The columns of a unit's records: era, cause, clock, tagged, age of the tag, then values, then states."""
    values, states = [], []
    for name in quantities:
        scale, last, column, state = SCALES[name][1], 0, [], []
        for row in rows:
            cell = row[name].strip()
            if cell:
                last = int((Decimal(cell) * scale).to_integral_value(ROUND_HALF_UP))
            column.append(last)  # a missing value repeats the one before
            state.append(GOOD if cell else ABSENT | SILENT)
        values.append(column)
        states.append(state)
    size = len(rows)
    return [[0] * size, [0] * size, [CLOCK_UNKNOWN] * size, [0] * size, [0] * size, *values, *states]


def encode_body(units: dict[str, list[Row]], quantities: Sequence[str], gaps: list[Any]) -> tuple[bytes, int, int, int]:
    """The body of a batch, its number of records, first and last time."""
    times = {unit: [int(row["time_utc_ms"]) for row in rows] for unit, rows in units.items()}
    every = [t for own in times.values() for t in own] or [t for gap in gaps for t in (gap[1], gap[2])]
    first_ms, last_ms = min(every), max(every)
    axes = [axis(own, first_ms) for own in times.values()]
    axis_of = bytes(range(len(axes))) if len(axes) > 1 else b""
    index = pack([list(units), axis_of, axes, gaps])
    tables = [table_of(rows, quantities) for rows in units.values()]
    widths, bases, planes = bytearray(), [], {1: b"", 2: b"", 4: b"", 8: b""}
    for parts in zip(*tables, strict=True):  # a column: of every unit its part
        bases += [part[0] for part in parts]
        steps = [b - a for part in parts for a, b in zip([part[0], *part], part, strict=False)]
        width, octets = narrow(steps) if any(steps) else (0, b"")
        widths.append(width)
        if width:
            planes[width] += octets
    layout = bytes(SCALES[name][0] for name in quantities)
    moving = [1] * sum(w > 0 for w in widths)  # the common divisor of each column's steps: 1 is allowed
    columns = pack([[layout] * len(units), bytes(widths), moving, bases, b"".join(planes.values())])
    return pack([index, zstd(columns)]), sum(map(len, times.values())), first_ms, last_ms


# --- batches as files: what is not acknowledged is not gone ----------------------------------------------------------


class Outbox:
    """Sealed batches of one plant and gateway in a folder, numbered from 1 without holes."""

    def __init__(self, folder: Path, plant: str, gateway: str, key: Ed25519PrivateKey) -> None:
        self.folder, self._plant, self._gateway, self._key = folder, plant, gateway, key
        folder.mkdir(parents=True, exist_ok=True)
        self._set("epoch", self._get("epoch") or f"{secrets.randbits(64):016x}")
        self.epoch = self._get("epoch")

    def seal(self, units: dict[str, list[Row]], quantities: Sequence[str], gaps: list[Any], source: str = "") -> None:
        """Number, sign and store one batch. `source`: what it holds, noted with it, so that it is sealed only once."""
        sequence = self.sealed + 1
        body, count, first_ms, last_ms = encode_body(units, quantities, gaps)
        public = self._key.public_key().public_bytes_raw()
        header = pack([
            SCHEMA_VERSION, self._plant, self._gateway, int(self.epoch, 16), sequence, count, first_ms, last_ms,
            hashlib.sha256(body).digest(), hashlib.sha256(public).digest()[:8],
        ])  # fmt: skip
        write(self._file(sequence), pack([header, self._key.sign(header), body]))
        self._set("sealed", f"{sequence} {source or self.source}")

    @property
    def sealed(self) -> int:
        """The sequence of the last batch."""
        return int(self._get("sealed").partition(" ")[0] or 0)

    @property
    def source(self) -> str:
        """What the last batch of records held."""
        return self._get("sealed").partition(" ")[2]

    def waiting(self) -> list[int]:
        """Sequences that the center has not acknowledged."""
        kept = [int(path.stem) for path in self.folder.glob("*.batch")]
        return sorted(number for number in kept if number <= self.sealed)

    def payload(self, sequence: int) -> bytes | None:
        """The bytes of a batch, also of one acknowledged already."""
        for path in (self._file(sequence), self._file(sequence).with_suffix(".acked")):
            if path.exists():
                return path.read_bytes()
        return None

    def take_ack(self, ack: dict[str, Any]) -> None:
        """Put aside what an ack settles. A batch refused by a curable or unknown code stays, and is sent again."""
        if ack["store_id"] != self._get("store"):  # the center was restored: what it does not name it does not have
            for path in self.folder.glob("*.acked"):
                path.rename(path.with_suffix(".batch"))
            self._set("store", ack["store_id"])
        if ack["epoch"] != self.epoch:
            return
        kept = {sequence for sequence, code in ack["refused"] if code not in FINAL}
        for sequence in self.waiting():
            settled = sequence <= ack["through"] or any(low <= sequence <= high for low, high in ack["also"])
            if settled and sequence not in kept:
                self._file(sequence).rename(self._file(sequence).with_suffix(".acked"))
        for sequence, code in ack["refused"]:
            print(f"batch {sequence} was refused: {code}", file=sys.stderr)

    def _file(self, sequence: int) -> Path:
        return self.folder / f"{sequence:012}.batch"

    def _get(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def _set(self, name: str, text: str) -> None:
        write(self.folder / name, text.encode())


def write(path: Path, data: bytes) -> None:
    """A file that is whole or is not there, also after a power cut."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


# --- MQTT 3.1.1, as much of it as a sender needs ---------------------------------------------------------------------


class Mqtt:
    """A connection to a broker, with a session that the broker keeps."""

    def __init__(self, host: str, port: int, client_id: str, user: str, password: str, tls: ssl.SSLContext | None):
        plain = socket.create_connection((host, port), timeout=30)
        self._socket = tls.wrap_socket(plain, server_hostname=host) if tls else plain
        self._received, self._number, self._spoken = b"", 0, time.monotonic()
        flags = (0x80 if user else 0) | (0x40 if password else 0)
        wanted = [text for text in (client_id, user, password) if text]
        self._send(0x10, b"\0\4MQTT\4" + struct.pack(">BH", flags, 60) + b"".join(map(_text, wanted)))
        kind, answer = self._packet(time.monotonic() + 30) or (0, b"")
        if kind != 0x20 or answer[1] != 0:
            raise ConnectionError(f"the broker refused us: {answer.hex()}")

    def subscribe(self, topic: str) -> None:
        """Receive what is published there, at least once."""
        self._send(0x82, self._next() + _text(topic) + b"\1")

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at least once. The broker's acknowledgement says nothing of the center; nobody waits for it."""
        self._send(0x33 if retain else 0x32, _text(topic) + self._next() + payload)

    def messages(self, until_s: float) -> Iterator[tuple[str, bytes]]:
        """Topics and payloads that arrive until then."""
        while packet := self._packet(until_s):
            kind, data = packet
            if kind & 0xF0 != 0x30:
                continue
            size = int.from_bytes(data[:2], "big")
            topic, rest = data[2 : 2 + size].decode(), data[2 + size :]
            if kind & 0x06:
                self._send(0x40, rest[:2])
                rest = rest[2:]
            yield topic, rest

    def _packet(self, until_s: float) -> tuple[int, bytes] | None:
        while True:
            size = shift = 0
            for at, octet in enumerate(self._received[1:5], 1):
                size, shift = size | (octet & 0x7F) << shift, shift + 7
                if not octet & 0x80:
                    if len(self._received) < (end := at + 1 + size):
                        break
                    kind, data = self._received[0], self._received[at + 1 : end]
                    self._received = self._received[end:]
                    return kind, data
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return None
            if time.monotonic() - self._spoken > 20:
                self._send(0xC0, b"")
            pending = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()
            if pending or select.select([self._socket], [], [], min(left_s, 20))[0]:
                more = self._socket.recv(65_536)
                if not more:
                    raise ConnectionError("the broker closed the connection")
                self._received += more

    def _send(self, kind: int, data: bytes) -> None:
        size, left = bytearray(), len(data)
        while left or not size:
            left, low = left >> 7, left & 0x7F
            size.append(low | (0x80 if left else 0))
        self._socket.sendall(bytes([kind]) + size + data)
        self._spoken = time.monotonic()

    def _next(self) -> bytes:
        self._number = self._number % 65_535 + 1
        return struct.pack(">H", self._number)


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text.encode())) + text.encode()


# --- the sender ------------------------------------------------------------------------------------------------------


def verified(payload: bytes, key: Ed25519PublicKey | None) -> dict[str, Any] | None:
    """A message of the center, None where the signature is not its own: that of the text with `signature` empty."""
    message: dict[str, Any] = json.loads(payload)
    if key is not None:
        unsigned = re.sub(rb'("signature":)"[0-9a-f]*"\}$', rb'\1""}', payload)
        try:
            key.verify(bytes.fromhex(message["signature"]), unsigned)
        except (InvalidSignature, ValueError):
            return None
    return message


def seal_file(outbox: Outbox, path: Path) -> None:
    """Seal the records of a CSV, each row once, whatever was sealed of it before."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    quantities = [name for name in rows[0] if name in SCALES] if rows else []
    name, _, done = outbox.source.rpartition(" ")
    for start in range(int(done) if name == path.name else 0, len(rows), RECORDS_PER_BATCH):
        part = rows[start : start + RECORDS_PER_BATCH]
        units: dict[str, list[Row]] = {}
        for row in part:
            units.setdefault(row["unit"], []).append(row)
        outbox.seal(units, quantities, [], f"{path.name} {start + len(part)}")


def answer(outbox: Outbox, ask: dict[str, Any]) -> Iterator[int]:
    """The sequences that an ask wants again; what is no more is declared lost by a gap record."""
    if ask.get("epoch") != outbox.epoch:
        return
    for low, high in ask.get("sequences", ()):
        for sequence in range(low, min(high, outbox.sealed) + 1):
            if outbox.payload(sequence) is None:
                now = int(time.time() * 1000)
                outbox.seal({}, [], [[[], now, now, "unreadable", int(outbox.epoch, 16), sequence, sequence]])
            else:
                yield sequence


def run(arguments: argparse.Namespace) -> None:
    """Seal the file, then send until the center has acknowledged everything."""
    key = serialization.load_pem_private_key(arguments.key.read_bytes(), None)
    center = serialization.load_pem_public_key(arguments.center_key.read_bytes()) if arguments.center_key else None
    assert isinstance(key, Ed25519PrivateKey), "the key is not an Ed25519 key"
    assert center is None or isinstance(center, Ed25519PublicKey), "the center's key is not an Ed25519 key"
    outbox = Outbox(arguments.state, arguments.plant, arguments.gateway, key)
    seal_file(outbox, arguments.records)
    host, _, port = arguments.broker.rpartition(":")
    tls = ssl.create_default_context(cafile=arguments.ca) if arguments.ca else None
    if tls and arguments.certificate:
        tls.load_cert_chain(arguments.certificate, arguments.certificate_key)
    base = f"{arguments.root}/v1/{arguments.plant}/{arguments.gateway}"
    while outbox.waiting():
        try:
            link = Mqtt(host, int(port), arguments.gateway, arguments.user, arguments.password, tls)
            link.subscribe(f"{base}/ack")
            link.subscribe(f"{base}/ask")
            state = {
                "online": True,
                "gateway": arguments.gateway,
                "plants": [arguments.plant],
                "versions": {"batch": 2},
            }
            link.publish(f"{base}/state", json.dumps(state).encode(), retain=True)
            while waiting := outbox.waiting():
                for sequence in waiting:
                    link.publish(f"{base}/batch", outbox.payload(sequence) or b"")
                for topic, payload in link.messages(time.monotonic() + ACK_TIMEOUT_S):
                    message = verified(payload, center)
                    if message is None:
                        print(f"a message on {topic} is not signed by the center", file=sys.stderr)
                    elif topic.endswith("/ack"):
                        outbox.take_ack(message)
                    else:
                        for sequence in answer(outbox, message):
                            link.publish(f"{base}/batch", outbox.payload(sequence) or b"")
                    if not outbox.waiting():
                        break
        except OSError as error:
            print(f"no connection: {error}; trying again", file=sys.stderr)
            time.sleep(5)
    print(f"acknowledged: {outbox.source}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="send unit records to the center, without the collector package")
    parser.add_argument("records", type=Path)
    parser.add_argument("--broker", required=True, help="HOST:PORT")
    parser.add_argument("--root", default="collector")
    parser.add_argument("--plant", required=True)
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--key", type=Path, required=True, help="private key of the gateway, PEM, Ed25519")
    parser.add_argument("--center-key", type=Path, help="public key of the center; absent: acks are believed unsigned")
    parser.add_argument("--state", type=Path, default=Path("sender-state"), help="folder of the batches")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--ca", help="certificates of the broker's authority: TLS")
    parser.add_argument("--certificate")
    parser.add_argument("--certificate-key")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
