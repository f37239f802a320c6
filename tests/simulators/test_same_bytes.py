# SPDX-License-Identifier: GPL-3.0-or-later
"""Same seed, same bytes: everything the demo's devices answer over some hours, from two simulations."""

from __future__ import annotations

import hashlib
from pathlib import Path

from simulators.faces import iec104
from simulators.faces.iec104_station import Station
from simulators.faces.modbus import Slave
from simulators.plant.scenario import instantiate, load_scenario
from simulators.run.simulation import Simulation

CONFIG = Path(__file__).parents[2] / "config"
INTERROGATION = bytes.fromhex("64010600ffff00000014")


def answers(folder: Path, *, seed: str = "20260301") -> str:
    """A digest of what every device answers at each of 500 ticks."""
    source = folder / "plant.toml"
    folder.mkdir()
    source.write_text(f'base = "{CONFIG / "demo" / "plant.toml"}"\nseed = {seed}\n', "utf-8")
    simulation = Simulation.of_scenario(load_scenario(instantiate(source, folder / "run").scenario_file))
    digest = hashlib.sha256()
    for tick in range(500):
        simulation.advance(simulation.keeper.run.start_ms + tick * 60_000)
        for member in simulation.devices.members.values():
            if isinstance(member, Station):
                digest.update(b"".join(member.interrogation_answer(iec104.decode_asdu(INTERROGATION))))
            elif isinstance(member, Slave):
                for request in ("0300000007", "0300640006", "0400000004"):
                    digest.update(member.answer(bytes.fromhex(request)))
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, second = answers(tmp_path / "one"), answers(tmp_path / "two")
    assert first == second
    assert answers(tmp_path / "three", seed="4") != first
