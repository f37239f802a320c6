# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 4, uplink: sealed batches over MQTT until the center itself acknowledges them.

One client for all plants of a gateway (`broker_client.py`), QoS 1. A broker's own acknowledgement (PUBACK) does not
count: brokers acknowledge messages and then drop them. A batch is in flight from its publication to the center's ack,
at most `window` batches at a time, and is published again after `ack_timeout_s`. A lost connection is opened again
without end, with back-off and jitter.

Batches wait in four lanes (`send_queue.py`): live, asked, backlog, put off. Each lane is sent in sequence order (B4)
and has its share of the window, so that none starves another. A batch larger than the broker takes
(`packet_limit.py`) is sealed again in parts, and the others pass meanwhile.

The blocking buffer is called on one worker thread; only the window is held in memory, however long the backlog.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import aiomqtt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from paho.mqtt.reasoncodes import ReasonCode

from collector import __version__
from collector.agent.buffer.buffer import Buffer, Outgoing, Position
from collector.agent.buffer.buffer_file import Unusable
from collector.agent.uplink.broker_client import PACKET_TOO_LARGE, TAKEN_OVER, BrokerClient, Connector
from collector.agent.uplink.broker_words import REMEDIES, reason_code, spell
from collector.agent.uplink.folder_client import FolderConnector
from collector.agent.uplink.packet_limit import PacketLimit
from collector.agent.uplink.send_queue import Flights, take
from collector.base.backoff import backoff_s
from collector.base.errors import Garbled, StoreError
from collector.base.tasks import heed_cancellation
from collector.base.text import said_by, tr
from collector.points.agent_config import AgentConfig
from collector.wire import SCHEMA_VERSION, decode_ack, decode_ask, load_public_key, parse_topic, topic
from collector.wire.spool import FolderClient

_LOG = logging.getLogger(__name__)
_STATE_PERIOD_S: Final = 60.0
_STORE_RETRY_S: Final = 1.0
_BACKOFF_FIRST_S: Final = 0.5
# A connection of at least this length was a good one. Two machines with one gateway id end each other's at once.
_STEADY_S: Final = 30.0
SHORT_SESSIONS: Final = 3  # this many in a row, without a reason from the broker, are reported

T = TypeVar("T")
Client = BrokerClient | FolderClient
Status = Callable[[], Mapping[str, Any]]
Echo = Callable[[str, str], Mapping[str, Any]]


def _no_status() -> Mapping[str, Any]:
    return {}


def _no_echo(device: str, point: str) -> Mapping[str, Any]:
    return {"device": device, "point": point, "error": "not offered"}


async def run_uplink(
    buffer: Buffer, config: AgentConfig, *, status: Status = _no_status, echo: Echo = _no_echo
) -> None:
    """Send batches until cancelled.

    Args:
        buffer: open; called from the uplink's own thread.
        config: broker, uplink and plants; paths of key and certificate files are relative to it.
        status: gives further fields of the retained state message, e.g. `clock` and `links`; called on the loop.
        echo: gives the present value of (device, point), for 对点 from the center; called on the loop.

    Raises:
        ConfigError: a key or certificate file can't be used.
        StoreError: the buffer is damaged; the process must start again.
    """
    await Uplink(buffer, config, status=status, echo=echo).run()


