# SPDX-License-Identifier: GPL-3.0-or-later
"""A real S3 server (moto's) for a test run, and a way to it on which a network's faults happen."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
import subprocess
import sys
import threading
import urllib.request
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from pyarrow.fs import FileSelector, S3FileSystem

from tests.patience import wait_until

KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
_buckets = itertools.count(1)
_BUSY = ("503 Slow Down", "SlowDown")
_SKEWED = ("403 Forbidden", "RequestTimeTooSkewed")
ANSWERS = {"busy": _BUSY, "skewed": _SKEWED}


class ObjectStore:
    """A running server; buckets of it by the address that lake.url takes."""

    def __init__(self, port: int) -> None:
        self.port = port

    def new_bucket(self) -> str:
        """The name of an empty bucket."""
        name = f"bucket-{next(_buckets)}"
        self._files(allow_bucket_creation=True).create_dir(name)
        return name

    def url(self, bucket: str, port: int = 0) -> str:
        """What lake.url says; `port`: of a way to the server."""
        return f"s3://{bucket}/east/plants?endpoint_override=127.0.0.1:{port or self.port}&scheme=http"

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Everything in a bucket, as another program sees it."""
        files = self._files()
        found = files.get_file_info(FileSelector(bucket, recursive=True))
        return {each.path: files.open_input_file(each.path).read() for each in found if each.is_file and each.size}

    def put(self, key: str, data: bytes) -> None:
        """Another program writes an object."""
        with self._files().open_output_stream(key) as stream:
            stream.write(data)

    def delete(self, key: str) -> None:
        """Another program deletes an object."""
        self._files().delete_file(key)

    @contextlib.contextmanager
    def closed_to_strangers(self) -> Iterator[None]:
        """Credentials are looked at for so long; nobody has good ones."""
        self._look_at_credentials_after("0")
        try:
            yield
        finally:
            self._look_at_credentials_after("inf")

    def _look_at_credentials_after(self, requests: str) -> None:
        address, kind = f"http://127.0.0.1:{self.port}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(address, requests.encode(), kind, method="POST")).close()

    def _files(self, *, allow_bucket_creation: bool = False) -> S3FileSystem:
        return S3FileSystem(
            access_key="tests", secret_key="secret", endpoint_override=f"127.0.0.1:{self.port}", scheme="http",
            allow_bucket_creation=allow_bucket_creation,
        )  # fmt: skip


@contextlib.contextmanager
def running_object_store(log: Path) -> Iterator[ObjectStore]:
    """moto's server, in memory."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | KEYS) as server:
        try:
            wait_until(lambda: _answers(server, port), "moto's server (requirements/moto.txt)")
            yield ObjectStore(port)
        finally:
            server.terminate()


def _answers(server: subprocess.Popen[bytes], port: int) -> bool:
    assert server.poll() is None, "moto's server ended: is requirements/moto.txt installed?"
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


class FaultyWay:
    """A way to the server. The next requests meet `faults`, one each, then all meet `standing`; "" lets one pass.

    refused: the connection is reset; busy, skewed: the server's answer by these names; stalled: no answer;
    cut in the answer, cut in the request: reset after some bytes of it.
    """

    def __init__(self, port: int) -> None:
        self.faults: deque[str] = deque()
        self.standing = ""
        self.requests: list[str] = []
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Nobody is let in any more."""
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self._to)) as server:
            while data := client.recv(65_536):
                if data.startswith((b"GET ", b"HEAD ", b"PUT ", b"DELETE ", b"POST ")):
                    self.requests.append(data.partition(b"\r\n")[0].decode())
                    fault = self.faults.popleft() if self.faults else self.standing
                    if fault == "stalled":
                        while client.recv(65_536):
                            pass
                        break
                    if fault in ANSWERS:
                        status, code = ANSWERS[fault]
                        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
                        head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}"
                        client.sendall(f"{head}\r\nConnection: close\r\n\r\n{body}".encode())
                        break
                    if fault in ("refused", "cut in the request"):
                        server.sendall(data[:200] if fault != "refused" else b"")
                        _reset(client)
                        break
                    threading.Thread(target=_answer, args=(server, client, fault), daemon=True).start()
                server.sendall(data)


def _answer(server: socket.socket, client: socket.socket, fault: str) -> None:
    """Bring the server's answers to the client, until either is gone; of a cut one the first bytes of its body."""
    in_body = False
    with contextlib.suppress(OSError):
        while data := server.recv(65_536):
            head, end, body = (b"", b"", data) if in_body else data.partition(b"\r\n\r\n")
            in_body = in_body or bool(end)
            if fault == "cut in the answer" and body:
                client.sendall(head + end + body[:100])
                _reset(client)
                break
            client.sendall(data)


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
