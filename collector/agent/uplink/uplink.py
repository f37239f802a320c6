# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 4, uplink: sealed batches over MQTT until the center itself acknowledges them.

One client for all plants of a gateway: fixed client id, persistent session, QoS 1, MQTT 5 where the broker has it,
else 3.1.1. A broker's own acknowledgement (PUBACK) does not count: brokers acknowledge messages and then drop them. A
batch is in flight from its publication to the center's ack, at most `window` batches at a time, and is published again
after `ack_timeout_s`. A lost connection is opened again without end, with back-off and jitter.

Batches wait in four lanes (`send_queue.py`): live, asked, backlog, put off. Each lane is sent in sequence order (B4)
and has its share of the window, so that none starves another.

The blocking buffer is called on one worker thread; only the window is held in memory, however long the backlog.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, TypeVar

import aiomqtt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY as CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from collector.agent.buffer.buffer import Buffer
from collector.agent.buffer.buffer_file import Damaged
from collector.agent.uplink.send_queue import Flights, take
from collector.base.backoff import backoff_s
from collector.base.errors import Garbled, StoreError
from collector.base.mqtt import find_protocol, read_password, tls_context
from collector.base.tasks import heed_cancellation
from collector.points.agent_config import AgentConfig
from collector.wire import SCHEMA_VERSION, decode_ack, decode_ask, load_public_key, parse_topic, topic

_LOG = logging.getLogger(__name__)
_SESSION_EXPIRY_S: Final = 7 * 86_400
_CALL_TIMEOUT_S: Final = 10.0
_STATE_PERIOD_S: Final = 60.0
_STORE_RETRY_S: Final = 1.0
_BACKOFF_FIRST_S: Final = 0.5
_FAREWELL_S: Final = 2.0
_INCOMING_AT_MOST: Final = 1000  # further messages are dropped: the center sends acks again

