# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated stations: vectors of the standard, a scripted raw peer for the windows, and c104's client.

No `from __future__ import annotations` here: c104 compares the real annotations of its callbacks.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import c104
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.model.interval import parse_time_ms
from collector.points.agent_config import AgentConfig, load_agent
from simulators.faces import iec104
from simulators.faces.audit import Audit
from simulators.faces.iec104_link import Timing
from simulators.faces.iec104_station import Station
from simulators.faults.faults import Faults
from simulators.run.devices import Devices, serve
from tests.patience import HANG_S, SILENCE_S, wait_until
from tests.simulators.served_config import make_config

STARTDT = bytes.fromhex("680407000000")
STARTDT_CON = bytes.fromhex("68040b000000")


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    return make_config(tmp_path)


class RawPeer:
    """A controlling station by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.framer = iec104.ApduFramer()
        self.sent = 0

    async def frame(self) -> bytes:
        """The next APDU, whole."""
        async with asyncio.timeout(HANG_S):
            head = await self.reader.readexactly(2)
            return head + await self.reader.readexactly(head[1])

    async def start(self) -> None:
        self.writer.write(STARTDT)
        assert await self.frame() == STARTDT_CON

    def ask(self, asdu: str, received: int = 0) -> None:
        self.writer.write(iec104.encode_i(self.sent, received, bytes.fromhex(asdu)))
        self.sent += 1


async def confirmed(devices: Devices) -> None:
    """Until every frame of the station is confirmed by N(R)."""
    station, done = devices.stations["station"], asyncio.Event()
    station.on_acknowledged = lambda: done.set() if station.acknowledged else None
    if not station.acknowledged:
        async with asyncio.timeout(HANG_S):
            await done.wait()


@asynccontextmanager
async def raw_peer(config: AgentConfig) -> AsyncIterator[RawPeer]:
    place = next(d for d in config.settings.device if d.protocol == "iec104")
    reader, writer = await asyncio.open_connection(place.host, place.port)
    try:
        yield RawPeer(reader, writer)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        # ms 123 + 5 s = 5123 = 0x1403; minute 30; hour 14; Saturday 6 and day 28 -> 0xDC; March; 26.
        ("2026-03-28T14:30:05.123+08:00", "03 14 1e 0e dc 03 1a"),
        # Leap day, the last millisecond: 59999 = 0xEA5F; Thursday 4, day 29 -> 0x9D.
        ("2024-02-29T23:59:59.999+08:00", "5f ea 3b 17 9d 02 18"),
        # Year wrap: Saturday 6, 1 January 2000 -> 0xC1.
        ("2000-01-01T00:00:00+08:00", "00 00 00 00 c1 01 00"),
    ],
)
def test_a_time_tag_is_the_local_time_of_the_station(text: str, octets: str) -> None:
    assert iec104.encode_cp56(parse_time_ms(text), offset_min=480) == bytes.fromhex(octets)


def test_the_bits_of_a_time_tag_are_in_minute_and_hour() -> None:
    tag = iec104.encode_cp56(0, offset_min=0, invalid=True, summer=True)
    assert tag[2] == 0x80
    assert tag[3] == 0x80


@pytest.mark.parametrize(
    ("type_id", "value", "quality", "octets"),
    [
        (1, 1, 0, "010000 01"),
        (3, 1, iec104.IV, "010000 82"),
        (3, 0, 0, "010000 01"),
        (5, -2, iec104.NT, "010000 7e 40"),
        (7, 0x80000001, 0, "010000 01000080 00"),
        (9, 16384, 0, "010000 0040 00"),
        (20, 0x8005, iec104.BL, "010000 0580 0000 10"),
        (21, -32768, 0, "010000 0080"),
        (11, -3, iec104.SB, "010000 fdff 20"),
        (13, 512.5, 0, "010000 00200044 00"),
        (15, 100_000, 0, "010000 a0860100 05"),
    ],
)
def test_an_element_is_laid_out_as_the_standard_says(type_id: int, value: float, quality: int, octets: str) -> None:
    assert iec104.encode_object(1, type_id, value, quality, sequence=5) == bytes.fromhex(octets)


def test_a_general_interrogation_is_confirmed_answered_and_terminated(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config) as devices, raw_peer(config) as peer:
            devices.board.show("U1", "on_grid", 1)
            devices.board.show("U1", "bus_voltage_kv", "512.5")
            await peer.start()
            peer.ask("64 01 06 00 0100 000000 14")
            frames = [await peer.frame() for _ in range(4)]
            assert [f[6:].hex(" ") for f in frames] == [
                "64 01 07 00 01 00 00 00 00 14",
                "01 01 14 00 01 00 01 00 00 01",  # the breaker without its tag: type 1, cause 20
                "0d 02 14 00 01 00 01 40 00 00 20 00 44 00 04 40 00 00 00 00 00 80",  # 512.5; no reactive power yet: IV
                "64 01 0a 00 01 00 00 00 00 14",
            ]
            assert devices.requests()["station"] == 1

    asyncio.run(run())


def test_a_counter_interrogation_brings_the_counters_alone(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config, now_utc_ms=lambda: 0) as devices, raw_peer(config) as peer:
            devices.board.show("U1", "energy_export_mwh", "100")
            await peer.start()
            peer.ask("65 01 06 00 0100 000000 05")
            frames = [(await peer.frame())[6:].hex(" ") for _ in range(3)]
            # 100 000 kWh, sequence number 1, tag 1970-01-01T08:00 local, a Thursday.
            assert frames[1] == "25 01 25 00 01 00 01 64 00 a0 86 01 00 01 00 00 00 08 81 01 46"
            assert (frames[0][6:8], frames[2][6:8]) == ("07", "0a")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("asdu", "cause"),
    [
        ("64 01 06 00 0900 000000 14", 46),  # unknown common address
        ("64 01 08 00 0100 000000 14", 45),  # a cause that is no activation
        ("67 01 06 00 0100 000000 00000000000000", 44),  # a clock synchronisation would write the device's clock
        ("2d 01 06 00 0100 010000 01", 44),  # a single command would switch the breaker
    ],
)
def test_what_it_can_not_do_is_refused_by_the_cause_of_the_standard(config: AgentConfig, asdu: str, cause: int) -> None:
    async def run() -> None:
        async with serve(config, report_to=[]) as devices, raw_peer(config) as peer:
            await peer.start()
            peer.ask(asdu)
            frame = await peer.frame()
            assert frame[8] == cause | 0x40
            assert bool(devices.audit.violations) == (cause == 44)

    asyncio.run(run())


def test_no_more_than_k_frames_wait_for_their_confirmation(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config) as devices, raw_peer(config) as peer:
            await peer.start()
            signal = devices.board.signal("U1", "on_grid")
            for number in range(20):
                signal.set(number % 2, 1_000 + number)
            for number in range(12):
                assert int.from_bytes((await peer.frame())[2:4], "little") == number << 1
            assert not devices.stations["station"].acknowledged
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(SILENCE_S):
                    await peer.reader.readexactly(1)
            peer.writer.write(iec104.encode_s(12))
            for _ in range(8):
                await peer.frame()
            peer.writer.write(iec104.encode_s(20))
            await confirmed(devices)

    asyncio.run(run())


@pytest.mark.parametrize(
    "octets", ["68040100 2800", "6804 0100", "00", "680e 0200 0000 64010600 0100 000000 14"], ids=str
)
def test_a_peer_that_breaks_the_sequence_or_the_frame_loses_the_link(config: AgentConfig, octets: str) -> None:
    # N(R) of what was never sent; a torn frame then silence is tolerated; no start octet; a wrong N(S).
    async def run() -> None:
        async with serve(config, report_to=[]), raw_peer(config) as peer:
            await peer.start()
            peer.writer.write(bytes.fromhex(octets))
            if octets == "6804 0100":
                peer.writer.write(b"\xff\xff")  # completes an S frame with an N(R) of what was never sent
            async with asyncio.timeout(HANG_S):
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await peer.reader.readexactly(1)

    asyncio.run(run())


def test_a_change_inside_the_deadband_is_not_sent_until_it_adds_up(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config) as devices, raw_peer(config) as peer:
            await peer.start()
            voltage = devices.board.signal("U1", "bus_voltage_kv")
            for volts in (512_000, 512_400, 512_600):
                voltage.set(volts, 1)
            first, second = await peer.frame(), await peer.frame()
            # 512.0 = 0x44000000, 512.6 = 0x44002666.
            assert (first[15:19].hex(), second[15:19].hex()) == ("00000044", "66260044")

    asyncio.run(run())


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_random_bytes_give_frames_or_a_frame_error(parts: list[bytes]) -> None:
    framer = iec104.ApduFramer()
    try:
        for part in parts:
            for frame in framer.feed(part):
                if frame.kind == "I" and len(frame.asdu) >= 6:
                    iec104.decode_asdu(frame.asdu)
    except iec104.FrameError:
        pass


class Library:
    """c104's client, which is not ours: what it receives, as tuples."""

    def __init__(self, config: AgentConfig) -> None:
        place = next(d for d in config.settings.device if d.protocol == "iec104")
        self.got: list[tuple[Any, ...]] = []
        self.arrived = threading.Event()
        self._client = c104.Client()
        link = self._client.add_connection(ip=place.host, port=place.port or 0, init=c104.Init.NONE)
        assert link is not None
        self.link = link
        self.link.protocol_parameters.receive_window_size = 1
        for common_address, address, kind in (
            (1, 1, c104.Type.M_SP_TB_1), (1, 16385, c104.Type.M_ME_TF_1), (2, 1, c104.Type.M_DP_TB_1),
            (2, 16387, c104.Type.M_ME_TE_1), (1, 25601, c104.Type.M_IT_TB_1), (2, 16386, c104.Type.M_ME_NC_1),
        ):  # fmt: skip
            station = self.link.get_station(common_address) or self.link.add_station(common_address=common_address)
            assert station is not None
            point = station.add_point(io_address=address, type=kind)
            assert point is not None
            point.on_receive(callable=self._take)

    def _take(
        self, point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage
    ) -> c104.ResponseState:
        del previous_info
        self.got.append((message.common_address, point.io_address, point.value, point.recorded_at, message.cot))
        self.arrived.set()
        return c104.ResponseState.SUCCESS

    def begin(self) -> None:
        self._client.start()

        def is_open() -> bool:
            if self.link.state == c104.ConnectionState.OPEN_MUTED:
                self.link.unmute()
            return self.link.state == c104.ConnectionState.OPEN

        wait_until(is_open, "c104's connection")

    def ask_for_all(self) -> None:
        """Both interrogations; again where c104 has lost an answer that came before it began to wait for it."""
        wait_until(lambda: self.link.interrogation(common_address=2), "the station's answer", every_s=0.1)
        wait_until(lambda: self.link.counter_interrogation(common_address=1), "the counters' answer", every_s=0.1)

    def end(self) -> None:
        self._client.stop()


