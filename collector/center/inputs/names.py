# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of plants by the register in force, for display."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping

from sqlalchemy import Connection

from collector.center.inputs.imports import current_register


def plant_names(connection: Connection) -> Mapping[str, str]:
    """Each plant's name by its id; after a change of name, the last one in the register. A plant may have none."""
    data = current_register(connection)
    return {} if data is None else _names(data)


def named_plant(plant: str, names: Mapping[str, str]) -> str:
    """A plant in a sentence: its name and its id, or its id alone."""
    name = names.get(plant, "")
    return f"{name} {plant}" if name and name != plant else plant


def named_subject(subject: str, names: Mapping[str, str]) -> str:
    """A subject that begins with a plant (`P1`, `P1/U2`, `P1 2026-06-03`), with the plant's name before it."""
    plant = re.split("[ /]", subject, maxsplit=1)[0]
    return f"{named_plant(plant, names)}{subject[len(plant) :]}" if plant in names else subject


@functools.lru_cache(maxsize=4)
def _names(register: bytes) -> Mapping[str, str]:
    plants = tomllib.loads(register.decode("utf-8-sig")).get("plant", [])
    return {each["id"]: each["name"] for each in plants if each.get("name")}
