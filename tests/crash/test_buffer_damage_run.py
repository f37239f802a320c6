# SPDX-License-Identifier: GPL-3.0-or-later
"""The buffer of a killed agent truncated, its bits flipped, its write-ahead log gone: the next start goes on.

8 damages, or as many as DAMAGES says.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.crash.arrivals import compare, read_lake
from tests.crash.chain import Chain, running_chain
from tests.crash.plant_truth import truth
from tests.size import sized

DAMAGES = int(os.environ.get("DAMAGES", sized(4, 8)))


def damage(path: Path, dice: random.Random) -> str:
    """Spoil one of the buffer's files somewhere; what was done."""
    files = [each for each in (path, path.with_name(path.name + "-wal")) if each.exists() and each.stat().st_size]
    victim = dice.choice(files)
    size = victim.stat().st_size
    kind = dice.choice(("truncate", "flip", "flip", "zero", "remove"))
    at = dice.randrange(size)
    if kind == "remove" and victim != path:
        victim.unlink()
    elif kind == "truncate":
        os.truncate(victim, at)
    else:
        with victim.open("r+b") as file:
            file.seek(at)
            found = file.read(dice.randrange(1, 600))
            file.seek(at)
            spoilt = bytes(len(found)) if kind == "zero" else bytes([found[0] ^ (1 << dice.randrange(8)), *found[1:]])
            file.write(spoilt)
    return f"{kind} {victim.name} at {at} of {size}"


def work_and_kill(chain: Chain, dice: random.Random) -> None:
    """Some time of collecting, sometimes with everything acknowledged, sometimes in the middle of it."""
    chain.start_agent()
    chain.run_to(chain.now_ms + dice.randrange(5000, 120_000))
    time.sleep(dice.choice((0.0, 0.05, 0.5)))
    chain.processes.kill("g")
    chain.pass_time(dice.choice((0, 3000)))


@pytest.mark.crash
def test_after_any_damage_the_agent_starts_and_what_is_lost_lies_in_gaps(tmp_path: Path) -> None:
    dice = random.Random(int(os.environ.get("SEED", "3")))
    done = []
    with running_chain(tmp_path, seconds=70 * DAMAGES, seed=5) as chain:
        for _ in range(DAMAGES):
            work_and_kill(chain, dice)
            done.append(damage(chain.state() / "g.buffer", dice))
        chain.start_agent()
        chain.run_to(chain.now_ms + 30_000)
        end_ms = chain.last_tick_ms()
        chain.drain()
        journal, true = chain.journal(), truth(chain.scenario_file, end_ms)
        set_aside = len({path.name.split("-")[1] for path in chain.state().glob("*.damaged-*")})
        print("\n".join(done), f"{set_aside} set aside; {dict(journal.refused)}", sep="\n")
        # What a rolled back file no longer knew that it had sent comes again under another name; the lake has it once.
        compare(journal, true, copies=DAMAGES)
        assert read_lake(tmp_path / "center") == {(row.record.unit, row.record.time_utc_ms): 1 for row in journal.rows}