def test_an_independent_client_sees_values_tags_and_interrogations(config: AgentConfig) -> None:
    opened = parse_time_ms("2026-03-01T23:59:59.999+08:00")

    def change(devices: Devices) -> None:
        devices.board.signal("U1", "on_grid").set(1, opened)
        devices.board.signal("U1", "bus_voltage_kv").set(512_500, opened)
        devices.board.signal("U2", "on_grid").set(1, opened)
        devices.board.signal("U2", "active_power_mw").set(-7_000, opened)

    async def run() -> list[tuple[Any, ...]]:
        async with serve(config, now_utc_ms=lambda: opened) as devices:
            devices.board.show("U1", "avc_target_kv", 515)
            devices.board.show("U1", "energy_export_mwh", 100)
            library = Library(config)
            await asyncio.to_thread(library.begin)
            try:
                await asyncio.to_thread(library.ask_for_all)
                change(devices)
                await confirmed(devices)
            finally:
                await asyncio.to_thread(library.end)
            return library.got

    got = {(ca, address): (value, at, cot) for ca, address, value, at, cot in asyncio.run(run())}
    assert got[1, 1][0] is True
    assert got[1, 1][2] == c104.Cot.SPONTANEOUS
    moment = got[1, 1][1].value if hasattr(got[1, 1][1], "value") else got[1, 1][1]
    assert datetime.fromisoformat(str(moment)).replace(tzinfo=None) == datetime(2026, 3, 1, 23, 59, 59, 999_000)
    assert got[1, 16385][0] == 512.5
    assert got[2, 1][0] == c104.Double.ON
    assert int(got[2, 16387][0]) == -7
    assert got[2, 16386][0] == 515.0
    assert int(got[1, 25601][0]) == 100_000


