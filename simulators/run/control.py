# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket of a simulator, on loopback: one JSON object per line in each direction.

`status`, `hold` (at_utc_ms), `release`, `books`, `fault` (device, kind, value, probability), `clear` (device, kind),
`set` (unit, quantity, value), `unset` (unit, quantity), `stop`. A request that fails is answered with {"error": …}.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

from collector.base.errors import CollectorError
from simulators.faults.faults import Fault

_LINE_LIMIT: Final = 65_536

Answer = dict[str, Any]


class Controlled(Protocol):
    """The simulation as seen by the control socket."""

    def status(self) -> Answer:
        """The status: time, requests, clients."""
        ...

    def hold(self, at_utc_ms: int) -> int:
        """Hold time at an instant; returns the instant at which it will be held, UTC ms."""
        ...

    def release(self) -> None:
        """Let time go on."""
        ...

    def books(self) -> Answer:
        """The books: true quantities so far."""
        ...

    def fault_on(self, fault: Fault) -> None:
        """Switch a fault on."""
        ...

    def fault_off(self, device: str, kind: str) -> None:
        """Switch a fault off."""
        ...

    def set_value(self, unit: str, quantity: str, value: str) -> None:
        """Show a value instead of the plant's own."""
        ...

    def unset_value(self, unit: str, quantity: str) -> None:
        """Show the plant's own value again."""
        ...

    def stop(self) -> None:
        """End the process."""
        ...


class Control:
    """The server of the control socket for one `Controlled`."""

    def __init__(self, target: Controlled) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._verbs: dict[str, Callable[[Answer], Answer]] = {
            "status": lambda _: target.status(),
            "hold": lambda ask: {"held": target.hold(_whole(ask, "at_utc_ms"))},
            "release": lambda _: _done(target.release, "released"),
            "books": lambda _: target.books(),
            "fault": lambda ask: _done(partial(target.fault_on, _fault(ask)), "on"),
            "clear": lambda ask: _done(partial(target.fault_off, _text(ask, "device"), _text(ask, "kind")), "off"),
            "set": lambda ask: _done(partial(target.set_value, *_signal(ask), _text(ask, "value")), "set"),
            "unset": lambda ask: _done(partial(target.unset_value, *_signal(ask)), "unset"),
            "stop": lambda _: _done(target.stop, "stopping"),
        }

    async def listen(self, host: str, port: int) -> int:
        """Open the socket. Returns the port."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_LINE_LIMIT)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """End the socket and its connections."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self._answer(line), ensure_ascii=False).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the client disconnected, or sent a line beyond the limit: there is no one to answer
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, line: bytes) -> Answer:
        try:
            ask = json.loads(line)
            if not isinstance(ask, dict):
                raise CollectorError("a request is one JSON object a line")
            verb = self._verbs.get(str(ask.get("do")))
            if verb is None:
                raise CollectorError(f"do is one of {', '.join(self._verbs)}, got {ask.get('do')!r}")
            return verb(ask)
        except (CollectorError, json.JSONDecodeError) as error:
            return {"error": str(error)}


def _done(action: Callable[[], None], word: str) -> Answer:
    action()
    return {word: True}


def _whole(ask: Answer, key: str, default: int | None = None) -> int:
    value = ask.get(key, default)
    if not isinstance(value, int):
        raise CollectorError(f"{key} is a whole number, got {value!r}")
    return value


def _text(ask: Answer, key: str) -> str:
    value = ask.get(key)
    if not isinstance(value, str):
        raise CollectorError(f"{key} is a text, got {value!r}")
    return value


def _signal(ask: Answer) -> tuple[str, str]:
    return _text(ask, "unit"), _text(ask, "quantity")


def _fault(ask: Answer) -> Fault:
    probability = ask.get("probability", 1.0)
    if not isinstance(probability, (int, float)):
        raise CollectorError(f"probability is a number, got {probability!r}")
    return Fault(_text(ask, "device"), _text(ask, "kind"), _whole(ask, "value", 0), float(probability))