class Uplink:
    """The sending side of one gateway."""

    def __init__(
        self, buffer: Buffer, config: AgentConfig, *, status: Status = _no_status, echo: Echo = _no_echo
    ) -> None:
        settings = config.settings
        self._buffer = buffer
        self._root = settings.mqtt.root
        is_by_file = settings.uplink.kind == "file"
        self._connector: Connector | FolderConnector = FolderConnector(config) if is_by_file else Connector(config)
        self.place = self._connector.place  # HOST:PORT of the broker, or the folder
        self._limit = PacketLimit(settings.buffer.batch_max_bytes)
        self._uplink = settings.uplink
        self._gateway = settings.gateway.id
        self._status = status
        self._echo = echo
        key_file = settings.uplink.center_key_file
        self._center_key: Ed25519PublicKey | None = load_public_key(config.resolve(key_file)) if key_file else None
        self._jitter = random.Random()
        self._wake = asyncio.Event()
        self._flights = Flights(settings.uplink)
        self._echoes: list[Mapping[str, Any]] = []
        self._reported = asyncio.Event()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="uplink")
        self.acknowledged = 0
        self.published = 0
        self.ignored = 0
        # For status and health: broker connection, its last loss, the center's last valid message (loop time, s).
        self.is_connected = False
        self.last_error = ""
        self.broker_code: int | None = None  # the broker's last reason to refuse something, MQTT's number
        self._session_code: int | None = None
        self._was_connected = False
        self._unconfirmed: dict[Position, int] = {}  # published in this connection, no PUBACK yet: bytes
        self.short_sessions = 0  # connections in a row that the broker ended soon after their start, giving no reason
        self.divided = 0  # batches sealed again in parts, being too large for the broker
        self.last_ack_s: float | None = None
        self.earlier_store = ""  # the store whose word came last, where another one came after it; it frees nothing
        self.unrecognised: dict[str, set[str]] = {}
        self._put_off: dict[str, set[str]] = {}  # codes logged once since the start; alarm.py keeps reporting them

    async def run(self) -> None:
        """Connect, send, and connect again, until cancelled."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._wake.set)

        forget = self._buffer.on_sealed(wake)
        failures = 0
        try:
            while True:
                began_s = loop.time()
                try:
                    # A separate task: on 3.11 a TaskGroup whose child fails leaves its task counted as cancelled,
                    # and this task must be able to tell whether somebody ended it.
                    await asyncio.create_task(self._session(), name="uplink-session")
                except* (aiomqtt.MqttError, OSError, TimeoutError) as errors:
                    self._lost(errors.exceptions[0], lasted_s=loop.time() - began_s)
                heed_cancellation()
                was_steady = loop.time() - began_s >= _STEADY_S
                if was_steady and self._session_code is None:
                    self.broker_code, self.short_sessions = None, 0
                failures = 0 if was_steady else failures + 1
                rest_s = backoff_s(failures, _BACKOFF_FIRST_S, self._uplink.backoff_max_s, self._jitter.random())
                await asyncio.sleep(rest_s)
        finally:
            forget()
            self._executor.shutdown(wait=False)

    def _lost(self, error: Exception, *, lasted_s: float) -> None:
        """Log why a connection ended, and count the losses of its unconfirmed batches."""
        code = reason_code(error)
        if code is not None:
            self._refused(code)
        if self._session_code is None:
            self.last_error = said_by(error) or type(error).__name__
        _LOG.warning("gateway=%s broker=%s lost: %s", self._gateway, self.place, self.last_error)
        is_short = self._was_connected and self._session_code is None and lasted_s < _STEADY_S
        self.short_sessions = self.short_sessions + 1 if is_short else 0
        if self.short_sessions == SHORT_SESSIONS:
            _LOG.error("gateway=%s broker ends every connection at once: %s", self._gateway, REMEDIES[TAKEN_OVER])
        is_certain = self._session_code == PACKET_TOO_LARGE
        for position, size in sorted(self._unconfirmed.items(), key=lambda item: -item[1])[: 1 if is_certain else None]:
            self._note_loss(position, size, is_certain=is_certain)

    def _refused(self, code: ReasonCode) -> None:
        """Keep the broker's reason for status and doctor; log it once a connection."""
        words = spell(code)
        if self._session_code != code.value:
            _LOG.error("gateway=%s broker=%s refuses: %s", self._gateway, self.place, words)
        self._session_code = self.broker_code = code.value
        self.last_error = words

    def _note_loss(self, position: Position, size: int, *, is_certain: bool = False) -> None:
        if self._limit.lost(position, size, is_certain=is_certain):
            _LOG.error(
                "gateway=%s broker=%s loses batches of %d bytes: from now on at most %d, larger ones are divided",
                self._gateway, self.place, size, self._limit.bytes,
            )  # fmt: skip

    async def _session(self) -> None:
        """Use one connection until it is lost."""
        self._session_code, self._was_connected = None, False
        self._unconfirmed.clear()
        will = aiomqtt.Will(self._topic(self._buffer.plants[0], "state"), self._state(online=False), qos=1, retain=True)
        async with self._connector.connected(will, self._farewell) as client:
            client.on_refused = self._refused
            longest = max(len(self._topic(plant, "batch")) for plant in self._buffer.plants)
            self._limit.announced(client.max_packet_bytes, longest)
            plants = self._buffer.plants
            for plant in plants:
                await self._reseal(plant)  # batches of an earlier epoch conflict, left by a kill
            newest = {plant: await self._call(self._buffer.newest, plant) for plant in plants}
            sent = None
            if self._uplink.is_one_way:
                sent = {plant: await self._call(self._buffer.last_handed_over, plant) for plant in plants}
            self._flights.begin(newest, sent)
            for plant in plants:
                await client.subscribe([(self._topic(plant, "ack"), 1), (self._topic(plant, "ask"), 1)])
                heed_cancellation()
            self.is_connected = self._was_connected = True
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(client), name="uplink-receive")
                group.create_task(self._report(client), name="uplink-state")
                group.create_task(self._send(client, group), name="uplink-send")

    async def _farewell(self, client: Client) -> None:
        """Publish that the agent stops, if still connected; the will serves only where the connection is lost."""
        self.is_connected = False
        for plant in self._buffer.plants:
            await client.publish(self._topic(plant, "state"), self._state(online=False), qos=1, retain=True)

    def _topic(self, plant: str, leaf: Any) -> str:
        return topic(self._root, plant, self._gateway, leaf)

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function of the buffer on the uplink's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    async def _send(self, client: Client, group: asyncio.TaskGroup) -> None:
        """Keep the window full."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            try:
                await self._fill(client, group)
            except Unusable:
                raise
            except StoreError as error:
                _LOG.error("gateway=%s buffer: %s", self._gateway, error)
                await asyncio.sleep(_STORE_RETRY_S)
            try:
                async with asyncio.timeout(self._flights.next_timeout_s(loop.time())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _fill(self, client: Client, group: asyncio.TaskGroup) -> None:
        """Publish batches whose ack is overdue, then new ones, until the window is full."""
        loop = asyncio.get_running_loop()
        for position in self._flights.overdue(loop.time()):
            outgoing = await self._call(self._buffer.read, position)
            if outgoing is None:
                self._flights.land([position])
                continue
            if self._flights.is_overtaken(position):
                self._note_loss(position, len(outgoing.payload), is_certain=self.broker_code == PACKET_TOO_LARGE)
            if await self._divided(outgoing):
                self._flights.land([position])
            else:
                await self._publish(client, group, outgoing)
                self._flights.sent_again(position, loop.time())
        for plant in self._flights.due_offers(loop.time()):
            self._flights.offer_again(plant, await self._call(self._buffer.last_put_off, plant), loop.time())
        while (request := self._flights.request()) is not None:
            choice = await self._call(take, self._buffer, request)
            if choice is None:
                return
            if await self._divided(choice.outgoing):
                continue  # its parts are sent in their turn
            if self._flights.depart(request, choice, loop.time()):
                if self._uplink.is_one_way:
                    await self._hand_over(client, choice.outgoing)
                else:
                    await self._publish(client, group, choice.outgoing)

    async def _divided(self, outgoing: Outgoing) -> bool:
        """Seal a batch again in parts if it is larger than the broker takes; False where it can be sent."""
        limit = self._limit.bytes
        if len(outgoing.payload) <= limit:
            return False
        await self._call(self._buffer.limit_batches, limit)
        if not await self._call(self._buffer.divide, outgoing.position):
            return False  # one record alone, or freed and asked for again: the broker may have changed
        self.divided += 1
        _LOG.warning(
            "plant=%s batch=%s has %d bytes, the broker takes %d: sealed again in parts",
            outgoing.plant, outgoing.position, len(outgoing.payload), limit,
        )  # fmt: skip
        return True

    async def _hand_over(self, client: Client, outgoing: Outgoing) -> None:
        """Write a batch for a one-way device. Nothing else will ever confirm it, so it counts as handed over."""
        await client.publish(self._topic(outgoing.plant, "batch"), outgoing.payload, qos=1)
        await self._call(self._buffer.hand_over, outgoing.plant, outgoing.position, self._uplink.keep_days)
        self._flights.land([outgoing.position])
        self.published += 1
        rate = self._uplink.rate_cap_bytes_per_s
        await asyncio.sleep(len(outgoing.payload) / rate if rate else 0)

    async def _publish(self, client: Client, group: asyncio.TaskGroup, outgoing: Outgoing) -> None:
        """Publish one batch. A separate task awaits the PUBACK, which only shows that the connection works."""
        self.published += 1
        group.create_task(self._deliver(client, outgoing), name="uplink-publish")
        rate = self._uplink.rate_cap_bytes_per_s
        await asyncio.sleep(len(outgoing.payload) / rate if rate else 0)

    async def _deliver(self, client: Client, outgoing: Outgoing) -> None:
        self._unconfirmed[outgoing.position] = len(outgoing.payload)
        await client.publish(self._topic(outgoing.plant, "batch"), outgoing.payload, qos=1)
        self._unconfirmed.pop(outgoing.position, None)

    async def _receive(self, client: Client) -> None:
        """Process acks and asks of the center."""
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            try:
                address = parse_topic(self._root, str(message.topic))
                if address.leaf == "ack":
                    await self._take_ack(address.plant, payload)
                elif address.leaf == "ask":
                    await self._take_ask(address.plant, payload)
            except Garbled as error:
                self.ignored += 1
                _LOG.warning("gateway=%s topic=%s ignored: %s (%s)", self._gateway, message.topic, error, error.code)
            except Unusable:
                raise
            except StoreError as error:  # the center will send the ack or ask again
                _LOG.error("gateway=%s buffer: %s", self._gateway, error)

    async def _take_ack(self, plant: str, payload: bytes) -> None:
        ack = decode_ack(payload, self._center_key)
        outcome = await self._call(self._buffer.apply_ack, plant, ack)
        if outcome.stream is not None:
            # Includes batches that were asked for but freed before; the center asks once more if it must.
            # Batches the center could not recognise as ours stay in flight: they are sent again after `ack_timeout_s`.
            kept = {position for position, _ in outcome.unrecognised}
            landed = [p for p in self._flights.in_flight(outcome.stream) if ack.covers(p.sequence) and p not in kept]
            self._flights.land(landed)
            if outcome.put_off:
                now_s = asyncio.get_running_loop().time()
                self._flights.put_off(plant, [position for position, _ in outcome.put_off], now_s)
            self.last_ack_s = asyncio.get_running_loop().time()
            self.earlier_store = ""
        elif outcome.is_earlier_store and ack.store_id != self.earlier_store:
            self.earlier_store = ack.store_id
            _LOG.error("plant=%s store=%s is an earlier one of the center: its word frees nothing", plant, ack.store_id)
        self.acknowledged += len(outcome.freed)
        for position in outcome.freed:
            self._limit.passed(position)
        if outcome.freed and self.broker_code not in (None, TAKEN_OVER):
            self.broker_code = self._session_code = None
        for position, code in outcome.refused:
            _LOG.error("plant=%s batch=%s refused by the center: %s", plant, position, code)
        for code in sorted({code for _, code in outcome.put_off} - self._put_off.setdefault(plant, set())):
            _LOG.error("plant=%s refused by the center for now: %s; kept and offered again", plant, code)
            self._put_off[plant].add(code)
        self._tell_unrecognised(plant, {code for _, code in outcome.unrecognised}, settled=bool(outcome.freed))
        if outcome.is_new_epoch:
            _LOG.error("plant=%s epoch=%s another gateway sends under our name: new epoch", plant, ack.epoch_hex)
            await self._reseal(plant)
        if outcome.is_new_epoch or outcome.is_new_store:
            self._flights.restart(plant, await self._call(self._buffer.newest, plant))
        self._wake.set()

    async def _reseal(self, plant: str) -> None:
        """Seal pending batches of epochs in conflict again under the present epoch."""
        while await self._call(self._buffer.reseal_some, plant) > 0:
            self._wake.set()

    def _tell_unrecognised(self, plant: str, codes: set[str], *, settled: bool) -> None:
        """Log a refusal once per code until the center accepts a batch of the plant: batches come back every 30 s."""
        told = self.unrecognised.setdefault(plant, set())
        for code in sorted(codes - told):
            _LOG.error("plant=%s the center does not recognise our batches: %s; they are kept", plant, code)
        self.unrecognised[plant] = codes if settled else told | codes

    async def _take_ask(self, plant: str, payload: bytes) -> None:
        ask = decode_ask(payload, self._center_key)
        if (ask.plant, ask.gateway) != (plant, self._gateway):
            raise Garbled(tr("the ask is for another plant or gateway"), subject=ask.id)
        if ask.echo_device is not None and ask.echo_point is not None:
            self._echoes = [*self._echoes[-15:], {"ask": ask.id, **self._echo(ask.echo_device, ask.echo_point)}]
            self._reported.set()
            return
        self._flights.ask(await self._call(self._buffer.answer, ask))
        self._wake.set()

    async def _report(self, client: Client) -> None:
        """Publish the retained state message, at once and every minute."""
        while True:
            self._reported.clear()
            await self._publish_state(client, online=True)
            heed_cancellation()
            try:
                async with asyncio.timeout(_STATE_PERIOD_S):
                    await self._reported.wait()
            except TimeoutError:
                continue

    async def _publish_state(self, client: Client, *, online: bool) -> None:
        counts = msgspec.to_builtins(await self._call(self._buffer.counts))
        state = self._state(online=online, buffer=counts, echoes=self._echoes, **self._status())
        for plant in self._buffer.plants:
            await client.publish(self._topic(plant, "state"), state, qos=1, retain=True)

    def _state(self, *, online: bool, **more: Any) -> bytes:
        """The payload of the state message. A connection has only one will, so it names all plants of the gateway."""
        head = {"online": online, "gateway": self._gateway, "plants": self._buffer.plants, "way": self._uplink.kind}
        return msgspec.json.encode(head | {"versions": {"agent": __version__, "batch": SCHEMA_VERSION}} | more)
