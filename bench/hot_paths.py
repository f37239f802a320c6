# SPDX-License-Identifier: GPL-3.0-or-later
"""The hot paths that the guard watches, each a few hundredths of a second over seeded data.

`python -m bench.hot_paths FOLDER` runs each of them to warm up and once more; FOLDER is of `make_world`. Under
`valgrind --tool=callgrind --instr-atstart=no` the instructions of the last run are dumped, one part for each path,
named after it. The first part is the yardstick: a bare loop of the same interpreter.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import mmap
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import collector.wire as wire
from bench.close import make_month, measuring_of
from bench.modbus import block_bytes, points_of
from bench.month_folder import MONTH, unit_name
from bench.signals import START_MS, WIDE, layouts, ticks
from collector.agent.device.modbus.block import BlockDecoder
from collector.agent.device.modbus.plan import RequestLimits, plan_reads
from collector.agent.record.recorder import Recorder
from collector.agent.record.sources import QuantitySource
from collector.base.clock import SystemClock
from collector.base.clock_state import ClockState
from collector.base.resources import config_path
from collector.center.db.store import CenterStore
from collector.center.inputs.imports import REGISTER
from collector.center.inputs.service import deliver, delivered_of
from collector.center.lake.read_records import read_record_table
from collector.center.people.access import Actor
from collector.center.receive.admission import Admission, EnrolledPlant
from collector.center.receive.journal import commit_group
from collector.center.runs.rulebooks import input_rules
from collector.settlement.measure.records import RecordBook, tail_of
from collector.settlement.measure_units import measure, plan_batches
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.settle import prepare
from collector.sheets.findings import Findings
from collector.tables.folder import load_folder
from collector.tables.records import read_records

YARDSTICK: Final = "a bare loop"
_RUNS: Final = 2  # one to warm up, one that counts
_LOOP: Final = 100_000
_BLOCKS: Final = 100
_POINTS: Final = 50
_BATCHES: Final = 10
_SECONDS: Final = 60
_UNITS: Final = 4
_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RULES: Final = config_path("rules/east-china-trial")

Run = Callable[[], object]


def make_world(folder: Path) -> None:
    """A measured month of one plant, and its first day alone."""
    make_month(folder / "month", 1)
    lake = folder / "month" / "data" / "records"
    (folder / "day").mkdir()
    first = next(lake.glob(f"*-{MONTH.first_day}*"))
    (folder / "day" / first.name).write_bytes(first.read_bytes())


def hot_paths(folder: Path) -> Iterator[tuple[str, Run]]:
    """Each path and its name."""

    def loop() -> None:
        for _ in range(_LOOP):
            pass

    yield YARDSTICK, loop
    yield "decode a Modbus block into records", _decoding()
    yield from _wire()
    yield "admit a batch into the journal", _admitting(folder / "journal")
    yield from _day(folder)
    yield "close and price a month", lambda: _close(folder / "month")
    yield "import rows of a plan", _importing(folder)


def _decoding() -> Run:
    points = points_of(_POINTS)
    (block,) = plan_reads(points, RequestLimits(max_gap=12))
    decoder, data = BlockDecoder(block, {}), block_bytes(_POINTS)
    recorder = Recorder([QuantitySource(p, p.unit, 3000) for p in points], period_ms=1000, last={})
    seconds = itertools.count(START_MS, 1000)

    def decode() -> None:
        for _ in range(_BLOCKS):
            now_ms = next(seconds)
            recorder.feed(decoder.decode(data, now_ms))
            recorder.record(now_ms, ClockState.SYNCHRONISED)

    return decode


def _batches() -> list[wire.Batch]:
    seconds = ticks(_BATCHES * _SECONDS, units=_UNITS)
    stream = wire.Stream("P1", "g1", 1)
    return [
        wire.Batch(stream, number, layouts(_UNITS), tuple(r for _ in range(_SECONDS) for r in next(seconds)))
        for number in range(1, _BATCHES + 1)
    ]


def _wire() -> Iterator[tuple[str, Run]]:
    batches, signer = _batches(), wire.Signer(_KEY)
    payloads = [wire.encode_batch(batch, signer) for batch in batches]

    def encode() -> None:
        for batch in batches:
            wire.encode_batch(batch, signer)

    def verify() -> None:
        for payload in payloads:
            envelope = wire.open_envelope(payload)
            wire.verify_signature(envelope, signer.public_key)
            wire.decode_columns(envelope)

    yield "encode and sign a batch", encode
    yield "verify and decode a batch", verify


def _admitting(folder: Path) -> Run:
    """Each call of the path has batches of a stream of its own: a repeat would be cheaper."""
    units, clock = layouts(_UNITS), SystemClock()
    plants = {"P1": EnrolledPlant(frozenset(layout.unit for layout in units), {})}
    admission = Admission(root="collector", plants=plants, limits=WIDE, clock=clock)
    topic, bodies, epochs = wire.topic("collector", "P1", "g1", "batch"), _batches(), itertools.count(1)
    streams = [
        [(topic, wire.encode_batch(replace(body, stream=wire.Stream("P1", "g1", next(epochs))), None)) for body in each]
        for each in ([bodies] * _RUNS)
    ]
    sent = iter(streams)
    store = CenterStore.open(folder, clock=clock)

    def admit() -> None:
        arrivals = admission.admit_all(next(sent))
        store.write(lambda c: commit_group(c, arrivals, now_ms=START_MS, quarantine_max_bytes=1)).result()

    return admit


def _day(folder: Path) -> Iterator[tuple[str, Run]]:
    (path,) = (folder / "day").iterdir()
    day = MONTH.days[0]
    first_ms, end_ms = START_MS, START_MS + 86_400_000
    context = prepare(MONTH, load_folder(folder / "month" / "data"), load_rulebook(RULES))
    records = read_records(folder / "day", None, Findings())
    assert records is not None
    own = replace(context, columns_of=records.unit_columns)
    tail_ms, units = tail_of(own.policy.settle_ms, own.policy.hold_ms), sorted(records.unit_columns)

    def measure_day() -> None:
        assert records is not None
        for batch in plan_batches(own, RecordBook(records.table, tail_ms=tail_ms), day, 1, units=units, segments=True):
            measure(own, batch)

    yield "read a day file", lambda: read_records(folder / "day", None, Findings())
    yield "read a unit's day", lambda: read_record_table([(path, "")], unit_name(0), first_ms, end_ms)
    yield "measure a day of five units", measure_day


def _close(month: Path) -> None:
    with CenterStore.open(month / "state", clock=SystemClock()) as store:
        measuring_of(store, month).statement()


def _importing(folder: Path) -> Run:
    """The month's plan of five units into a store that has the register alone, each time a new one."""
    data, actor, rules = folder / "month" / "data", Actor.at_command_line("bench"), input_rules(RULES)
    register = delivered_of("register.toml", (data / "register.toml").read_bytes())
    plan = delivered_of("plan.csv", (data / "plan.csv").read_bytes())
    stores = []
    for number in range(_RUNS):
        stores.append(CenterStore.open(folder / f"inputs-{number}", clock=SystemClock()))
        deliver(stores[-1], REGISTER, register, actor=actor, replace=False, rules=rules)
    fresh = iter(stores)
    return lambda: deliver(next(fresh), "plan", plan, actor=actor, replace=False, rules=rules)


