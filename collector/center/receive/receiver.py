# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 5, receive: MQTT → admission → journal; commit, then acknowledge.

Three stages in a pipeline: messages are taken in turns and checked in a thread; a group is committed in one transaction
by the store's writer; the streams settled by the commit are acknowledged, one message per stream with the newest state.
Nothing is acknowledged before its commit, and nothing here needs the broker's memory: a message lost anywhere is sent
again by the plant, a repeat is acknowledged again.

Each plant has a connection of its own, because a broker keeps one queue for each: a plant's excess messages wait, or
are lost, in its own queue and delay nobody else's batches. One further connection subscribes to the states of gateways
of plants that are not enrolled, and then to their batches: so that they are informed, and people see them in
quarantine. Acknowledgements go out on a connection of their own, where no incoming messages delay them.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiomqtt
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

import collector.wire as wire
from collector.base.backoff import backoff_s
from collector.base.tasks import heed_cancellation
from collector.center.db.damaged import DamagedDatabase
from collector.center.db.store import CenterStore
from collector.center.receive.admission import Admission
from collector.center.receive.arrivals import Arrival, StreamKey
from collector.center.receive.journal import DueAck, GroupResult, commit_group
from collector.center.receive.links import SESSION_EXPIRY_S, BrokerLink, FolderLink, PacedClient
from collector.center.receive.turns import STRANGERS, Incoming, PlantTurns, Served
from collector.center.settings import CenterSettings

GROUP_BYTES: Final = 32_000_000
INBOX_BYTES: Final = 256_000_000
BACKOFF_START_S: Final = 0.2
CONNECT_AT_ONCE: Final = 4
LANE_MESSAGES: Final = 64  # messages of one connection that may wait for their checks; beyond, reading pauses
LANE_BYTES: Final = 8_000_000
CHECK_S: Final = 0.1  # checks take about this long before the next messages are chosen
FOLDER_MESSAGES: Final = 1000  # messages of one plant that may wait, of those that arrive as files
MAX_STRANGERS: Final = 100  # subscribed plants that are not enrolled

logger = logging.getLogger("collector.center.receive.receiver")


@dataclass
class Counters:
    """Counts of this process since its start; the store has the totals. `served`: by plant."""

    messages: int = 0
    committed: int = 0
    records: int = 0
    repeated: int = 0
    refused: int = 0
    acks: int = 0
    acks_failed: int = 0
    connections: int = 0
    commits_failed: int = 0
    served: Callable[[], Mapping[str, Served]] = field(default=dict, repr=False)


@dataclass(eq=False)
class _Lane:
    """One connection for incoming messages, and the acknowledgements due for them."""

    plant: str
    client: PacedClient | None = None
    due: dict[StreamKey, DueAck] = field(default_factory=dict)
    is_due: asyncio.Event = field(default_factory=asyncio.Event)