@asynccontextmanager
async def quick_station() -> AsyncIterator[RawPeer]:
    """A station with short timers, and a peer that has started it."""
    station = Station(
        "s", (), [1], Audit([]), Faults(), now_utc_ms=lambda: 0, timing=Timing(t1_s=1.0, t2_s=0.1, t3_s=0.2)
    )
    port = await station.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    peer = RawPeer(reader, writer)
    await peer.start()
    yield peer
    writer.close()
    await station.close()


async def stay_alive(peer: RawPeer) -> None:
    """Test frames for ever, and never a confirmation of what came."""
    while True:
        peer.writer.write(iec104.encode_u(iec104.TESTFR_ACT))
        await peer.reader.readexactly(6)
        await asyncio.sleep(0.05)


def test_a_link_that_does_not_confirm_within_t1_is_closed() -> None:
    async def run() -> None:
        async with quick_station() as peer:
            peer.ask("64 01 06 00 0100 000000 14")
            assert (await peer.frame())[8] == iec104.ACTIVATION_CON
            assert (await peer.frame())[8] == iec104.ACTIVATION_TERM
            async with asyncio.timeout(HANG_S):
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await stay_alive(peer)

    asyncio.run(run())


def test_an_idle_link_is_tested_after_t3_and_closed_if_the_test_stays_unanswered() -> None:
    async def run() -> None:
        async with quick_station() as peer:
            assert await peer.frame() == iec104.encode_u(iec104.TESTFR_ACT)
            peer.writer.write(iec104.encode_u(iec104.TESTFR_CON))
            assert await peer.frame() == iec104.encode_u(iec104.TESTFR_ACT)
            async with asyncio.timeout(HANG_S):
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await peer.reader.readexactly(6)

    asyncio.run(run())


