# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engineer asks an agent: status, capacity, doctor, watch, metrics and health, running and stopped."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from collector.agent.buffer.capacity import compute_capacity
from collector.agent.buffer.counts import Counts
from collector.agent.device.contract import Answer
from collector.agent.operate.doctor import examine
from collector.agent.operate.doctor_buffer import refusals
from collector.agent.operate.doctor_words import Trouble
from collector.agent.operate.health import DeviceHealth, Health, PointNow, TickHealth, UplinkHealth, alarm_of
from collector.agent.operate.metrics import render_metrics
from collector.agent.operate.status_server import JSON, StatusPage, StatusRequest, StatusServer
from collector.agent.paths import socket_path
from collector.agent.record.recorder import Recorder
from collector.agent.record.schedule import Timetable
from collector.agent.record.sources import QuantitySource
from collector.base.errors import StoreError
from collector.cli.agent.commands import app
from collector.model.record import GapRecord, UnitRecord
from collector.points.agent_config import load_agent
from simulators.run.pytest_plugin import ServedDevices
from tests.agent.buffer import agent_buffers
from tests.agent.buffer.agent_buffers import ack, open_buffer, pending, seal_one
from tests.agent.record.fake_devices import FakeDevice, MemoryStore, SteppedClock, channel_of
from tests.agent.running_agent import TABLE, WIDER, agent_at, recorded, run, write_agent
from tests.agent.uplink.uplink_world import free_port
from tests.patience import HANG_S, until

Serve = Callable[..., ServedDevices]