class Receiver:
    """Receives without end; `run` ends only by cancellation or a broken invariant."""

    def __init__(
        self, store: CenterStore, admission: Admission, settings: CenterSettings, signer: wire.Signer | None
    ) -> None:
        self._store = store
        self._admission = admission
        self._settings = settings
        self._signer = signer
        limits = settings.receiver
        self._link = BrokerLink(settings.mqtt)
        self.turns = PlantTurns(
            rows_per_s=limits.max_rows_per_s_per_plant,
            now_s=store.clock.monotonic_s,
            max_messages=limits.queue_messages,
            max_bytes=INBOX_BYTES,
        )
        self._strangers = _Lane(STRANGERS)
        self._plants = {plant.id: _Lane(plant.id) for plant in settings.plant}
        self._lanes = [self._strangers, *self._plants.values()]
        self._speaker: PacedClient | None = None
        self._broker_answers = asyncio.Event()
        # All connections together never bring more than fits the limits.
        lanes = len(self._lanes)
        self._full = min(LANE_MESSAGES, -(-limits.queue_messages // lanes)), min(LANE_BYTES, INBOX_BYTES // lanes)
        self._paused: set[_Lane] = set()
        self._connects = asyncio.Semaphore(CONNECT_AT_ONCE)
        self._heard: set[str] = set()  # plants not enrolled, subscribed on the present connection
        self._was_connected = False
        self._folder: FolderLink | None = None
        self.counters = Counters(served=self.turns.served)

    async def run(self) -> None:
        """Receive, commit and acknowledge until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stay_connected(None), name="speak")
            for lane in self._lanes:
                group.create_task(self._stay_connected(lane), name=f"receive {lane.plant}")
                group.create_task(self._acknowledge(lane), name=f"acknowledge {lane.plant}")
            if self._settings.receiver.folder:
                group.create_task(self._read_folder(Path(self._settings.receiver.folder)), name="folder")
            group.create_task(self._check(), name="check")
            group.create_task(self._commit_groups(), name="commit")

    async def _stay_connected(self, lane: _Lane | None) -> None:
        """Keep a connection open: of a lane, or with None the one for acknowledgements.

        The latter starts first: it finds out whether a broker answers.
        """
        where, failures = f"{self._settings.mqtt.host}:{self._settings.mqtt.port}", 0
        while True:
            if lane is not None:
                await self._broker_answers.wait()
            try:
                async with AsyncExitStack() as connection:
                    async with self._connects:
                        client = await connection.enter_async_context(await self._client_for(lane))
                        if lane is not None:
                            await self._subscribe(client, lane)
                    failures = 0
                    self._note_connection(lane, client, where)
                    await client.until_lost()
            except aiomqtt.MqttError as error:
                # The end of a broker is logged once; a broker without room for one plant would be logged again and
                # again.
                level = logging.WARNING if lane is None or failures else logging.DEBUG
                logger.log(level, "no broker at %s%s: %s", where, f" for {lane.plant}" if lane else "", error)
            finally:
                self._note_loss(lane)
            heed_cancellation()
            most_s = self._settings.receiver.backoff_max_s
            await asyncio.sleep(backoff_s(failures, BACKOFF_START_S, most_s, random.random()))
            failures += 1

    async def _client_for(self, lane: _Lane | None) -> PacedClient:
        """A new client for a lane, not yet connected.

        A receiver that shares its subscription with others keeps no session: messages that a broker would hold for a
        dead receiver are sent again by the plant, and reach a live one.
        """
        identifier = f"collector-{self._settings.center.id}"
        if lane is None:
            return await self._link.client(identifier)
        lasts = lane is not self._strangers and not self._settings.receiver.shared_group
        # No name contains a slash, so no other connection of a center has this id.
        name, expiry_s = f"{identifier}/{lane.plant}", SESSION_EXPIRY_S if lasts else 0
        return await self._link.client(name, self._deliver_to(lane), session_expiry_s=expiry_s)

    def _deliver_to(self, lane: _Lane) -> Callable[[aiomqtt.Message], None]:
        def deliver(message: aiomqtt.Message) -> None:
            self.turns.put(Incoming(lane.plant, *_parts(message)))
            if lane.client is not None and self.turns.is_full(lane.plant, *self._full):
                lane.client.pause()
                self._paused.add(lane)

        return deliver

    def _read_on(self) -> None:
        """Resume connections whose waiting messages were taken meanwhile."""
        for lane in [lane for lane in self._paused if not self.turns.is_full(lane.plant, *self._full)]:
            self._paused.discard(lane)
            if lane.client is not None:
                lane.client.resume()

    async def _subscribe(self, client: PacedClient, lane: _Lane) -> None:
        if lane is self._strangers:
            await client.subscribe(wire.subscription(self._settings.mqtt.root, "state"), qos=1)
        else:
            await self._subscribe_to(client, lane.plant, "batch", "state")

    async def _subscribe_to(self, client: PacedClient, plant: str, *leaves: wire.Leaf) -> None:
        shared = self._settings.receiver.shared_group
        prefix = f"$share/{shared}/" if shared else ""
        for leaf in leaves:
            await client.subscribe(prefix + wire.subscription(self._settings.mqtt.root, leaf, plant), qos=1)

    def _note_connection(self, lane: _Lane | None, client: PacedClient, where: str) -> None:
        if lane is not None:
            lane.client = client
        else:
            self._speaker = client
            self._broker_answers.set()
        if self._speaker and not self._was_connected and all(each.client for each in self._lanes):
            self._was_connected = True
            self.counters.connections += 1
            logger.info("connected to %s", where)

    def _note_loss(self, lane: _Lane | None) -> None:
        if lane is None:
            self._speaker = None
            self._was_connected = False
            self._broker_answers.clear()
        else:
            lane.client = None
            self._paused.discard(lane)
        if lane is self._strangers:
            self._heard.clear()

    async def _read_folder(self, folder: Path) -> None:
        """Receive batches that arrive as files; where the folder fails, retry without end."""
        while True:
            try:
                async with FolderLink(folder, self._settings.mqtt.root, self._store.clock) as link:
                    for leaf in ("batch", "state"):
                        await link.subscribe(wire.subscription(self._settings.mqtt.root, leaf))
                    self._folder = link
                    async for message in link.messages:
                        await self._put_file(*_parts(message))
            except OSError as error:
                logger.warning("%s: %s", folder, error)
            heed_cancellation()
            await asyncio.sleep(self._settings.receiver.backoff_max_s)

    async def _put_file(self, topic: str, payload: bytes) -> None:
        """Queue a message of a file, as soon as there is room for it.

        A plant that sends too much delays no other: while it is resting, messages without room are skipped, and their
        files read again later.
        """
        plant = self._enrolled(topic) or STRANGERS
        while self.turns.is_full(plant, FOLDER_MESSAGES, LANE_BYTES):
            if self.turns.rests(plant):
                return
            await asyncio.sleep(0.01)
        self.turns.put(Incoming(plant, topic, payload))

    def _enrolled(self, topic: str) -> str | None:
        """The enrolled plant that a topic names; None for any other."""
        parts = topic.rsplit("/", 3)
        return parts[1] if len(parts) == 4 and parts[1] in self._plants else None

    async def _check(self) -> None:
        """Pass admitted messages on to the commit, in turns."""
        limit = self._settings.receiver.group_messages
        while True:
            messages = await self.turns.messages(most=limit, most_bytes=GROUP_BYTES)
            self._read_on()
            checked = await asyncio.to_thread(self._admit, messages)
            self.turns.put_back(messages[len(checked) :])
            self.counters.messages += len(checked)
            for message, (arrival, work_s) in zip(messages, checked, strict=False):
                self.turns.add(message.plant, arrival, work_s=work_s)
                if message.plant == STRANGERS and message.topic.endswith("/state"):
                    await self._hear(message.topic)
            heed_cancellation()

    def _admit(self, messages: Sequence[Incoming]) -> list[tuple[Arrival | None, float]]:
        """Check the first messages, as many as a short time allows: each arrival, and its seconds of processor time."""
        checked: list[tuple[Arrival | None, float]] = []
        until_s, now_s = time.monotonic() + CHECK_S, time.thread_time()
        for message in messages:
            if checked and time.monotonic() > until_s:
                break
            # The state of an enrolled plant arrives by its own connection too.
            is_twice = message.plant == STRANGERS and self._enrolled(message.topic) is not None
            arrival = None if is_twice else self._admission.admit(message.topic, message.payload)
            before_s, now_s = now_s, time.thread_time()
            checked.append((arrival, now_s - before_s))
        return checked

    async def _hear(self, topic: str) -> None:
        """Subscribe to the batches of a plant that is not enrolled."""
        plant, client = topic.rsplit("/", 3)[1], self._strangers.client
        if client is None or plant in self._plants or plant in self._heard or len(self._heard) >= MAX_STRANGERS:
            return
        self._heard.add(plant)
        try:
            await self._subscribe_to(client, plant, "batch")
        except (aiomqtt.MqttError, ValueError) as error:
            logger.info("%s is not enrolled, and not heard: %s", plant, error)

    async def _commit_groups(self) -> None:
        while True:
            most = self._settings.receiver.group_messages
            arrivals = await self.turns.group(most=most, most_bytes=GROUP_BYTES)
            try:
                result = await asyncio.wrap_future(self._store.write(self._job(arrivals)))
            except (DBAPIError, DamagedDatabase) as error:
                # For example a full disk. Nothing of the group is acknowledged, so the plants send it again.
                self.counters.commits_failed += 1
                logger.error("group of %d not committed: %s", len(arrivals), error)
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
            lane = self._plants.get(settled.plant, self._strangers)
            waiting = lane.due.get(key)
            lane.due[key] = settled if waiting is None else newest(waiting, settled)
            lane.is_due.set()

    async def _acknowledge(self, lane: _Lane) -> None:
        """Publish the due acknowledgements. Where that fails the plant sends again, and the repeat is acknowledged."""
        while True:
            await lane.is_due.wait()
            lane.is_due.clear()
            while lane.due:
                await self._publish(lane.due.pop(next(iter(lane.due))))
                heed_cancellation()

    async def _publish(self, settled: DueAck) -> None:
        ack = wire.Ack(
            store_id=self._store.store_id,
            epoch_hex=wire.epoch_text(settled.epoch),
            through=settled.through,
            also=settled.also,
            refused=settled.refused,
        )
        topic = wire.topic(self._settings.mqtt.root, settled.plant, settled.gateway, "ack")
        # The acknowledgement takes the way of the batches.
        by_folder = self._folder is not None and self._folder.brought(settled.plant, settled.gateway, settled.epoch)
        client = self._folder if by_folder else self._speaker
        try:
            if client is None:
                raise aiomqtt.MqttError("not connected")
            await client.publish(topic, wire.encode_ack(ack, self._signer), qos=1)
            self.counters.acks += 1
        except (aiomqtt.MqttError, OSError) as error:
            self.counters.acks_failed += 1
            logger.info("ack to %s not sent: %s", topic, error)


def newest(before: DueAck, after: DueAck) -> DueAck:
    """Two states of one stream as one acknowledgement: the later one, with the refusals of both that still hold."""
    # A stranger's refused batch covers nothing; once the plant's own is committed, that refusal no longer holds.
    held = [(n, code) for n, code in before.refused if before.covers(n) or not after.covers(n)]
    refused = tuple(dict.fromkeys([*held, *after.refused]))
    return DueAck(after.plant, after.gateway, after.epoch, after.through, after.also, refused)


def _parts(message: aiomqtt.Message) -> tuple[str, bytes]:
    payload = message.payload
    return message.topic.value, payload if isinstance(payload, bytes) else bytes(payload or b"")