T = TypeVar("T")
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
        self._mqtt = settings.mqtt
        self._uplink = settings.uplink
        self._gateway = settings.gateway.id
        self._status = status
        self._echo = echo
        self._password = read_password(settings.mqtt, config.resolve)
        self._tls = tls_context(settings.mqtt, config.resolve)
        key_file = settings.uplink.center_key_file
        self._center_key: Ed25519PublicKey | None = load_public_key(config.resolve(key_file)) if key_file else None
        self._protocol: aiomqtt.ProtocolVersion | None = None
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
        self.last_ack_s: float | None = None
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
                before = self.acknowledged
                try:
                    # A task of its own: on 3.11 a TaskGroup whose child fails leaves its task counted as cancelled,
                    # and this task must be able to tell whether somebody ended it.
                    await asyncio.create_task(self._session(), name="uplink-session")
                except* (aiomqtt.MqttError, OSError, TimeoutError) as errors:
                    reason = errors.exceptions[0]
                    self.last_error = str(reason) or type(reason).__name__
                    _LOG.warning(
                        "gateway=%s broker=%s:%d lost: %s", self._gateway, self._mqtt.host, self._mqtt.port, reason
                    )
                heed_cancellation()
                failures = 0 if self.acknowledged > before else failures + 1
                rest_s = backoff_s(failures, _BACKOFF_FIRST_S, self._uplink.backoff_max_s, self._jitter.random())
                await asyncio.sleep(rest_s)
        finally:
            forget()
            self._executor.shutdown(wait=False)

    async def _session(self) -> None:
        """Use one connection until it is lost."""
        async with self._connected() as client:
            plants = self._buffer.plants
            for plant in plants:
                await self._reseal(plant)  # batches of an earlier epoch conflict, left by a kill
            newest = {plant: await self._call(self._buffer.newest, plant) for plant in plants}
            self._flights.begin(newest)
            for plant in plants:
                await client.subscribe([(self._topic(plant, "ack"), 1), (self._topic(plant, "ask"), 1)])
                heed_cancellation()
            self.is_connected = True
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(client), name="uplink-receive")
                group.create_task(self._report(client), name="uplink-state")
                group.create_task(self._send(client, group), name="uplink-send")

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiomqtt.Client]:
        """Connect with MQTT 5, or 3.1.1 where the broker supports only that; try both anew after a failure."""
        protocol = self._protocol or await find_protocol(
            self._client(f"{self._gateway}-probe", aiomqtt.ProtocolVersion.V5)
        )
        self._protocol = None
        mqtt5 = protocol is aiomqtt.ProtocolVersion.V5
        properties = None
        if mqtt5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_EXPIRY_S
        client = self._client(
            self._gateway,
            protocol,
            clean_session=None if mqtt5 else False,
            clean_start=False if mqtt5 else CLEAN_START_FIRST_ONLY,
            properties=properties,
            max_queued_incoming_messages=_INCOMING_AT_MOST,
            will=aiomqtt.Will(
                self._topic(self._buffer.plants[0], "state"), self._state(online=False), qos=1, retain=True
            ),
        )
        client.pending_calls_threshold = 2 * self._uplink.window + 8
        await client.__aenter__()
        self._protocol = protocol
        try:
            yield client
        finally:
            self.is_connected = False
            await self._leave(client)

    def _client(self, identifier: str, protocol: aiomqtt.ProtocolVersion, **options: Any) -> aiomqtt.Client:
        return aiomqtt.Client(
            self._mqtt.host,
            self._mqtt.port,
            identifier=identifier,
            username=self._mqtt.username or None,
            password=self._password,
            protocol=protocol,
            keepalive=self._mqtt.keepalive_s,
            timeout=_CALL_TIMEOUT_S,
            tls_context=self._tls,
            # Without it two small packets wait 40 ms for each other (Nagle against delayed ACK).
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            **options,
        )

    def _topic(self, plant: str, leaf: Any) -> str:
        return topic(self._mqtt.root, plant, self._gateway, leaf)

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function of the buffer on the uplink's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    async def _send(self, client: aiomqtt.Client, group: asyncio.TaskGroup) -> None:
        """Keep the window full."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            try:
                await self._fill(client, group)
            except Damaged:
                raise
            except StoreError as error:
                _LOG.error("gateway=%s buffer: %s", self._gateway, error)
                await asyncio.sleep(_STORE_RETRY_S)
            try:
                async with asyncio.timeout(self._flights.next_timeout_s(loop.time())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _fill(self, client: aiomqtt.Client, group: asyncio.TaskGroup) -> None:
        """Publish batches whose ack is overdue, then new ones, until the window is full."""
        loop = asyncio.get_running_loop()
        for position in self._flights.overdue(loop.time()):
            outgoing = await self._call(self._buffer.read, position)
            if outgoing is None:
                self._flights.land([position])
            else:
                await self._publish(client, group, outgoing.plant, outgoing.payload)
                self._flights.sent_again(position, loop.time())
        for plant in self._flights.due_offers(loop.time()):
            self._flights.offer_again(plant, await self._call(self._buffer.last_put_off, plant), loop.time())
        while (request := self._flights.request()) is not None:
            choice = await self._call(take, self._buffer, request)
            if choice is None:
                return
            if self._flights.depart(request, choice, loop.time()):
                await self._publish(client, group, choice.outgoing.plant, choice.outgoing.payload)

    async def _publish(self, client: aiomqtt.Client, group: asyncio.TaskGroup, plant: str, payload: bytes) -> None:
        """Publish one batch. A separate task awaits the PUBACK, which only shows that the connection works."""
        self.published += 1
        group.create_task(client.publish(self._topic(plant, "batch"), payload, qos=1), name="uplink-publish")
        rate = self._uplink.rate_cap_bytes_per_s
        await asyncio.sleep(len(payload) / rate if rate else 0)

    async def _receive(self, client: aiomqtt.Client) -> None:
        """Process acks and asks of the center."""
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            try:
                address = parse_topic(self._mqtt.root, str(message.topic))
                if address.leaf == "ack":
                    await self._take_ack(address.plant, payload)
                elif address.leaf == "ask":
                    await self._take_ask(address.plant, payload)
            except Garbled as error:
                self.ignored += 1
                _LOG.warning("gateway=%s topic=%s ignored: %s (%s)", self._gateway, message.topic, error, error.code)
            except Damaged:
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
        self.acknowledged += len(outcome.freed)
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
            raise Garbled("the ask is for another plant or gateway", subject=ask.id)
        if ask.echo_device is not None and ask.echo_point is not None:
            self._echoes = [*self._echoes[-15:], {"ask": ask.id, **self._echo(ask.echo_device, ask.echo_point)}]
            self._reported.set()
            return
        self._flights.ask(await self._call(self._buffer.answer, ask))
        self._wake.set()

    async def _report(self, client: aiomqtt.Client) -> None:
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

    async def _publish_state(self, client: aiomqtt.Client, *, online: bool) -> None:
        counts = msgspec.to_builtins(await self._call(self._buffer.counts))
        state = self._state(online=online, buffer=counts, echoes=self._echoes, **self._status())
        for plant in self._buffer.plants:
            await client.publish(self._topic(plant, "state"), state, qos=1, retain=True)

    def _state(self, *, online: bool, **more: Any) -> bytes:
        """The payload of the state message. A connection has only one will, so it names all plants of the gateway."""
        head = {"online": online, "gateway": self._gateway, "plants": self._buffer.plants}
        return msgspec.json.encode(head | {"versions": {"agent": VERSION, "batch": SCHEMA_VERSION}} | more)

    async def _leave(self, client: aiomqtt.Client) -> None:
        """Publish that the agent stops, if still connected; the will serves only where the connection is lost."""
        with suppress(aiomqtt.MqttError, OSError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                for plant in self._buffer.plants:
                    await client.publish(self._topic(plant, "state"), self._state(online=False), qos=1, retain=True)
        with suppress(aiomqtt.MqttError, OSError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await client.__aexit__(None, None, None)


def _installed_version() -> str:
    try:
        return version("collector")
    except PackageNotFoundError:  # runs from a checkout that was never installed
        return "unknown"


VERSION: Final = _installed_version()