class Callgrind:
    """Valgrind's client requests, by the instructions its header gives: no compiler is needed to ask them."""

    # mov rax,rdi; xor edx,edx; rol rdi,3; rol rdi,13; rol rdi,61; rol rdi,51; xchg rbx,rbx; mov rax,rdx; ret
    _ASK: Final = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
    _ZERO, _DUMP_AT, _START, _STOP = (int.from_bytes(b"CT") << 16 | number for number in (1, 3, 4, 5))

    def __init__(self) -> None:
        self._code = mmap.mmap(-1, len(self._ASK), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._code.write(self._ASK)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._code))
        self._call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)(address)

    def count(self, name: str, run: Run) -> None:
        """Dump the instructions of `run` as a part called `name`."""
        self._ask(self._ZERO)
        self._ask(self._START)
        run()
        self._ask(self._STOP)
        self._ask(self._DUMP_AT, name.encode())

    def _ask(self, request: int, text: bytes = b"") -> None:
        words = (ctypes.c_ulong * 6)(request, ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p).value or 0)
        self._call(ctypes.addressof(words))


def main() -> None:
    """Every path, once to warm up, then counted."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    callgrind = Callgrind()
    for name, run in hot_paths(Path(sys.argv[1])):
        run()
        gc.collect()
        gc.disable()
        callgrind.count(name, run)
        gc.enable()


if __name__ == "__main__":
    main()
