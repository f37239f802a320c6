# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages as files, where no connection is allowed: an isolation device carries them from one folder to another.

`FolderClient` offers the part of an MQTT client that both sides use, so that the rest of them needs no change. A file
name holds the topic (`~` for `/`) and the SHA-256 of the content: a message that is sent again is the same file, and a
file that is copied only in part does not match its name and is left until it is whole.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

import aiomqtt

from collector.base.durable import write_whole

SUFFIX: Final = ".msg"
_DIGITS: Final = 32  # of the SHA-256, in the name
_POLL_S: Final = 1.0


def put(folder: Path, topic: str, payload: bytes, *, only_last: bool = False) -> Path:
    """Write a message for the other side; no effect where it is already there. `only_last`: remove earlier ones.

    Raises:
        OSError: the disk refuses.
    """
    begin = topic.replace("/", "~")
    path = folder / f"{begin}~{hashlib.sha256(payload).hexdigest()[:_DIGITS]}{SUFFIX}"
    if only_last:
        for former in folder.glob(f"{begin}~*{SUFFIX}"):
            if former != path:
                former.unlink(missing_ok=True)
    if not path.exists():
        write_whole(path, payload)
    return path


def waiting(folder: Path) -> list[Path]:
    """The messages in a folder, the oldest first."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            found.append((path.stat().st_mtime_ns, path.name, path))
        except FileNotFoundError:
            continue  # carried away in the meantime
    return [path for _, _, path in sorted(found)]


def read(path: Path) -> aiomqtt.Message | None:
    """Read a message; None where the file is gone, or not there as a whole yet."""
    topic, digest = _named(path)
    try:
        payload = path.read_bytes()
    except FileNotFoundError:
        return None
    if not topic or hashlib.sha256(payload).hexdigest()[:_DIGITS] != digest:
        return None
    return aiomqtt.Message(topic, payload, 1, False, 0, None)


def _named(path: Path) -> tuple[str, str]:
    """Topic and hash from a file's name; the topic is empty where the name holds none."""
    topic, _, digest = path.name.removesuffix(SUFFIX).rpartition("~")
    return topic.replace("~", "/"), digest


class FolderClient:
    """Publishes into `outward` and receives from `inward`; a received message is deleted after it was handled.

    `max_packet_bytes`, `on_refused`: attributes of a broker's client; a folder has no limit and refuses nothing.
    """

    max_packet_bytes: int | None = None
    on_refused: Callable[[Any], None] | None = None

    def __init__(self, inward: Path, outward: Path) -> None:
        self._inward, self._outward = inward, outward
        self._filters: list[str] = []

    async def __aenter__(self) -> Self:
        for folder in (self._inward, self._outward):
            folder.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def subscribe(self, topic: str | Sequence[tuple[str, int]], qos: int = 1) -> None:  # noqa: ARG002
        """Receive the messages of these topics."""
        self._filters += [topic] if isinstance(topic, str) else [name for name, _ in topic]

    async def publish(self, topic: str, payload: bytes, qos: int = 1, *, retain: bool = False) -> None:  # noqa: ARG002
        """Write a message; of retained messages only the last one stays."""
        await asyncio.to_thread(put, self._outward, topic, payload, only_last=retain)

    @property
    async def messages(self) -> AsyncIterator[aiomqtt.Message]:
        """The messages as they arrive, without end."""
        while True:
            for path in await asyncio.to_thread(waiting, self._inward):
                # Check the name first: files for other receivers stay here and must not be read each time.
                if not self._is_due(path) or not self._is_wanted(_named(path)[0]):
                    continue
                message = await asyncio.to_thread(read, path)
                if message is not None:
                    yield message
                    await self._dealt_with(path, message)
            await asyncio.sleep(_POLL_S)

    def _is_wanted(self, topic: str) -> bool:
        try:
            return any(aiomqtt.Topic(topic).matches(name) for name in self._filters)
        except ValueError:  # not a topic
            return False

    def _is_due(self, path: Path) -> bool:  # noqa: ARG002
        return True

    async def _dealt_with(self, path: Path, message: aiomqtt.Message) -> None:  # noqa: ARG002
        await asyncio.to_thread(path.unlink, missing_ok=True)
