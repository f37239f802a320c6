# SPDX-License-Identifier: GPL-3.0-or-later
"""How many of our files one reading passes on its way to a line of a statement, and how many one row of a plan.

A real driver reads a Modbus server on loopback, once; the record goes through buffer, uplink, a broker in a process of
its own, receiver, journal and day file into a run. A plan of one row is imported, and the run closed again. While a
step has the data, a profiler notes every file of `collector/` in which a function is entered, in the order of first
entry; starting up, importing modules and connecting do not count.

`python -m bench.walks` prints both walks. With a file as argument, `NAMES` in it takes the place of the names here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

# Where each thing that a walk enters stands.
NAMES: dict[str, str] = {
    "Admission": "collector.center.receive.admission:Admission",
    "Actor": "collector.center.people.access:Actor",
    "Buffer": "collector.agent.buffer.buffer:Buffer",
    "CenterStore": "collector.center.db.store:CenterStore",
    "Delivered": "collector.sheets.files:Delivered",
    "Month": "collector.model.interval:Month",
    "Receiver": "collector.center.receive.receiver:Receiver",
    "Recorder": "collector.agent.record.recorder:Recorder",
    "SystemClock": "collector.base.clock:SystemClock",
    "Timetable": "collector.agent.record.schedule:Timetable",
    "Uplink": "collector.agent.uplink.uplink:Uplink",
    "broker": "collector.trial.broker:__name__",
    "buffer_path": "collector.agent.paths:buffer_path",
    "build_devices": "collector.agent.device.factory:build_devices",
    "channels_of": "collector.agent.record.wiring:channels_of",
    "config_path": "collector.base.resources:config_path",
    "deliver": "collector.center.inputs.service:deliver",
    "input_rules": "collector.center.runs.rulebooks:input_rules",
    "generate_key_pair": "collector.wire:generate_key_pair",
    "layouts_with_all_units": "collector.agent.record.wiring:layouts_with_all_units",
    "load_agent": "collector.points.agent_config:load_agent",
    "load_center": "collector.center.settings:load_center",
    "load_signers": "collector.agent.record.wiring:load_signers",
    "load_signing_key": "collector.wire:load_signing_key",
    "local_day": "collector.model.interval:local_day",
    "plants_of_unit": "collector.agent.record.wiring:plants_of_unit",
    "seal_month_of": "collector.center.lake.seal:seal_month_of",
    "ask_to_settle": "collector.center.runs.settle_month:ask_to_settle",
    "sources_of": "collector.agent.record.wiring:sources_of",
}
_PATIENCE_S: Final = 60.0
_PERIOD_S: Final = 2
_REGISTER: Final = """
[policy]
min_coverage = "0.0000001"
[[area]]
id = "jiangsu"
name = "江苏"
dispatch_mode = "energy_saving"
valley_hours = ["00:00-08:00"]
peak_hours = ["08:00-11:00"]
[[plant]]
id = "P"
name = "P"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
[[unit]]
id = "U"
plant = "P"
kind = "coal"
rated_mw = "600"
agc_lower_mw = "300"
agc_upper_mw = "600"
"""


def _ours(name: str) -> Any:
    module, _, attribute = NAMES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


class Walk:
    """The files entered while it is `taken`, with the step in which each was entered first."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self._root = str(Path(importlib.import_module("collector").__file__ or "").parent) + "/"
        self._step = ""

    @contextmanager
    def taken(self, step: str) -> Iterator[None]:
        """Note files until the end of the block, in whatever thread."""
        self._step = step
        try:
            yield
        finally:
            self._step = ""

    def note(self, frame: FrameType, event: str, _: object) -> None:
        """What a profiler is told of every call."""
        file = frame.f_code.co_filename
        if not self._step or event != "call" or file in self.files:
            return
        if not (file.startswith(self._root) and file.endswith(".py")):
            return
        above: FrameType | None = frame
        while above is not None:  # a module that is being imported has not been walked through
            if above.f_code.co_filename == "<frozen importlib._bootstrap>":
                return
            above = above.f_back
        self.files[file] = self._step

    def show(self, title: str) -> None:
        """Print the count, and the files by step."""
        print(f"{title}: {len(self.files)} files")
        step = ""
        for file, entered_in in self.files.items():
            if entered_in != step:
                step = entered_in
                print(f"  {step}")
            print(f"    {file.removeprefix(self._root)}")


