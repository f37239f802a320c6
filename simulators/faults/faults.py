# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of simulated devices, switched per device while it runs, reproducible from one seed.

Kinds that change what is sent (any protocol): silence, delay, jitter, garbage, checksum, truncate, glue, reset,
half_open. Kinds that change the device: exception (Modbus, meters), register_shift, swap_words (Modbus);
no_termination, invalid, invalid_time, summer_time, clock_hour, year_wrap (IEC 101, 104); sequence, no_ack, window,
no_start_con, no_test_con, test_often (IEC 104); link_busy (IEC 101); mute (Modbus, meters); hang_up, echo (all but
104), own_number (Modbus TCP); frozen, refuse, restart, roll_over (any).
A kind that a protocol does not support is refused.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from collector.base.errors import CollectorError

# Kind -> meaning of `value`.
KINDS: Final[dict[str, str]] = {
    "silence": "-", "delay": "ms", "jitter": "ms at most", "garbage": "bytes", "checksum": "-",
    "truncate": "bytes kept, 0: half", "glue": "-", "reset": "-", "half_open": "-", "refuse": "-", "frozen": "-",
    "exception": "code 1-11; ERR or DAR of a meter", "register_shift": "registers", "swap_words": "-",
    "no_termination": "-",
    "sequence": "0: N(S) jumps by one, else added to N(R)", "invalid": "-", "invalid_time": "-", "summer_time": "-",
    "clock_hour": "ms, 0: one hour", "year_wrap": "ms before New Year, 0: one second", "no_ack": "-",
    "window": "frames, 0: no limit", "no_start_con": "-", "no_test_con": "-", "test_often": "ms",
    "link_busy": "-", "mute": "register or identifier", "hang_up": "-", "echo": "-", "own_number": "transaction number",
    "restart": "ms away", "roll_over": "units of the register's last digit before its end, 0: one",
}  # fmt: skip
_NUMBERED: Final = ("modbus_tcp", "modbus_udp")
_UNNUMBERED: Final = ("modbus_rtu", "modbus_rtu_over_tcp", "modbus_ascii", "modbus_ascii_over_tcp")
_MODBUS: Final = (*_NUMBERED, *_UNNUMBERED)
_METERS: Final = ("dlt645", "dlt645_over_tcp", "dlt698", "dlt698_over_tcp")
_LINKS: Final = ("iec101", "iec101_over_tcp")
# Protocols that support a kind; a kind not listed is supported by all.
_PROTOCOLS: Final[dict[str, tuple[str, ...]]] = {
    "exception": (*_MODBUS, *_METERS),
    **dict.fromkeys(("register_shift", "swap_words"), _MODBUS),
    "mute": (*_MODBUS, *_METERS),
    "own_number": _NUMBERED,
    "hang_up": ("modbus_tcp", "modbus_rtu_over_tcp", "modbus_ascii_over_tcp", "dlt645_over_tcp",
                "dlt698_over_tcp", "iec101_over_tcp"),
    **dict.fromkeys(("checksum", "echo"), (*_UNNUMBERED, *_METERS, *_LINKS)),
    **dict.fromkeys(
        ("no_termination", "invalid", "invalid_time", "summer_time", "clock_hour", "year_wrap"), ("iec104", *_LINKS)
    ),
    **dict.fromkeys(
        ("sequence", "no_ack", "window", "no_start_con", "no_test_con", "test_often"), ("iec104",)
    ),
    "link_busy": _LINKS,
}  # fmt: skip