def test_a_point_with_a_period_is_sent_cyclically(tmp_path: Path) -> None:
    make_config(tmp_path)
    table = tmp_path / "station.csv"
    table.write_text(
        "name,unit,quantity,area,type,address,common_address,period_s,raw_unit\nu,U1,bus_voltage_kv,13,float32,7,1,10,kV\n"
    )
    config = load_agent(tmp_path / "agent.toml")

    async def run() -> None:
        async with serve(config) as devices, raw_peer(config) as peer:
            station = devices.stations["station"]
            devices.board.show("U1", "bus_voltage_kv", 512)
            await peer.start()
            for time_ms in (9_999, 10_000, 10_001, 35_000):
                station.cycle(time_ms)
            for _ in range(2):  # at 10 s, and once for the 20 s and 30 s passed together
                assert (await peer.frame())[6:].hex(" ") == "0d 01 01 00 01 00 07 00 00 00 00 00 44 00"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(SILENCE_S):
                    await peer.reader.readexactly(1)

    asyncio.run(run())


def test_after_stopdt_nothing_is_sent(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config) as devices, raw_peer(config) as peer:
            await peer.start()
            peer.writer.write(iec104.encode_u(iec104.STOPDT_ACT))
            assert await peer.frame() == iec104.encode_u(iec104.STOPDT_CON)
            devices.board.signal("U1", "on_grid").set(1, 1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(SILENCE_S):
                    await peer.reader.readexactly(1)

    asyncio.run(run())
