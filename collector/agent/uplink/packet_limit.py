# SPDX-License-Identifier: GPL-3.0-or-later
"""The largest batch that the broker takes: configured, announced by the broker, or learned from losses.

A broker that finds a packet too large closes the connection (MQTT 5 with reason 149, 3.1.1 without a word), or drops
the message. Either way the same batch is lost again and again. After three losses of one batch its size is taken as the
cause: the limit becomes half of it, and larger batches are sealed again in parts. If the link itself was the cause,
smaller batches do no harm.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from collector.agent.buffer.buffer import Position

LEAST_BYTES: Final = 2048  # a batch of one record of the widest unit is smaller
_LOSSES: Final = 3
_AROUND_PAYLOAD: Final = 16  # fixed header, packet id, properties; the topic is added


class PacketLimit:
    """The largest payload to publish, in `bytes`."""

    def __init__(self, configured_bytes: int) -> None:
        self._configured = self._learned = configured_bytes
        self._announced: int | None = None
        self._losses: Counter[Position] = Counter()

    @property
    def bytes(self) -> int:
        """The smallest of the configured, announced and learned limits."""
        return min(self._configured, self._learned, self._announced or self._configured)

    def announced(self, packet_bytes: int | None, topic_bytes: int) -> None:
        """Note the largest packet a broker announced at the connection; None where it announced none."""
        self._announced = packet_bytes and max(1, packet_bytes - topic_bytes - _AROUND_PAYLOAD)

    def passed(self, position: Position) -> None:
        """Forget the losses of a batch that the broker took after all."""
        self._losses.pop(position, None)

    def lost(self, position: Position, size_bytes: int, *, is_certain: bool = False) -> bool:
        """Count a loss of a batch; True where it lowered the limit. `is_certain`: the broker named the size."""
        self._losses[position] += 1
        is_proof = is_certain or self._losses[position] >= _LOSSES
        if not is_proof or not LEAST_BYTES < size_bytes <= self.bytes:
            return False
        self._learned = max(LEAST_BYTES, size_bytes // 2)
        self._losses.clear()
        return True
