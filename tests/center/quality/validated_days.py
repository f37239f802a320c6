# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of validation look at a day with."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

from collector.center.db.store import CenterStore
from collector.center.inputs.imports import take_tables
from collector.center.quality.plausibility import DataPolicy
from collector.model.register import Register
from collector.sheets.files import Delivered

REGISTER = """
[[area]]
id = "jiangsu"
name = "江苏"
dispatch_mode = "annual_plan"
valley_hours = ["00:00-08:00"]
peak_hours = ["08:00-11:00"]
[[plant]]
id = "P1"
name = "P1"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
[[unit]]
id = "U1"
plant = "P1"
kind = "coal"
rated_mw = "{rated}"
"""


def policy_of(_register: Register, _day: date) -> DataPolicy:
    return DataPolicy(60_000, Fraction(1, 100))


def take_register(store: CenterStore, rated: str = "600") -> None:
    data = REGISTER.format(rated=rated).encode()
    import hashlib

    delivered = Delivered("register.toml", data, hashlib.sha256(data).hexdigest())
    take_tables(store, ["register"], delivered, who="li", replace=True, rules=None)
