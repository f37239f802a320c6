# SPDX-License-Identifier: GPL-3.0-or-later
"""ThingsBoard Gateway beside our agent: CPU, memory, bytes, and what a kill and an absence of the broker lose.

Both read the same ten devices of 50 values every second and send them to the same Mosquitto, one after the other,
through the script of `gateways/script.py`. A value that a device answered and that never reached the subscriber is
lost; ours also says in gap records what is missing, and what it lost without saying so has to be none.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Final

from bench.center_process import MOSQUITTO
from bench.figure import Figure
from bench.gateways import ours, thingsboard
from bench.gateways.registers import DEVICES, POINTS
from bench.gateways.script import OUTAGE_S, Found, run

PEER: Final = "ThingsBoard Gateway 3.8"
# Before 3.8.5 it opens TLS to every broker, and to the plain port of Mosquitto never without. It fetches the rest at
# its first start, in just these versions, where they are not there.
PACKAGES: Final = ("thingsboard-gateway>=3.8.5,<3.9", "pymodbus==3.9.2", "pyserial", "pyserial-asyncio")
LACKS: Final = "" if MOSQUITTO else "Mosquitto is not installed"


def measure_gateways(python: str, version: str) -> Iterator[Figure]:
    """Both through the script; `python`: of the peer's environment. A peer that delivers nothing is a row saying so."""
    our_run = run(ours.prepare)
    try:
        their_run = run(functools.partial(thingsboard.prepare, python))
    except TimeoutError as error:
        yield Figure.absolute(f"skipped: ThingsBoard Gateway {version}: {str(error).splitlines()[0]}", 0.0, "", 0.0)
        return
    yield from figures(f"ThingsBoard Gateway {version}", their_run, our_run)


def figures(name: str, theirs: Found, our: Found) -> Iterator[Figure]:
    """The peer's figures over ours; then what each lost."""
    what = f"{name}: {DEVICES} devices x {len(POINTS)} values a second, read and delivered"
    for about, unit, their_value, our_value in (
        ("CPU a value", "us", theirs.cpu_us, our.cpu_us),
        ("memory", "MB", theirs.memory_mb, our.memory_mb),
        ("bytes on the wire a value", "bytes", theirs.wire_bytes, our.wire_bytes),
        ("a SIGKILL until all is read again", "s", theirs.restart_s, our.restart_s),
    ):
        yield Figure(f"{what}, {about}", their_value, unit, "ours", our_value, 0.0, of_ratio=True, at_most=False)
    for who, found in ((name, theirs), ("ours", our)):
        for about, values in (
            ("lost with nothing wrong", found.lost_undisturbed),
            ("lost over a SIGKILL", found.lost_by_kill),
            (f"lost over {OUTAGE_S:.0f} s without broker", found.lost_by_outage),
            ("arrived twice", found.twice),
        ):
            yield Figure(
                f"{who}: of {found.read} values read, {about}", values, "values", None, None, 0.0, at_most=False
            )
    yield Figure.absolute("ours: of what was lost, not told by a gap record", our.unnamed, "values", 0.0)
