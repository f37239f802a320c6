# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP server of a running agent: loopback (`gateway.metrics_listen`) and a socket in its state folder.

`agent status`, `watch` and `doctor` on the same machine use the socket. GET only: /metrics, /healthz, /readyz, /status,
/capacity, /points, /tables. Nothing here changes anything. A request is a few lines and is read within seconds; more
than a few at a time wait.
"""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from collector.base.errors import ConfigError, LinkError, Problem, StoreError
from collector.base.text import tr

_LOG = logging.getLogger(__name__)
_REQUEST_BYTES: Final = 8192
_REQUEST_S: Final = 5.0
_AT_ONCE: Final = 4
_FIELDS: Final = 16
_PHRASES: Final = {200: "OK", 303: "See Other", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
                   405: "Method Not Allowed", 503: "Service Unavailable"}  # fmt: skip
_FURTHER: Final = {405: "Allow: GET\r\n"}
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class StatusPage:
    """An answer. `further`: additional header lines, each with its line end."""

    status: int
    kind: str
    body: bytes
    further: str = ""


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """A request. `query`: last value of each name; `headers`: by name in lower case."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


Route = Callable[[StatusRequest], Awaitable[StatusPage]]


class StatusServer:
    """The server. `routes`: path → function that makes its page, called on the loop."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = dict(routes)
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._servers: list[asyncio.Server] = []
        self._socket: Path | None = None

    async def listen(self, host: str, port: int) -> None:
        """Answer on an address.

        Raises:
            LinkError: the port is in use, or the address is not one of this machine.
        """
        try:
            self._servers.append(await asyncio.start_server(self._serve, host, port, limit=_REQUEST_BYTES))
        except OSError as error:
            raise LinkError(
                tr("can't listen: {strerror}", strerror=error.strerror or error), subject=f"{host}:{port}"
            ) from error

    async def listen_in(self, path: Path) -> None:
        """Answer on a socket file, readable by the agent's own user and root; a failure is logged, not fatal."""
        try:
            _remove(path)
            self._servers.append(await asyncio.start_unix_server(self._serve, path, limit=_REQUEST_BYTES))
            _make_private(path)
        except OSError as error:
            _LOG.warning("socket=%s can't be made (%s): agent status and watch will not see this process", path, error)
            return
        self._socket = path

    async def close(self) -> None:
        """Stop answering."""
        for server in self._servers:
            server.close()
        if self._socket is not None:
            with suppress(OSError):
                _remove(self._socket)
        self._servers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S), self._room:
                page = await self._page(reader)
                head = (
                    f"HTTP/1.1 {page.status} {_PHRASES[page.status]}\r\nContent-Type: {page.kind}\r\n"
                    f"Content-Length: {len(page.body)}\r\n{_FURTHER.get(page.status, '')}{page.further}"
                    "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode("ascii") + page.body)
                await writer.drain()
        except (TimeoutError, OSError):
            return  # the client has gone, or never sent a request
        finally:
            writer.close()

    async def _page(self, reader: asyncio.StreamReader) -> StatusPage:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return StatusPage(400, TEXT, b"not a request\n")
        words = request.split(b"\r\n", 1)[0].split()
        if len(words) != 3:
            return StatusPage(400, TEXT, b"not a request\n")
        if words[0] != b"GET":
            return StatusPage(405, TEXT, b"GET only\n")
        try:
            asked = _parse(words[1].decode("latin-1"), request.decode("latin-1"))
        except ValueError:
            return StatusPage(400, TEXT, b"too many fields\n")
        route = self._routes.get(asked.path)
        if route is None:
            return StatusPage(404, TEXT, (" ".join(sorted(self._routes)) + "\n").encode("ascii"))
        try:
            return await route(asked)
        except StoreError as error:
            return StatusPage(503, TEXT, f"{error}\n".encode())


def _parse(target: str, head: str) -> StatusRequest:
    path, _, query = target.partition("?")
    lines = (line.partition(":") for line in head.split("\r\n")[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in lines if name}
    return StatusRequest(path, dict(parse_qsl(query, max_num_fields=_FIELDS)), headers)


def _remove(path: Path) -> None:
    """Remove the socket of a killed agent; no other agent can use it, as this one holds the buffer's lock."""
    path.unlink(missing_ok=True)


def _make_private(path: Path) -> None:
    path.chmod(0o600)


def loopback(place: str) -> tuple[str, int]:
    """HOST and PORT of a listening address of this machine alone.

    Raises:
        ConfigError: not HOST:PORT, or other machines can reach it.
    """
    host, port = split_place(place, "gateway.metrics_listen")
    if not is_loopback(host):
        raise _no_place(place, "gateway.metrics_listen")
    return host, port


def split_place(place: str, key: str) -> tuple[str, int]:
    """HOST and PORT of a listening address; loopback where no host is named. `key`: the setting, for the error.

    Raises:
        ConfigError: not HOST:PORT.
    """
    host, _, port = place.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise _no_place(place, key)
    return host, int(port)


def is_loopback(host: str) -> bool:
    """True if only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _no_place(place: str, key: str) -> ConfigError:
    message = tr("expected HOST:PORT on loopback, as 127.0.0.1:9464, got {place!r}", place=place)
    return ConfigError([Problem("", 0, key, message)])


def ask_agent(path: Path, page: str, *, timeout_s: float = 5.0, language: str = "en") -> bytes | None:
    """A page of the agent that owns this socket, its texts in a language; None where no agent runs.

    Raises:
        LinkError: an agent is there and does not answer.
        PermissionError: the socket is another user's.
    """
    connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(timeout_s)
    try:
        connection.sock.connect(str(path))
        connection.request("GET", page, headers={"accept-language": language})
        answer = connection.getresponse()
        body = answer.read()
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except PermissionError as error:
        # the remedy depends on the file's owner
        raise PermissionError(error.errno, error.strerror, str(path)) from None
    except (OSError, http.client.HTTPException) as error:
        raise LinkError(tr("the agent does not answer: {error!r}", error=error), subject=str(path)) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise LinkError(body.decode("utf-8", "replace").strip(), subject=page)
    return body