def get(url: str) -> tuple[int, str]:
    """Status and text of a page."""
    try:
        with urllib.request.urlopen(url, timeout=HANG_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def invoke(*arguments: str) -> tuple[int, str]:
    """Exit code and output of `collector agent …`."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def test_a_running_agent_answers_status_watch_doctor_metrics_and_health(modbus_device: Serve, tmp_path: Path) -> None:
    good, dead, port = modbus_device(TABLE), modbus_device(TABLE), free_port()
    good.show("active_power_mw", "380")
    dead.fault("refuse")
    path = write_agent(tmp_path, [good.port, dead.port], gateway=f'metrics_listen = "127.0.0.1:{port}"')

    async def scenario() -> None:
        async with agent_at(path):
            await until(lambda: recorded(path) >= 6)
            for check in (check_status, check_watch, check_doctor, check_pages):
                await asyncio.to_thread(check)
            good.fault("refuse")
            await until_async(lambda: get(f"http://127.0.0.1:{port}/readyz") == (503, "no device answers\n"))

    async def until_async(condition: Callable[[], bool]) -> None:
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - the agent notices in its own time
            await asyncio.sleep(0.1)

    def check_status() -> None:
        code, text = invoke("status", str(path), "--json")
        found = json.loads(text)
        assert (code, found["running"]) == (0, True)
        devices = {d["device"]: d for d in found["agent"]["devices"]}
        assert (devices["d1"]["answers"], devices["d2"]["answers"]) == (True, False)
        assert devices["d1"]["failures"] == 0
        assert devices["d2"]["failures"] >= 2
        assert not found["agent"]["uplink"]["connected"]
        assert "d2" in invoke("status", str(path))[1]

    def check_watch() -> None:
        points = {p["device"]: p for p in json.loads(invoke("watch", str(path), "--json")[1])}
        assert (points["d1"]["value"], points["d1"]["unit"], points["d1"]["quality"]) == ("380", "MW", "good")
        assert points["d1"]["age_s"] < HANG_S
        assert (points["d2"]["value"], points["d2"]["quality"]) == ("", "silent")
        assert "380" in invoke("watch", str(path), "--once", "--device", "d1")[1]
        # 380 000 kW as received; of the device that refuses nothing came.
        assert (points["d1"]["raw"], points["d2"]["raw"]) == ("00 05 cc 60", "")

    def check_doctor() -> None:
        code, text = invoke("doctor", str(path), "--json")
        subjects = {f["subject"] for f in json.loads(text) if f["severity"] == "error"}
        assert code == 1
        assert "device d2" in subjects
        assert "device d1" not in subjects
        assert any(subject.startswith("broker 127.0.0.1:") for subject in subjects)

    def check_pages() -> None:
        assert get(f"http://127.0.0.1:{port}/healthz") == (200, "ok\n")
        assert get(f"http://127.0.0.1:{port}/readyz") == (200, "ready\n")
        assert get(f"http://127.0.0.1:{port}/other")[0] == 404
        status, text = get(f"http://127.0.0.1:{port}/metrics")
        assert status == 200
        lines = text.splitlines()
        where = f'channel="127.0.0.1:{good.port}",device="d1"'
        assert f"collector_device_up{{{where}}} 1.0" in lines
        assert f'collector_device_up{{channel="127.0.0.1:{dead.port}",device="d2"}} 0.0' in lines
        for name in ("reads_total", "failures_total", "last_good_timestamp_seconds", "last_read_seconds"):
            assert any(line.startswith(f"collector_device_{name}{{{where}}} ") for line in lines), name
        for name in ("buffer_used_bytes", "buffer_pending_batches", "uplink_connected", "ticks_missed_total"):
            assert any(line.startswith(f"collector_{name} ") for line in lines), name
        assert sum(line.startswith("collector_clock_state{") and line.endswith(" 1.0") for line in lines) == 1
        assert 'collector_buffer_alarm{severity="warning"} 0.0' in lines

    run(scenario())
    code, text = invoke("status", str(path), "--json")
    assert (code, json.loads(text)["running"]) == (0, False)
    assert json.loads(text)["buffer"]["recorded"] >= 6
    assert {f.message for f in examine(path) if f.subject == "agent"} == {"is not running"}


def test_an_uplink_by_files_is_told_by_its_folder_and_no_broker_is_looked_for(
    modbus_device: Serve, tmp_path: Path
) -> None:
    device = modbus_device(TABLE)
    more = '[uplink]\nkind = "file"\nfolder = "crossing"\n[buffer]\nbatch_max_age_s = 1'
    path = write_agent(tmp_path, [device.port], more=more)
    folder = tmp_path / "crossing"

    async def scenario() -> None:
        async with agent_at(path):
            await until(lambda: any(folder.glob("out/*~batch~*.msg")))
            code, text = await asyncio.to_thread(invoke, "status", str(path))
            assert code == 0
            assert f"folder {folder}: connected" in " ".join(text.split())
            found = await asyncio.to_thread(examine, path)
            assert not [each for each in found if "broker" in each.subject]

    run(scenario())
    assert not [each for each in examine(path) if "broker" in each.subject], "no socket is tried where it is stopped"


BROKEN: dict[str, Callable[[str], str]] = {
    "an unknown key": lambda text: text + "\n[uplink]\nordr = 1\n",
    "no TOML any more": lambda text: text + "\n[[device\nid = 'gone'\n",
    "no devices and units": lambda text: text.split("[[plant]]")[0],
    "bytes of a disk": lambda text: text + "\n\x00\udc80 = [",
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN)
def test_a_running_agent_can_be_looked_at_whatever_is_in_its_files(
    spoil: Callable[[str], str], modbus_device: Serve, tmp_path: Path
) -> None:
    device = modbus_device(TABLE)
    path = write_agent(tmp_path, [device.port])

    async def scenario() -> None:
        async with agent_at(path):
            await until(lambda: recorded(path) >= 3)
            await asyncio.to_thread(spoil_and_look)

    def spoil_and_look() -> None:
        path.write_bytes(spoil(path.read_text("utf-8")).encode("utf-8", "surrogateescape"))
        for points in tmp_path.glob("*.csv"):
            points.write_text("nonsense\n", "utf-8")
        assert json.loads(invoke("status", str(path), "--json")[1])["running"]
        (alone,) = json.loads(invoke("watch", str(path), "--json")[1])
        assert (alone["device"], alone["raw"]) == ("d1", "00 00 00 00")
        assert json.loads(invoke("capacity", str(path), "--json")[1])["max_bytes"] == 2_000_000_000
        code, text = invoke("doctor", str(path), "--json")
        found = json.loads(text)
        assert code == 1
        assert any(str(path) in f["subject"] for f in found)  # what is wrong with the file is said, too
        assert not any(f["subject"] == "agent" for f in found)
        assert any(f["subject"].startswith("broker") for f in found)

    run(scenario())


def health_of(device: DeviceHealth) -> Health:
    return Health(
        gateway="g", version="", time_utc_ms=0, running_s=0, clock="synchronised", store_error="",
        ticks=TickHealth(1, 0, 0, 0, 0, 0), devices=[device], max_bytes=1, unsent_ratio=0.0, reload_error="",
        uplink=UplinkHealth("b:1", True, "", 0, 0, 0, 0.0, {}), buffer=Counts(*[0] * len(fields(Counts))),
    )  # fmt: skip


def examined(path: Path, health: Health, points: list[PointNow], subject: str = "device d1") -> list[Trouble]:
    """What the doctor says of one subject where the agent tells this."""
    config = load_agent(path)

    async def page_status(_request: StatusRequest) -> StatusPage:
        return StatusPage(200, JSON, msgspec.json.encode(health))

    async def page_points(_request: StatusRequest) -> StatusPage:
        return StatusPage(200, JSON, msgspec.json.encode(points))

    async def scenario() -> list[Trouble]:
        socket_path(config).parent.mkdir(parents=True, exist_ok=True)
        server = StatusServer({"/status": page_status, "/points": page_points})
        await server.listen_in(socket_path(config))
        try:
            return await asyncio.to_thread(examine, path)
        finally:
            await server.close()

    return [found for found in asyncio.run(scenario()) if found.subject == subject]


def test_doctor_tells_the_words_of_a_station_as_its_own(tmp_path: Path) -> None:
    path = write_agent(tmp_path, [free_port()])
    device = DeviceHealth(
        device="d1", channel="c", answers=True, reads=9, failures=0, failures_in_a_row=0, overruns=0, last_error="",
        last_good_utc_ms=1, last_read_s=0.1, reading_s=1, clock_offset_ms=-8 * 3_600_000 + 20_000,
        oddities={"the station sent type 20 for 16385; the table says 1": 4},
    )  # fmt: skip
    points = [
        PointNow("d1", f"{why}-{number}", "U1", "on_grid", "", "", quality, 1.0, why)
        for quality, why in (("stale", "NT"), ("stale", "BL"), ("substituted", "SB"), ("invalid", "IV"),
                             ("invalid", "absent"), ("garbled", "other type"), ("good", ""))
        for number in range(2)
    ]  # fmt: skip
    found = examined(path, health_of(device), points)
    messages = [trouble.message for trouble in found]
    assert "the station sent type 20 for 16385; the table says 1 (4 messages)" in messages
    assert "its clock is 8 h 0 min behind ours" in messages
    for words in (
        "itself has not refreshed them (NT): NT-0, NT-1",
        "has blocked them (BL)",
        "substitutes them (SB)",
        "itself marks them invalid (IV)",
        "interrogation did not bring them",
        "another type than the table",
    ):
        assert sum(words in message for message in messages) == 1, words
    assert len(found) == 8, "nothing else is said of the same points"
    assert {trouble.severity for trouble in found if "(SB)" in trouble.message} == {"warning"}


@pytest.mark.parametrize("answers", [True, False])
def test_doctor_and_metrics_tell_a_mistake_in_a_driver_from_a_dead_device(answers: bool, tmp_path: Path) -> None:
    path = write_agent(tmp_path, [free_port()])
    fault = "the driver failed at modbus.py:1: KeyError: 7"
    device = DeviceHealth(
        device="d1", channel="c", answers=answers, reads=9, failures=3, failures_in_a_row=0 if answers else 3,
        overruns=0, last_error=f"d1: {fault}", last_good_utc_ms=None, last_read_s=None, reading_s=0.0, faults=3,
        last_fault=fault,
    )  # fmt: skip
    health = health_of(device)
    (finding,) = examined(path, health, [])
    assert finding.severity == ("warning" if answers else "error")
    assert finding.message == f"3 reads failed by a mistake in this program, not in the device: {fault}"
    assert 'collector_device_faults_total{channel="c",device="d1"} 3.0' in render_metrics(health).decode().splitlines()


def test_doctor_names_an_earlier_store_of_the_center_that_answers(tmp_path: Path) -> None:
    device = DeviceHealth("d1", "c", True, 9, 0, 0, 0, "", 1, 0.1, 0.0)
    health = health_of(device)
    told = msgspec.structs.replace(health, uplink=msgspec.structs.replace(health.uplink, earlier_store="0a1b"))
    path = write_agent(tmp_path, [free_port()])
    assert examined(path, health, [], "center") == []
    (finding,) = examined(path, told, [], "center")
    assert finding.message == "acknowledges from its earlier store 0a1b: another came after it"
    assert "`collector center renew`" in finding.remedy


def test_watch_without_a_running_agent_reads_by_itself(modbus_device: Serve, tmp_path: Path) -> None:
    device = modbus_device(WIDER)
    device.show("active_power_mw", "123.4")
    path = write_agent(tmp_path, [device.port], tables=[WIDER])
    points = json.loads(invoke("watch", str(path), "--json")[1])
    assert (points[0]["point"], points[0]["value"], points[0]["quality"]) == ("power", "123.4", "good")
    assert not (tmp_path / "state").exists()


def test_verbs_on_a_gateway_that_never_ran_say_so(tmp_path: Path) -> None:
    path = write_agent(tmp_path, [502])
    for verb in ("status", "capacity"):
        result = CliRunner().invoke(app, [verb, str(path)])
        assert result.exit_code == 1
        assert "never run here" in str(result.exception)
    assert invoke("doctor", str(path))[0] == 1


@pytest.mark.parametrize("place", ["0.0.0.0:9464", "127.0.0.1", "127.0.0.1:0", "192.168.1.5:9464", "host:9464"])
def test_metrics_listen_on_loopback_only(place: str, tmp_path: Path) -> None:
    path = write_agent(tmp_path, [502], gateway=f'metrics_listen = "{place}"')
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 1
    assert "gateway.metrics_listen: expected HOST:PORT on loopback" in result.stderr


@pytest.mark.parametrize(
    ("ratio", "alarm"),
    [(0.0, ""), (0.69, ""), (0.7, "warning"), (0.89, "warning"), (0.9, "critical"), (1.1, "critical")],
)
def test_alarms_begin_at_70_and_90_percent(ratio: float, alarm: str) -> None:
    assert alarm_of(ratio) == alarm


def capacity_config(folder: Path, max_bytes: int, rate_cap: int = 0) -> Path:
    """A configuration over the buffer of `agent_buffers`: three units, 1 s."""
    more = f"[buffer]\nmax_bytes = {max_bytes}\n[uplink]\nrate_cap_bytes_per_s = {rate_cap}\n"
    path = write_agent(folder, [502, 503, 504], more=more)
    (folder / "state").mkdir(exist_ok=True)
    return path


def test_capacity_agrees_with_a_measured_fill(tmp_path: Path) -> None:
    config = load_agent(capacity_config(tmp_path, 1_000_000, rate_cap=10_000))
    file = tmp_path / "state" / "g.buffer"
    second = 0

    def fill(minutes: int) -> None:
        nonlocal second
        for _ in range(minutes):
            seconds = range(second + 1, second + 61)
            powers = {s: s * 7919 % 600_000 for s in seconds}
            buffer.append(
                [agent_buffers.record(s, unit=u, power_kw=powers[s]) for s in seconds for u in ("U1", "U2", "V1")]
            )
            second += 60

    with closing(open_buffer(file, gateway="g", max_bytes=1_000_000)) as buffer:
        fill(60)
        found = compute_capacity(config)
        assert found.is_measured
        assert found.records_per_hour == pytest.approx(3 * 3600, rel=0.01)
        begin = second
        while not buffer.counts().evicted:
            fill(1)
        hours = (second - begin) / 3600
    assert found.hours_left == pytest.approx(hours, rel=0.1)
    # Catching up at C bytes a second while P come takes what waits over C − P.
    comes = found.bytes_per_record * found.records_per_hour / 3600
    assert found.full_catch_up_s == pytest.approx(1_000_000 / (10_000 - comes))


def test_a_rate_cap_below_what_comes_never_catches_up(tmp_path: Path) -> None:
    path = capacity_config(tmp_path, 1_000_000, rate_cap=1)
    with closing(open_buffer(tmp_path / "state" / "g.buffer", gateway="g")) as buffer:
        seal_one(buffer, 1)
    assert json.loads(invoke("capacity", str(path), "--json")[1])["never_catches_up"] is True
    assert "rate_cap_bytes_per_s" in invoke("doctor", str(path))[1]


def test_what_the_center_has_counts_as_room(tmp_path: Path) -> None:
    path = capacity_config(tmp_path, 1_000_000)
    with closing(open_buffer(tmp_path / "state" / "g.buffer", gateway="g")) as buffer:
        for second in range(1, 200):
            seal_one(buffer, second)
        before = compute_capacity(load_agent(path))
        (batch, *_) = pending(buffer)
        ack(buffer, batch.epoch, 199)
        after = compute_capacity(load_agent(path))
    assert after.unsent_bytes < before.unsent_bytes
    assert after.hours_left == pytest.approx(after.hours_in_all)


@pytest.mark.parametrize("code", ["unknown_key", "bad_signature", "wrong_topic", "unknown_plant", "bad_checksum"])
def test_a_refusal_of_a_plant_the_center_does_not_know_keeps_the_batch_and_shows_why(code: str, tmp_path: Path) -> None:
    path = capacity_config(tmp_path, 1_000_000)
    file = tmp_path / "state" / "g.buffer"
    with closing(open_buffer(file, gateway="g")) as buffer:
        seal_one(buffer, 1)
        seal_one(buffer, 2)
        (first, _) = pending(buffer)
        outcome = ack(buffer, first.epoch, 0, refused=((1, code),))
        assert (outcome.freed, outcome.refused) == ((), ())
        assert [(p.sequence, c) for p, c in outcome.unrecognised] == [(1, code)]
        assert buffer.counts().pending == 2
        assert refusals(file) == {code: 1}
        assert code in invoke("doctor", str(path))[1]
        assert code in invoke("status", str(path))[1]
        # Once the key is enrolled the same bytes are committed, and nothing is left of the refusal.
        assert [p.sequence for p in ack(buffer, first.epoch, 2).freed] == [1, 2]
        assert refusals(file) == {}


@pytest.mark.parametrize("code", ["time_out_of_range", "a_code_of_next_year"])
def test_what_is_refused_for_now_is_told_by_code_and_count(code: str, tmp_path: Path) -> None:
    path = capacity_config(tmp_path, 1_000_000)
    with closing(open_buffer(tmp_path / "state" / "g.buffer", gateway="g")) as buffer:
        for second in (1, 2, 3):
            seal_one(buffer, second)
        epoch = pending(buffer)[0].epoch
        ack(buffer, epoch, 1, refused=((2, code), (3, code)))
        assert compute_capacity(load_agent(path)).kept == {code: 2}
        assert f"2 batches kept and offered again, refused for now: {code}" in invoke("doctor", str(path))[1]
        assert f"refused by the center for now, kept: 2 batches, {code}" in invoke("status", str(path))[1]
        ack(buffer, epoch, 3)
        assert compute_capacity(load_agent(path)).kept == {}


@pytest.mark.parametrize("in_step", [False, True])
def test_a_store_that_refuses_loses_no_tick_and_is_told(in_step: bool) -> None:
    class FullDisk(MemoryStore):
        refusals = 2

        def append(self, records: Sequence[UnitRecord], gaps: Sequence[GapRecord] = ()) -> None:
            if self.refusals:
                self.refusals -= 1
                raise StoreError("disk full")
            super().append(records, gaps)

    async def scenario() -> None:
        clock, take = SteppedClock(), list[Callable[[Answer], None]]()
        device = FakeDevice("d", clock)
        channel = channel_of(clock, take, device)
        recorder = Recorder([QuantitySource(device.points[0], "d", 3000)], period_ms=1000, last={})
        timetable = Timetable([channel], recorder, clock, period_ms=1000, reorder_ms=200, in_step=in_step)
        take.append(timetable.take)
        store = FullDisk()
        told: list[str] = []
        with ThreadPoolExecutor(1) as executor:
            tasks = [asyncio.create_task(c) for c in (channel.run(), timetable.run(), timetable.store(store, executor))]
            await until(lambda: bool(timetable.store_error))
            told.append(timetable.store_error)
            await clock.over.wait()
            await timetable.drain()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        assert told == ["disk full"]
        assert timetable.store_error == ""
        assert [r.time_utc_ms for r in store.records] == [clock.end - 10_000 + 1000 * i for i in range(10)]

    run(scenario())
