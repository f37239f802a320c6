# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of stations as c104's client sees them, link faults as a scripted peer does, and the redundant address.

No `from __future__ import annotations` here: c104 compares the real annotations of its callbacks.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import c104
import pytest

from collector.model.interval import parse_time_ms
from simulators.faces import iec104
from simulators.faces.audit import Audit
from simulators.faces.iec104_link import Timing
from simulators.faces.iec104_station import Station
from simulators.faults.faults import Fault, Faults
from simulators.run.pytest_plugin import ServedDevices
from tests.patience import HANG_S, SILENCE_S, wait_until

TABLE = (
    "name,quantity,area,type,address,raw_unit\non,on_grid,30,bit,1,\np,active_power_mw,36,float32,2,MW\n"
    "e,energy_export_mwh,37,float32,3,kWh\n"
)
OPENED = parse_time_ms("2026-03-28T12:30:05.123+08:00")


class Library:
    """c104's client at one address: values with quality and tag, and what the link went through."""

    def __init__(self, host: str, port: int) -> None:
        self.got: list[tuple[int, Any, Any, datetime | None]] = []
        self.states: list[c104.ConnectionState] = []
        self.initialised: list[int] = []
        self.news = threading.Condition()
        self.client = c104.Client()
        link = self.client.add_connection(ip=host, port=port, init=c104.Init.NONE)
        assert link is not None
        self.link = link
        self.link.protocol_parameters.receive_window_size = 1
        self.link.on_state_change(callable=self._state)
        self.client.on_station_initialized(callable=self._initialised)
        station = self.link.add_station(common_address=1)
        assert station is not None
        for address, kind in ((1, c104.Type.M_SP_TB_1), (2, c104.Type.M_ME_TF_1), (3, c104.Type.M_IT_TB_1)):
            point = station.add_point(io_address=address, type=kind)
            assert point is not None
            point.on_receive(callable=self._take)

    def _take(
        self, point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage
    ) -> c104.ResponseState:
        del previous_info, message
        tag = point.recorded_at
        with self.news:
            self.got.append((point.io_address, point.value, point.quality, getattr(tag, "value", tag)))
            self.news.notify_all()
        return c104.ResponseState.SUCCESS

    def _state(self, connection: c104.Connection, state: c104.ConnectionState) -> None:
        if state == c104.ConnectionState.OPEN_MUTED:
            connection.unmute()
        with self.news:
            self.states.append(state)
            self.news.notify_all()

    def _initialised(self, client: c104.Client, station: c104.Station, cause: c104.Coi) -> None:
        del client, cause
        with self.news:
            self.initialised.append(station.common_address)
            self.news.notify_all()

    def count(self) -> None:
        """A counter interrogation; c104 refuses one while it still starts a link it calls open."""
        wait_until(lambda: self.link.counter_interrogation(common_address=1), "the counters' answer", every_s=0.1)

    def until(self, seen: Callable[[], object]) -> None:
        with self.news:
            assert self.news.wait_for(seen, HANG_S), f"{self.got} {self.states} {self.initialised}"


@contextmanager
def library(host: str, port: int) -> Iterator[Library]:
    peer = Library(host, port)
    peer.client.start()
    try:
        peer.until(lambda: c104.ConnectionState.OPEN in peer.states)
        yield peer
    finally:
        peer.client.stop()


Serve = Callable[..., ServedDevices]


def change(station: ServedDevices, value: int) -> None:
    station.show("on_grid", value, time_utc_ms=OPENED)


def local(tag: datetime | None) -> str:
    """A tag as the station wrote it, whatever zone c104 takes it for."""
    assert tag is not None
    return datetime.fromisoformat(str(tag)).replace(tzinfo=None).isoformat(" ", "milliseconds")


@pytest.mark.parametrize(
    ("kind", "value", "tag"),
    [
        ("clock_hour", 0, "2026-03-28 13:30:05.123"),
        ("clock_hour", -3_600_000, "2026-03-28 11:30:05.123"),
        ("year_wrap", 2000, "2026-12-31 23:59:58.000"),
        ("year_wrap", -1, "2027-01-01 00:00:00.001"),
    ],
)
def test_an_independent_client_sees_a_wrong_clock(iec104_station: Serve, kind: str, value: int, tag: str) -> None:
    station = iec104_station(TABLE)
    station.now_utc_ms = OPENED
    with library(station.host, station.port) as peer:
        change(station, 1)
        peer.until(lambda: peer.got)
        assert local(peer.got[0][3]) == "2026-03-28 12:30:05.123"
        station.fault(kind, value)
        change(station, 0)
        peer.until(lambda: len(peer.got) == 2)
        assert local(peer.got[1][3]) == tag


def test_an_independent_client_sees_values_marked_invalid(iec104_station: Serve) -> None:
    station = iec104_station(TABLE)
    with library(station.host, station.port) as peer:
        change(station, 1)
        peer.until(lambda: peer.got)
        station.fault("invalid")
        change(station, 0)
        peer.until(lambda: len(peer.got) == 2)
        assert [quality.is_good() for _, _, quality, _ in peer.got] == [True, False]


def test_a_wrong_sequence_number_makes_an_independent_client_close_the_link(iec104_station: Serve) -> None:
    station = iec104_station(TABLE)
    with library(station.host, station.port) as peer:
        station.fault("sequence")
        change(station, 1)
        peer.until(lambda: c104.ConnectionState.OPEN not in peer.states[-1:])


