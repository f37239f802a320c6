# SPDX-License-Identifier: GPL-3.0-or-later
"""Several gateways of one plant at one center, and one gateway that is there twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from collector.base.clock import SystemClock
from collector.center.db.store import CenterStore
from collector.center.operate.alarms import find_alarms, list_alarms
from collector.center.settings import Alarms
from tests.crash.arrivals import Journal, compare, read_lake
from tests.crash.chain import running_chain
from tests.crash.plant_truth import truth
from tests.patience import wait_until


def of_gateway(journal: Journal, gateway: str) -> Journal:
    """What came from one of them."""
    rows = [row for row in journal.rows if row.stream[1] == gateway]
    gaps = [(stream, gap) for stream, gap in journal.gaps if stream[1] == gateway]
    return Journal(rows, gaps)


def copy_disk(source: Path, target: Path) -> None:
    """As an image of the disk would; sockets are no files."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.sock"))


def alarms_at(state: Path) -> tuple[set[str], set[str]]:
    """Codes of what the running center has told, and of all that stands by what it has received."""
    with CenterStore.open(state, clock=SystemClock(), create=False) as store:
        told = {row["code"] for row in store.read(list_alarms)}
        now_ms = SystemClock().now_utc_ms()
        return told, {a.code for a in store.read(lambda c: find_alarms(c, Alarms(), (), state, now_ms=now_ms))}


@pytest.mark.crash
def test_two_gateways_of_a_plant_are_two_whole_streams_and_nothing_mixes(tmp_path: Path) -> None:
    with running_chain(tmp_path, seconds=400, seed=4, gateways=("g", "h")) as chain:
        chain.ask("hold", at_utc_ms=chain.now_ms)
        for name in ("g", "h"):
            chain.start_agent(name)
        chain.until(lambda: chain.ask("status")["clients"] == 2, "both have come")
        chain.run_to(chain.now_ms + 60_000)
        chain.processes.kill("h")
        chain.run_to(chain.now_ms + 30_000)
        chain.start_agent("h")
        chain.until(lambda: chain.ask("status")["clients"] == 2, "the second has come back")
        chain.run_to(chain.now_ms + 60_000)
        end_ms = chain.last_tick_ms()
        chain.drain("g", "h")
        journal, true = chain.journal(), truth(chain.scenario_file, end_ms)
    first, second = of_gateway(journal, "g"), of_gateway(journal, "h")
    assert len(first.rows) + len(second.rows) == len(journal.rows)
    assert {row.stream[1:] for row in first.rows}.isdisjoint({row.stream[1:] for row in second.rows})
    assert compare(first, true).in_gaps == 0
    assert compare(second, true).in_gaps > 30
    lake = read_lake(tmp_path / "center")
    assert lake == {(unit, time_ms): 1 for unit, instants in true.items() for time_ms in instants}


@pytest.mark.crash
def test_a_disk_restored_from_an_image_and_one_that_runs_twice_lose_nothing(tmp_path: Path) -> None:
    with running_chain(tmp_path, seconds=600, seed=9) as chain:
        chain.start_agent()
        chain.run_to(chain.now_ms + 47_000)
        chain.processes.kill("g")
        copy_disk(chain.state(), tmp_path / "image")
        chain.start_agent()
        chain.run_to(chain.now_ms + 60_000)
        chain.drain()
        # The image comes back in its place: names of batches are given twice, with other contents.
        shutil.rmtree(chain.state())
        copy_disk(tmp_path / "image", chain.state())
        chain.start_agent()
        chain.run_to(chain.now_ms + 60_000)
        chain.settle()
        chain.processes.kill("g")
        # And once more at the same time, in two machines that both believe that they are the gateway.
        copy_disk(chain.state(), chain.state("clone"))
        chain.write_agent("clone", identity="g")
        # (Started at one instant they would make the very same batches, byte for byte.)
        chain.start_agent()
        chain.run_to(chain.now_ms + 7000)
        chain.start_agent("clone")
        chain.until(lambda: chain.ask("status")["clients"] == 2, "both have come")
        chain.run_to(chain.now_ms + 90_000)
        # Which of them is refused, and when, is chance; a minute after that, both having recorded on, it stands.
        for _ in range(9):
            chain.settle("g")
            chain.settle("clone")
            if "gateway_twice" in alarms_at(tmp_path / "center")[1]:
                break
            chain.run_to(chain.now_ms + 20_000)
        else:
            pytest.fail("two machines send under one id, and nothing is to be told")
        wait_until(lambda: "gateway_twice" in alarms_at(tmp_path / "center")[0], "the center's alarm")
        end_ms = chain.last_tick_ms()
        chain.drain("g", "clone")
        journal = chain.journal()
        verdict = compare(
            journal, truth(chain.scenario_file, end_ms), copies=10
        )  # what was on its way when a conflict came to light goes again under a new name
    assert journal.refused["epoch_conflict"] >= 1
    assert len({row.stream[2] for row in journal.rows}) >= 3
    assert verdict.in_gaps < 20, "only what fell into the starts"
    assert read_lake(tmp_path / "center") == {(row.record.unit, row.record.time_utc_ms): 1 for row in journal.rows}
