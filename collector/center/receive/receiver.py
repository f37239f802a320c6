# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 5, receive: MQTT → admission → journal; commit, then acknowledge.

Three stages in a row, each working while the next one does: messages are taken in groups and checked in a thread; a
group is committed in one transaction by the store's writer; what the commit settled is acknowledged, one message per
stream with the newest state. Nothing is acknowledged before its commit, and nothing here needs the broker's memory: a
message lost anywhere is sent again by the plant, a repeat is acknowledged again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiomqtt
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

import collector.wire as wire
from collector.base.backoff import backoff_s
from collector.base.tasks import heed_cancellation
from collector.center.db.store import CenterStore
from collector.center.receive.admission import Admission
from collector.center.receive.arrivals import Arrival, StreamKey
from collector.center.receive.broker_link import SESSION_EXPIRY_S, BrokerLink, Inbox
from collector.center.receive.journal import GroupResult, Settled, commit_group
from collector.center.settings import CenterSettings

GROUP_BYTES: Final = 32_000_000
INBOX_BYTES: Final = 256_000_000
BACKOFF_START_S: Final = 0.2
ACKS_AT_ONCE: Final = 64

logger = logging.getLogger("collector.center.receive.receiver")


@dataclass
class Counters:
    """What this process has done since its start; the store has the totals."""

    messages: int = 0
    committed: int = 0
    records: int = 0
    repeated: int = 0
    refused: int = 0
    acks: int = 0
    acks_failed: int = 0
    connections: int = 0
    commits_failed: int = 0


class Receiver:
    """Receives for ever; `run` ends only by cancellation or a broken invariant."""

    def __init__(
        self, store: CenterStore, admission: Admission, settings: CenterSettings, signer: wire.Signer | None
    ) -> None:
        self._store = store
        self._admission = admission
        self._settings = settings
        self._signer = signer
        limits = settings.receiver
        self.inbox = Inbox(max_messages=limits.queue_messages, max_bytes=INBOX_BYTES)
        self._link = BrokerLink(
            settings.mqtt,
            client_id=f"collector-{settings.center.id}",
            inbox=self.inbox,
            session_expiry_s=0 if limits.shared_group else SESSION_EXPIRY_S,
        )
        # One group ahead of the commit; a full queue stops the taking, and the inbox's limit does the rest.
        self._groups: asyncio.Queue[list[Arrival]] = asyncio.Queue(maxsize=1)
        self._due: dict[StreamKey, Settled] = {}
        self._is_due = asyncio.Event()
        self._client: aiomqtt.Client | None = None
        self.counters = Counters()

    async def run(self) -> None:
        """Receive, commit and acknowledge until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stay_connected(), name="receive")
            group.create_task(self._commit_groups(), name="commit")
            group.create_task(self._acknowledge(), name="acknowledge")

    async def _stay_connected(self) -> None:
        failures = 0
        while True:
            try:
                async with await self._link.connect() as client:
                    await self._subscribe(client)
                    failures = 0
                    self._client = client
                    self.counters.connections += 1
                    logger.info("connected to %s:%d", self._settings.mqtt.host, self._settings.mqtt.port)
                    await self._take(client)
            except aiomqtt.MqttError as error:
                logger.warning("no broker at %s:%d: %s", self._settings.mqtt.host, self._settings.mqtt.port, error)
            finally:
                self._client = None
            heed_cancellation()
            most_s = self._settings.receiver.backoff_max_s
            await asyncio.sleep(backoff_s(failures, BACKOFF_START_S, most_s, random.random()))
            failures += 1

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        shared = self._settings.receiver.shared_group
        prefix = f"$share/{shared}/" if shared else ""
        root = self._settings.mqtt.root
        await client.subscribe(prefix + wire.subscription(root, "batch"), qos=1)
        await client.subscribe(prefix + wire.subscription(root, "state"), qos=1)

    async def _take(self, client: aiomqtt.Client) -> None:
        """Hand groups of messages to the commit until the connection is lost."""
        limit = self._settings.receiver.group_messages
        async for first in client.messages:
            messages = [_parts(first)]
            size = len(messages[0][1])
            while len(messages) < limit and size < GROUP_BYTES and not self.inbox.empty():
                messages.append(_parts(self.inbox.get_nowait()))
                size += len(messages[-1][1])
            self.counters.messages += len(messages)
            await self._groups.put(await asyncio.to_thread(self._admission.admit_all, messages))
            heed_cancellation()

    async def _commit_groups(self) -> None:
        while True:
            arrivals = await self._groups.get()
            try:
                result = await asyncio.wrap_future(self._store.write(self._job(arrivals)))
            except DBAPIError as error:
                # A full disk, say. Nothing of the group is acknowledged, so the plants send it again.
                self.counters.commits_failed += 1
                logger.error("group of %d not committed: %s", len(arrivals), error.orig)
                await asyncio.sleep(1)
                continue
            self._note(result)

    def _job(self, arrivals: list[Arrival]) -> Callable[[Connection], GroupResult]:
        now_ms = self._store.clock.now_utc_ms()
        limits = self._settings.receiver
        return lambda connection: commit_group(
            connection,
            arrivals,
            now_ms=now_ms,
            quarantine_max_bytes=limits.quarantine_max_bytes,
            quarantine_max_rows=limits.quarantine_max_rows,
            max_streams=limits.max_streams_per_plant,
        )

    def _note(self, result: GroupResult) -> None:
        counters = self.counters
        counters.committed += result.committed
        counters.records += result.records
        counters.repeated += result.repeated
        counters.refused += result.refused
        for settled in result.settled:
            key = (settled.plant, settled.gateway, settled.epoch)
            waiting = self._due.get(key)
            self._due[key] = settled if waiting is None else newest(waiting, settled)
        if self._due:
            self._is_due.set()

    async def _acknowledge(self) -> None:
        """Publish what is due. Where that fails the plant sends again, and the repeat is acknowledged."""
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            due, self._due = list(self._due.values()), {}
            for start in range(0, len(due), ACKS_AT_ONCE):
                await asyncio.gather(*(self._publish(settled) for settled in due[start : start + ACKS_AT_ONCE]))
                heed_cancellation()

    async def _publish(self, settled: Settled) -> None:
        ack = wire.Ack(
            store_id=self._store.store_id,
            epoch_hex=wire.epoch_text(settled.epoch),
            through=settled.through,
            also=settled.also,
            refused=settled.refused,
        )
        topic = wire.topic(self._settings.mqtt.root, settled.plant, settled.gateway, "ack")
        client = self._client
        try:
            if client is None:
                raise aiomqtt.MqttError("not connected")
            await client.publish(topic, wire.encode_ack(ack, self._signer), qos=1)
            self.counters.acks += 1
        except aiomqtt.MqttError as error:
            self.counters.acks_failed += 1
            logger.info("ack to %s not sent: %s", topic, error)


def newest(before: Settled, after: Settled) -> Settled:
    """Two states of one stream as one acknowledgement: the later one, with the refusals of both that still hold."""
    # A stranger's refused batch covers nothing; once the plant's own is committed, its refusal is no longer true.
    held = [(n, code) for n, code in before.refused if before.covers(n) or not after.covers(n)]
    refused = tuple(dict.fromkeys([*held, *after.refused]))
    return Settled(after.plant, after.gateway, after.epoch, after.through, after.also, refused)


def _parts(message: aiomqtt.Message) -> tuple[str, bytes]:
    payload = message.payload
    return message.topic.value, payload if isinstance(payload, bytes) else bytes(payload or b"")