def test_a_restarted_station_says_so_and_counts_from_0(iec104_station: Serve) -> None:
    station = iec104_station(TABLE)
    station.show("energy_export_mwh", 100)
    with library(station.host, station.port) as peer:
        peer.count()
        peer.until(lambda: any(address == 3 for address, *_ in peer.got))
        assert int(peer.got[-1][1]) == 100_000
        assert peer.initialised == []
        station.fault("restart", 50)
        peer.until(lambda: peer.initialised == [1])
        peer.until(lambda: peer.states[-1] == c104.ConnectionState.OPEN)
        station.show("energy_export_mwh", "100.5")
        peer.count()
        peer.until(lambda: int(peer.got[-1][1]) == 500)
        station.fault("roll_over", 1)  # 2 147 483 647, and 2 kWh later 1
        station.show("energy_export_mwh", "100.502")
        peer.count()
        peer.until(lambda: int(peer.got[-1][1]) == 1)


class Peer:
    """A controlling station by hand, blocking."""

    def __init__(self, port: int) -> None:
        self.link = socket.create_connection(("127.0.0.1", port), timeout=HANG_S)

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.link.close()

    def send(self, *frames: bytes) -> None:
        self.link.sendall(b"".join(frames))

    def frame(self) -> bytes:
        data = b""
        while len(data) < 2 or len(data) < data[1] + 2:
            part = self.link.recv((data[1] + 2 if len(data) >= 2 else 2) - len(data))
            if not part:
                raise ConnectionError("closed")
            data += part
        return data

    def quiet(self) -> bool:
        self.link.settimeout(SILENCE_S)
        try:
            return self.link.recv(1) == b"never"
        except TimeoutError:
            return True
        finally:
            self.link.settimeout(HANG_S)

    def start(self) -> None:
        self.send(iec104.encode_u(iec104.STARTDT_ACT))
        assert self.frame() == iec104.encode_u(iec104.STARTDT_CON)


def test_link_faults_reach_the_edges_of_windows_and_timers(iec104_station: Serve) -> None:
    station = iec104_station(TABLE)
    with Peer(station.port) as peer:
        station.fault("no_start_con")
        peer.send(iec104.encode_u(iec104.STARTDT_ACT))
        assert peer.quiet()
        station.clear("no_start_con")
        peer.start()
        station.fault("no_test_con")
        peer.send(iec104.encode_u(iec104.TESTFR_ACT))
        assert peer.quiet()
        station.clear("no_test_con")
        station.fault("window", 2)  # no more than two frames wait for their N(R)
        for number in range(1, 4):
            change(station, number % 2)
        assert [peer.frame()[2] for _ in range(2)] == [0, 2]
        assert peer.quiet()
        station.clear("window")
        station.fault("window")  # or any number
        for number in range(20):
            change(station, number % 2)
        assert [peer.frame()[2] for _ in range(21)] == list(range(4, 46, 2))
        station.fault("sequence", 5)  # N(R) of what the peer never sent
        change(station, 0)
        assert int.from_bytes(peer.frame()[4:6], "little") >> 1 == 5


def test_a_station_that_never_confirms_lets_the_peer_run_into_its_t1(iec104_station: Serve) -> None:
    station = iec104_station(TABLE)
    station.fault("no_ack")
    with Peer(station.port) as peer:
        peer.start()
        ask = bytes.fromhex("64010600010000000014")
        peer.send(iec104.encode_i(0, 0, ask), iec104.encode_i(1, 0, ask))
        assert {int.from_bytes(peer.frame()[4:6], "little") for _ in range(6)} == {0}


def test_a_station_may_test_the_link_much_too_often() -> None:
    async def run() -> None:
        faults = Faults()
        faults.switch_on(Fault("s", "test_often", 10))
        station = Station("s", (), [1], Audit([]), faults, now_utc_ms=lambda: 0, timing=Timing(t2_s=0.02))
        reader, writer = await asyncio.open_connection("127.0.0.1", await station.listen("127.0.0.1", 0))
        async with asyncio.timeout(HANG_S):
            assert await reader.readexactly(30) == iec104.encode_u(iec104.TESTFR_ACT) * 5
        writer.close()
        await station.close()

    asyncio.run(run())


def test_of_two_addresses_one_connection_carries_data_and_the_other_takes_over(iec104_station: Serve) -> None:
    station = iec104_station(TABLE, redundant=True)
    with Peer(station.port) as first, Peer(station.second_port) as second:
        first.start()
        change(station, 1)
        assert first.frame()[2] == 0
        assert second.quiet()
        second.send(iec104.encode_u(iec104.TESTFR_ACT))  # stopped, but alive
        assert second.frame() == iec104.encode_u(iec104.TESTFR_CON)
        second.start()
        again = second.frame()  # not confirmed at the first address: sent again at the second
        assert (again[2], again[6], again[15]) == (0, 30, 1)
        change(station, 0)
        assert second.frame()[15] == 0
        assert first.quiet()


def test_what_happens_while_no_address_is_started_waits_for_the_next_connection(iec104_station: Serve) -> None:
    station = iec104_station(TABLE, redundant=True)
    with Peer(station.port) as first:
        first.start()
        station.fault("refuse", 1)
        with pytest.raises((ConnectionError, OSError)):
            first.frame()
    with pytest.raises(ConnectionRefusedError):
        Peer(station.port)
    change(station, 1)
    with Peer(station.second_port) as second:
        second.start()
        assert second.frame()[15] == 1
