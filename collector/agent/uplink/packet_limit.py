# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a batch the broker takes: what the configuration allows, the broker named, or its silence showed.

A broker that finds a packet too large closes the connection (MQTT 5 with reason 149, 3.1.1 without a word), or drops
the message. Either way the same batch is lost again and again. Three losses of one batch are taken for its size: the
limit becomes half of it, and larger batches are sealed again in parts. Where the link itself was at fault, smaller
batches do no harm.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from collector.agent.buffer.buffer import Position

LEAST_BYTES: Final = 2048  # a batch of one record of the widest unit is smaller
_LOSSES: Final = 3
_AROUND_PAYLOAD: Final = 16  # fixed header, packet id, properties; the topic comes on top


class PacketLimit:
    """`bytes`: the largest payload to publish."""

    def __init__(self, configured_bytes: int) -> None:
        self._configured = self._learned = configured_bytes
        self._announced: int | None = None
        self._losses: Counter[Position] = Counter()

    @property
    def bytes(self) -> int:
        """The least of what is configured, announced and learned."""
        return min(self._configured, self._learned, self._announced or self._configured)

    def announced(self, packet_bytes: int | None, topic_bytes: int) -> None:
        """Heed the largest packet a broker named at the connection; None where it named none."""
        self._announced = packet_bytes and max(1, packet_bytes - topic_bytes - _AROUND_PAYLOAD)

    def passed(self, position: Position) -> None:
        """Forget the losses of a batch that the broker took after all."""
        self._losses.pop(position, None)

    def lost(self, position: Position, size_bytes: int, *, is_certain: bool = False) -> bool:
        """Count a loss of a batch; True where the limit was lowered by it. `is_certain`: the broker named its size."""
        self._losses[position] += 1
        is_proof = is_certain or self._losses[position] >= _LOSSES
        if not is_proof or not LEAST_BYTES < size_bytes <= self.bytes:
            return False
        self._learned = max(LEAST_BYTES, size_bytes // 2)
        self._losses.clear()
        return True
