# SPDX-License-Identifier: GPL-3.0-or-later
"""Topic names: `<root>/v1/<plant>/<gateway>/<leaf>`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from collector.base.errors import Garbled
from collector.base.text import tr
from collector.wire.batch import is_name

Leaf = Literal["batch", "ack", "state", "ask"]
LEAVES: Final[tuple[str, ...]] = get_args(Leaf)


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a message: plant, gateway, and the leaf, one of the gateway's topics."""

    plant: str
    gateway: str
    leaf: str


def topic(root: str, plant: str, gateway: str, leaf: Leaf) -> str:
    """The topic of one kind of message of a gateway of a plant."""
    return f"{root}/v1/{plant}/{gateway}/{leaf}"


def subscription(root: str, leaf: Leaf, plant: str = "+") -> str:
    """The topic filter by which the center receives one kind of message from every gateway, of one plant or all."""
    return f"{root}/v1/{plant}/+/{leaf}"


def parse_topic(root: str, text: str) -> Address:
    """Parse a topic under `root`.

    Raises:
        Garbled: another root or version, an unknown leaf, or an invalid name.
    """
    prefix = f"{root}/v1/"
    parts = text.removeprefix(prefix).split("/") if text.startswith(prefix) else []
    if len(parts) != 3 or parts[2] not in LEAVES or not (is_name(parts[0]) and is_name(parts[1])):
        raise Garbled(
            tr(
                "expected {prefix}<plant>/<gateway>/<{leaves}>, got {text!r}",
                prefix=prefix,
                leaves="|".join(LEAVES),
                text=text[:200],
            ),
            code="topic",
        )
    return Address(*parts)
