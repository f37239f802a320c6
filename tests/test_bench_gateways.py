# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that our agent and ThingsBoard Gateway go through: its devices, what it counts, the peer's platform."""

from __future__ import annotations

import json
import socket
import struct

import pytest

from bench.gateways import ours, thingsboard
from bench.gateways.arrivals import Arrivals
from bench.gateways.registers import DEVICES, ENERGY, POINTS, REGISTERS, Devices, address_of, host_of
from bench.gateways.script import Found
from bench.peers_thingsboard import figures
from collector.model.quantity import QUANTITIES
from collector.model.record import GapRecord, Quality, UnitLayout, UnitRecord
from collector.wire import Batch, Stream, decode_ack, encode_batch
from tests.patience import HANG_S

ALL = range(len(POINTS))
ENERGIES = [number for number, (_, quantity) in enumerate(POINTS) if quantity.name == ENERGY]


def ask(port: int, device: int, *, address: int = 0, count: int = REGISTERS) -> bytes:
    """The PDU of the answer to one request on a connection of its own."""
    with socket.create_connection((host_of(device), port), timeout=HANG_S) as link:
        link.sendall(struct.pack(">HHHBBHH", 7, 0, 6, 1, 3, address, count))
        head = link.recv(8, socket.MSG_WAITALL)
        pdu = head[7:] + link.recv(int.from_bytes(head[4:6], "big") - 2, socket.MSG_WAITALL)
        assert head[:4] == b"\0\7\0\0"
        return pdu


def test_each_read_of_a_device_has_its_number_in_every_energy_and_is_counted() -> None:
    devices = Devices()
    try:
        blocks = [struct.unpack(f">{len(POINTS)}i", ask(devices.port, device)[2:]) for device in (3, 3, 4, 3)]
        assert ask(devices.port, 3, count=10) == b"\x83\x02"  # illegal data address
    finally:
        devices.stop()
    assert ENERGIES == [13, 27, 41, 49]
    assert [[block[number] for number in ENERGIES] for block in blocks] == [[n] * 4 for n in (1, 2, 1, 3)]
    assert all(48_000 <= block[3] <= 52_000 for block in blocks)  # mHz
    assert devices.answered() == [0, 0, 0, 3, 1, 0, 0, 0, 0, 0]


def test_what_never_arrived_what_no_gap_tells_and_what_arrived_twice_is_counted() -> None:
    arrivals = Arrivals()
    for read, time_ms in ((1, 1_000), (2, 2_000), (5, 7_000), (7, 9_000)):
        arrivals.take(0, read, ALL, time_ms)
    arrivals.take(0, 2, ALL[:4], 2_000)
    arrivals.take(1, 1, ALL[:20], 1_000)
    through = [8, 1, *([0] * (DEVICES - 2))]
    assert arrivals.count() == 220
    assert arrivals.twice == 4
    assert arrivals.lost([0] * DEVICES, through) == 4 * 50 + 30  # reads 3, 4, 6 and 8; a part of the other device's
    assert arrivals.lost([5, 1, *([0] * (DEVICES - 2))], through) == 2 * 50
    assert arrivals.unnamed(through) == 230
    arrivals.gaps[0] = {(2_000, 6_000), (8_000, 9_000)}  # 6 000 is in none, so reads 3 and 4 are not told of
    assert arrivals.unnamed(through) == 180
    arrivals.gaps[0].add((6_000, 7_000))
    assert arrivals.unnamed(through) == 80


def test_telemetry_of_the_peer_is_counted_by_the_read_it_names() -> None:
    arrivals = Arrivals()
    values = {f"p{address_of(number)}": 12 if number in ENERGIES else 5 for number in ALL}
    payload = json.dumps({"d4": [{"ts": 1_772_294_400_123, "values": values}]}).encode()
    assert thingsboard.take("v1/gateway/telemetry", payload, arrivals) == []
    assert arrivals.values == {(4, 12): set(ALL)}
    assert arrivals.bytes == len("v1/gateway/telemetry") + len(payload)


def test_the_peer_is_told_that_there_are_no_limits_and_nothing_else() -> None:
    asked = b'{"method":"getSessionLimits","params":{"timeout":5000}}'
    ((topic, payload),) = thingsboard.take("v1/devices/me/rpc/request/1", asked, Arrivals())
    assert topic == "v1/devices/me/rpc/response/1"
    assert json.loads(payload)["rateLimits"] == {}
    assert thingsboard.take("v1/devices/me/rpc/request/2", b'{"method":"reboot"}', Arrivals()) == []


def test_a_batch_of_ours_is_counted_with_its_gaps_and_acknowledged() -> None:
    arrivals = Arrivals()
    full = tuple(1_000 * 7 if quantity.name == ENERGY else 1 for quantity in QUANTITIES)
    layout = UnitLayout("d2-1", tuple(quantity.name for quantity in QUANTITIES))
    good = UnitRecord("d2-1", 5_000, full, (Quality.GOOD,) * len(full))
    none = UnitRecord("d2-1", 6_000, (None,) * len(full), (Quality.SILENT,) * len(full))
    gap = GapRecord(("d2-0", "d2-1"), 1_000, 5_000, "agent_down")
    payload = encode_batch(Batch(Stream("P", "g", 9), 3, (layout,), (good, none), (gap,)), None)
    ((topic, answer),) = ours.take("collector/v1/P/g/batch", payload, arrivals)
    assert arrivals.values == {(2, 7): set(range(14, 28))}  # the second unit's points
    assert arrivals.gaps == {2: {(1_000, 5_000), (6_000, 7_000)}}
    assert topic == "collector/v1/P/g/ack"
    ack = decode_ack(answer, None)
    assert ack.epoch == 9
    assert ack.settles(3)
    assert not ack.settles(2)


@pytest.mark.parametrize(("unnamed", "ok"), [(0, True), (50, False)])
def test_only_what_ours_lost_without_saying_so_misses_a_target(unnamed: int, *, ok: bool) -> None:
    found = Found(
        cpu_us=10.0, memory_mb=60.0, wire_bytes=2.0, read=1_000, lost_undisturbed=0, lost_by_kill=100, lost_by_outage=0,
        unnamed=unnamed, twice=0, restart_s=1.0,
    )  # fmt: skip
    rows = list(figures("peer", found, found))
    assert [row.ok for row in rows[:-1]] == [True] * 12
    assert rows[-1].ok is ok
    assert rows[0].ratio == 1.0