class _HostClock:
    """The host's clock, of which nobody says that it is not set: readings of a clock known to be wrong do not count."""

    def __init__(self) -> None:
        clock = _ours("SystemClock")()
        self.now_utc_ms, self.monotonic_s, self.sleep_until = clock.now_utc_ms, clock.monotonic_s, clock.sleep_until


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _until(reached: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + _PATIENCE_S
    while not reached():
        if time.monotonic() > until_s:
            raise TimeoutError(what)
        await asyncio.sleep(0.01)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A Modbus server whose every register holds 1."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            request = await reader.readexactly(12)
            count = int.from_bytes(request[10:12], "big")
            body = request[6:8] + bytes([2 * count]) + b"\x00\x01" * count
            writer.write(request[:4] + len(body).to_bytes(2, "big") + body)
    writer.close()


@contextmanager
def _broker() -> Iterator[int]:
    port = _free_port()
    command = [sys.executable, "-m", _ours("broker"), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # "listening …"
            yield port
        finally:
            process.terminate()


def _write_settings(folder: Path, device_port: int, broker_port: int) -> None:
    _ours("generate_key_pair")(folder / "plant.pem", folder / "plant.pub")
    _ours("generate_key_pair")(folder / "center.pem", folder / "center.pub")
    (folder / "points.csv").write_text(
        "name,quantity,area,type,address,raw_unit\n"
        "power,active_power_mw,holding,int32,0,kW\nin_service,agc_in_service,holding,uint16,2,\n",
        "utf-8",
    )
    (folder / "agent.toml").write_text(
        f'schema = 1\n[gateway]\nid = "g"\nstate_dir = "agent"\nrecord_period_s = {_PERIOD_S}\n'
        f'[mqtt]\nport = {broker_port}\n[uplink]\ncenter_key_file = "center.pub"\n'
        '[[plant]]\nid = "P"\nsigning_key_file = "plant.pem"\n[[unit]]\nid = "U"\nplant = "P"\n'
        '[[device]]\nid = "d"\nprotocol = "modbus_tcp"\npoints = "points.csv"\nunit = "U"\n'
        f'host = "127.0.0.1"\nport = {device_port}\n',
        "utf-8",
    )
    (folder / "center.toml").write_text(
        f'schema = 1\n[center]\nstate_dir = "center"\nsigning_key_file = "center.pem"\n[mqtt]\nport = {broker_port}\n'
        '[[plant]]\nid = "P"\nunits = ["U"]\npublic_key_files = ["plant.pub"]\n',
        "utf-8",
    )


def _open_buffer(config: Any, sources: Any, now_ms: int) -> Any:
    path = _ours("buffer_path")(config)
    path.parent.mkdir(parents=True)
    return _ours("Buffer").open(
        path,
        gateway="g",
        plants_of_unit=_ours("plants_of_unit")(config),
        settings=config.settings.buffer,
        layouts=_ours("layouts_with_all_units")(config, sources),
        signers=_ours("load_signers")(config),
        now_utc_ms=now_ms,
    )


async def _record_once(walk: Walk, config: Any, clock: Any, devices: Any, sources: Any, buffer: Any) -> None:
    """Read the device for one record, which goes into the buffer and into a batch."""
    period_ms = _PERIOD_S * 1000
    recorder = _ours("Recorder")(sources, period_ms=period_ms, last={"U": None})
    channels = _ours("channels_of")(config, devices, clock, lambda answer: timetable.take(answer))
    timetable: Any = _ours("Timetable")(channels, recorder, clock, period_ms=period_ms, reorder_ms=500, in_step=False)
    await devices[0].device.read(devices[0].device.points, budget_s=5.0)  # connected before the walk begins
    with ThreadPoolExecutor(1) as executor, walk.taken("1 read, 2 record, 3 buffer"):
        tasks = [asyncio.create_task(channel.run()) for channel in channels]
        tasks += [asyncio.create_task(timetable.store(buffer, executor)), asyncio.create_task(timetable.run())]
        # What is read at a tick stands in the record of the next one.
        await _until(lambda: timetable.counts.records > 1, "a record with the reading")
        tasks.pop().cancel()
        await timetable.drain()
        buffer.seal_all()
    await _end(*tasks)
    await devices[0].device.close()


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _bring_one_reading(walk: Walk, folder: Path, broker_port: int) -> None:
    """From a device into the journal of the center in `folder`."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    async with server:
        _write_settings(folder, server.sockets[0].getsockname()[1], broker_port)
        clock = _HostClock()
        settings, config = _ours("load_center")(folder / "center.toml"), _ours("load_agent")(folder / "agent.toml")
        devices = _ours("build_devices")(config, clock)
        sources = _ours("sources_of")(config, devices)
        buffer = _open_buffer(config, sources, clock.now_utc_ms())
        with _ours("CenterStore").open(folder / "center", clock=clock) as store, contextlib.closing(buffer):
            admission = _ours("Admission").from_settings(settings, clock)
            receiver = _ours("Receiver")(store, admission, settings, _ours("load_signing_key")(folder / "center.pem"))
            uplink = _ours("Uplink")(buffer, config)
            joined = [asyncio.create_task(receiver.run()), asyncio.create_task(uplink.run())]
            await _until(lambda: receiver.counters.connections > 0 and uplink.is_connected, "both at the broker")
            await asyncio.sleep(1)  # subscribed, and the state told
            await _record_once(walk, config, clock, devices, sources, buffer)
            with walk.taken("4 uplink, 5 receive"):
                await _until(lambda: uplink.acknowledged > 0, "an acknowledgement")
            await _end(*joined)


def _take(store: Any, kind: str, name: str, text: str) -> None:
    data = text.encode()
    delivered = _ours("Delivered")(name, data, hashlib.sha256(data).hexdigest())
    actor = _ours("Actor").at_command_line("li")
    rules = _ours("input_rules")(_ours("config_path")("rules/east-china-trial"))
    _ours("deliver")(store, kind, delivered, actor=actor, replace=False, rules=rules)


def _close(store: Any, month: Any) -> str:
    """Settle; the line of the statement."""
    rules, actor = _ours("config_path")("rules/east-china-trial"), _ours("Actor").at_command_line("li")
    asked = _ours("ask_to_settle")(store, month, rulebook=rules, actor=actor)
    lines = asked.carry_out().statement.lines
    line = next((line for line in lines if line.quantity), lines[0])
    return f"{line.unit} {line.service} {line.quantity} {line.amount_yuan} {line.status} {line.reason}"


def main() -> None:
    """Walk both ways and print them."""
    for table in sys.argv[1:]:
        NAMES.update(runpy.run_path(table)["NAMES"])
    reading, plan = Walk(), Walk()

    def note(frame: FrameType, event: str, argument: object) -> None:
        """To both; each takes notes while it is walked."""
        reading.note(frame, event, argument)
        plan.note(frame, event, argument)

    threading.setprofile(note)
    sys.setprofile(note)
    with tempfile.TemporaryDirectory() as name, _broker() as port:
        folder = Path(name)
        asyncio.run(_bring_one_reading(reading, folder, port))
        clock = _HostClock()
        day = _ours("local_day")(clock.now_utc_ms())
        month = _ours("Month")(day.year, day.month)
        with _ours("CenterStore").open(folder / "center", clock=clock) as store:
            _take(store, "register", "register.toml", _REGISTER)
            with reading.taken("6 store"):
                _ours("seal_month_of")(store, month)
            with reading.taken("7 measure, 8 price, 9 allocate, 10 statement"):
                print(_close(store, month))
            row = f"U,{day}T00:00:00+08:00,{day}T00:15:00+08:00,500.0"
            with plan.taken("import"):
                _take(store, "plan", "plan.csv", f"unit,start,end,power_mw\n{row}\n")
            with plan.taken("close"):
                print(_close(store, month))
        sys.setprofile(None)
    reading.show("a reading")
    plan.show("a row of a plan")


if __name__ == "__main__":
    main()
