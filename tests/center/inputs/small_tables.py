# SPDX-License-Identifier: GPL-3.0-or-later
"""Small tables as people deliver them, and how a test imports them."""

from __future__ import annotations

import hashlib

from collector.center.db.store import CenterStore
from collector.center.inputs.imports import Imported, rows_in_force, take_tables
from collector.sheets.files import Delivered
from collector.tables.limits import InputRules

REGISTER = """
[[area]]
id = "jiangsu"
name = "江苏"
dispatch_mode = "annual_plan"
valley_hours = ["00:00-08:00"]
peak_hours = ["08:00-11:00"]
hours_filing = "x"
[[plant]]
id = "P1"
name = "one"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
settles_with = "x"
[[unit]]
id = "U1"
plant = "P1"
kind = "coal"
rated_mw = "660"
[[unit]]
id = "U2"
plant = "P1"
kind = "coal"
rated_mw = "660"
"""

# P1 moves to another area within the month; P2 stays and has two kinds of revenue.
MOVING = REGISTER.replace(
    "[[plant]]",
    """[[area]]
id = "shanghai"
dispatch_mode = "annual_plan"
valley_hours = []
peak_hours = []
[[plant]]
id = "P1"
area = "shanghai"
revenue_basis = "on_grid"
shares = true
from = 2026-03-15
[[plant]]
id = "P2"
area = "shanghai"
revenue_basis = "two_part"
shares = true
[[plant]]""",
).replace('settles_with = "x"', "until = 2026-03-15")

PLAN = "unit,start,end,power_mw\n"


HOUR = "2026-03-10T{:02d}:00:00+08:00"


def plan_row(hour: int, power: str, *, unit: str = "U1", until: int = 0) -> str:
    return f"{unit},{HOUR.format(hour)},{HOUR.format(until or hour + 1)},{power}\n"


def take(
    store: CenterStore,
    kind: str,
    text: str,
    *,
    replace: bool = False,
    name: str = "",
    rules: InputRules | None = None,
) -> Imported:
    data = text.encode()
    delivered = Delivered(name or f"{kind}.csv", data, hashlib.sha256(data).hexdigest())
    return take_tables(store, [kind], delivered, who="li", replace=replace, rules=rules)[0]


def powers(store: CenterStore) -> list[str]:
    return store.read(lambda c: [row[3] for row in rows_in_force(c, store.imported, "plan") or ()])
