# SPDX-License-Identifier: GPL-3.0-or-later
"""Our agent on the same devices, and as much of a center as acknowledges every batch.

A batch a second, so that what was read is delivered as soon as by the other; a minute, the default, takes less CPU and
fewer bytes. All other settings are the default, and batches are signed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import collector.wire as wire
from bench.gateways.arrivals import PERIOD_MS, Arrivals
from bench.gateways.registers import DEVICES, ENERGY, POINTS, UNITS, address_of, host_of
from bench.gateways.script import Gateway
from collector.model.quantity import BY_NAME

_AGENT: Final = "from collector.cli.agent.commands import app; app()"
_PLANT: Final = "P"
_ENERGY_OF_READ: Final = BY_NAME[ENERGY].scale // 1000  # a read is a thousandth of a MWh
_POINT_OF: Final = {(unit, quantity.name): number for number, (unit, quantity) in enumerate(POINTS)}


def prepare(folder: Path, broker: int, devices: int) -> Gateway:
    """Its configuration in the folder; the gateway as the script runs it."""
    wire.generate_key_pair(folder / "plant.pem", folder / "plant.pub")
    text = (
        f'schema = 1\n[gateway]\nid = "g"\nstate_dir = "state"\n[mqtt]\nport = {broker}\n'
        f'[buffer]\nbatch_max_age_s = 1\n[[plant]]\nid = "{_PLANT}"\nsigning_key_file = "plant.pem"\n'
    )
    for device in range(DEVICES):
        text += "".join(f'[[unit]]\nid = "d{device}-{unit}"\nplant = "{_PLANT}"\n' for unit in range(len(UNITS)))
        text += f'[[device]]\nid = "d{device}"\nprotocol = "modbus_tcp"\npoints = "d{device}.csv"\n'
        text += f'host = "{host_of(device)}"\nport = {devices}\n'
        (folder / f"d{device}.csv").write_text(_table(device), "utf-8")
    (folder / "agent.toml").write_text(text, "utf-8")
    command = (sys.executable, "-c", _AGENT, "run", str(folder / "agent.toml"))
    return Gateway(
        command=command, folder=folder, environment={}, access="topic readwrite collector/#\n",
        topics=(wire.subscription("collector", "batch"),), take=take,
    )  # fmt: skip


def _table(device: int) -> str:
    rows = ["name,quantity,unit,area,type,address,scale,raw_unit"]
    for number, (unit, quantity) in enumerate(POINTS):
        scale = "0.001" if quantity.unit else ""
        rows.append(
            f"p{number},{quantity.name},d{device}-{unit},holding,int32,{address_of(number)},{scale},{quantity.unit}"
        )
    return "\n".join(rows) + "\n"


def take(topic: str, payload: bytes, arrivals: Arrivals) -> list[tuple[str, bytes]]:
    """A batch into arrivals; its acknowledgement, which covers the batches before it too."""
    arrivals.bytes += len(topic) + len(payload)
    batch = wire.decode_batch(wire.open_envelope(payload))
    names = {layout.unit: layout.quantities for layout in batch.layouts}
    for record in batch.records:
        device, unit = map(int, record.unit.removeprefix("d").split("-"))
        usable = {
            name: value
            for name, value, quality in zip(names[record.unit], record.values, record.qualities, strict=True)
            if quality.usable and value is not None
        }
        if ENERGY in usable:
            points = [_POINT_OF[unit, name] for name in usable]
            arrivals.take(device, usable[ENERGY] // _ENERGY_OF_READ, points, record.time_utc_ms)
        else:  # a record that says why it has no values
            _note_gap(arrivals, device, record.time_utc_ms, record.time_utc_ms + PERIOD_MS)
    for gap in batch.gaps:
        for device in {int(unit.removeprefix("d").split("-")[0]) for unit in gap.units}:
            _note_gap(arrivals, device, gap.from_ms, gap.to_ms)
    ack = wire.Ack(store_id="bench", epoch_hex=wire.epoch_text(batch.stream.epoch), also=((batch.sequence,) * 2,))
    return [(topic.removesuffix("batch") + "ack", wire.encode_ack(ack, None))]


def _note_gap(arrivals: Arrivals, device: int, from_ms: int, to_ms: int) -> None:
    arrivals.gaps.setdefault(device, set()).add((from_ms, to_ms))
