# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages as files: sent once, read whole, removed when dealt with."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from collector.wire.spool import FolderClient, put, read, waiting
from tests.patience import HANG_S

TOPIC = "collector/v1/P1/g1/batch"


def test_a_message_sent_twice_is_one_file_and_is_read_as_it_was(tmp_path: Path) -> None:
    first = put(tmp_path, TOPIC, b"payload")
    assert put(tmp_path, TOPIC, b"payload") == first
    assert waiting(tmp_path) == [first]
    message = read(first)
    assert message is not None
    assert (message.topic.value, message.payload) == (TOPIC, b"payload")


def test_a_file_that_is_not_all_there_is_left_until_it_is(tmp_path: Path) -> None:
    path = put(tmp_path, TOPIC, bytes(range(256)))
    whole = path.read_bytes()
    for size in (0, 1, 255):
        path.write_bytes(whole[:size])
        assert read(path) is None
    path.write_bytes(whole)
    assert read(path) is not None
    path.unlink()
    assert read(path) is None


def test_foreign_files_are_no_messages(tmp_path: Path) -> None:
    (tmp_path / "README.txt").write_text("put nothing here")
    (tmp_path / ".x.new").write_bytes(b"half")
    (tmp_path / "no-digest.msg").write_bytes(b"x")
    assert [path.name for path in waiting(tmp_path)] == ["no-digest.msg"]
    assert read(tmp_path / "no-digest.msg") is None


def test_of_retained_messages_the_last_is_there(tmp_path: Path) -> None:
    for text in (b"1", b"2", b"2"):
        put(tmp_path, "r/v1/P1/g1/state", text, only_last=True)
    put(tmp_path, "r/v1/P2/g1/state", b"other", only_last=True)
    assert sorted(path.read_bytes() for path in waiting(tmp_path)) == [b"2", b"other"]


def test_what_is_subscribed_comes_in_the_order_it_came_and_is_removed_after_it_was_dealt_with(tmp_path: Path) -> None:
    inward = tmp_path / "in"
    inward.mkdir()
    for place, text in enumerate((b"c", b"a", b"b")):
        os.utime(put(inward, TOPIC, text), ns=(place, place))
    put(inward, "collector/v1/P1/g1/ack", b"not asked for")
    (inward / "not-a~topic.msg").write_bytes(b"")
    (inward / "~.msg").write_bytes(b"")

    async def take() -> list[bytes]:
        taken: list[bytes] = []
        async with FolderClient(inward, tmp_path / "out") as client, asyncio.timeout(HANG_S):
            await client.subscribe([("collector/v1/+/+/batch", 1)])
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                assert len(waiting(inward)) == 6 - len(taken), "it is there until the next is asked for"
                taken.append(message.payload)
                if len(taken) == 3:
                    break
        return taken

    assert asyncio.run(take()) == [b"c", b"a", b"b"]
    assert len(waiting(inward)) == 4, "the last was not finished with; it comes again"