def kinds_of(protocol: str) -> tuple[str, ...]:
    """The kinds of fault that a protocol supports."""
    return tuple(kind for kind in KINDS if protocol in _PROTOCOLS.get(kind, (protocol,)))


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one device. `value`: see `KINDS`; `probability`: share of answers it affects, 0 to 1."""

    device: str
    kind: str
    value: int = 0
    probability: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CollectorError(f"no such fault {self.kind!r}; there are {', '.join(KINDS)}", subject=self.device)
        if not 0 < self.probability <= 1:
            raise CollectorError(f"a probability is above 0 and at most 1, got {self.probability}", subject=self.device)


class Faults:
    """The active faults. Hooks given to `watch` are called with (fault, on) so that devices change themselves."""

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed
        self._dice: dict[str, random.Random] = {}  # one stream per device: requests to one change no other's faults
        self._active: dict[str, dict[str, Fault]] = {}
        self._hooks: list[Callable[[Fault, bool], None]] = []
        self.hits: dict[tuple[str, str], int] = {}

    def watch(self, hook: Callable[[Fault, bool], None]) -> None:
        """Call `hook` at every switch of a fault."""
        self._hooks.append(hook)

    def switch_on(self, fault: Fault) -> None:
        """Switch a fault on."""
        self._active.setdefault(fault.device, {})[fault.kind] = fault
        for hook in self._hooks:
            hook(fault, True)

    def switch_off(self, device: str, kind: str) -> None:
        """Switch a fault off; no effect if it is not on."""
        fault = self._active.get(device, {}).pop(kind, None)
        if fault is not None:
            if not self._active[device]:
                del self._active[device]
            for hook in self._hooks:
                hook(fault, False)

    def active(self) -> tuple[Fault, ...]:
        """All faults that are on."""
        return tuple(fault for kinds in self._active.values() for fault in kinds.values())

    def any_at(self, device: str) -> bool:
        """Whether the device has any active fault."""
        return device in self._active

    def _random(self, device: str) -> random.Random:
        if device not in self._dice:
            self._dice[device] = random.Random(f"{self._seed}/faults/{device}")
        return self._dice[device]

    def active_at(self, device: str, kind: str) -> Fault | None:
        """The fault if it is on."""
        return self._active.get(device, {}).get(kind)

    def hit(self, device: str, kind: str) -> Fault | None:
        """The fault if it affects this answer, else None."""
        fault = self._active.get(device, {}).get(kind) if self._active else None
        if fault is None or (fault.probability < 1 and self._random(device).random() >= fault.probability):
            return None
        self.hits[device, kind] = self.hits.get((device, kind), 0) + 1
        return fault

    def deliver(
        self, transport: asyncio.Transport, frame: bytes, device: str, *, checksum_at: int = -1, request: bytes = b""
    ) -> None:
        """Send an answer as the active faults change it. `checksum_at`: index of its checksum; `request`: echoed."""
        if device not in self._active:
            transport.write(frame)
            return
        if self.hit(device, "half_open"):
            transport.pause_reading()
            return
        if self.hit(device, "silence"):
            return
        if self.hit(device, "reset"):
            transport.abort()
            return
        spoilt, wait_ms = self._spoil(frame, device, checksum_at), 0
        if fault := self.hit(device, "delay"):
            wait_ms += fault.value
        if fault := self.hit(device, "jitter"):
            wait_ms += self._random(device).randint(0, fault.value)
        if self.hit(device, "echo"):
            spoilt = request + spoilt
        write = _write_and_close if self.hit(device, "hang_up") else _write_if_open
        if wait_ms:
            asyncio.get_running_loop().call_later(wait_ms / 1000, write, transport, spoilt)
        else:
            write(transport, spoilt)

    def _spoil(self, frame: bytes, device: str, checksum_at: int) -> bytes:
        if fault := self.hit(device, "garbage"):
            return self._random(device).randbytes(fault.value or len(frame))
        if self.hit(device, "checksum"):
            spoilt = bytearray(frame)
            spoilt[checksum_at] ^= 0x55
            frame = bytes(spoilt)
        if fault := self.hit(device, "truncate"):
            frame = frame[: fault.value or len(frame) // 2]
        if self.hit(device, "glue"):
            frame = frame + frame
        return frame


def peer_name(transport: asyncio.BaseTransport) -> str:
    """The peer's address as HOST:PORT; empty where it has none."""
    peer = transport.get_extra_info("peername")
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""


def _write_and_close(transport: asyncio.Transport, data: bytes) -> None:
    _write_if_open(transport, data)
    transport.close()


def _write_if_open(transport: asyncio.Transport, data: bytes) -> None:
    if not transport.is_closing():
        transport.write(data)
