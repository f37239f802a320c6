# SPDX-License-Identifier: GPL-3.0-or-later
"""Point tables (点表): rows of a CSV or XLSX become checked, frozen points; agent and simulators read the same table.

A row says where a value is in a device and what it means. Raw register units exist only here: value = (raw × scale +
offset) × sign, in `raw_unit`, becomes the stored integer of its quantity (model/quantity.py).

`grid` a file as rows of text · `words` the words of the trade · `cells`, `load` rows into points · `notation` 4xxxx
addresses · `messages`, `lint_messages`, `findings` all possible problems, in both languages · `lint` doubtful rows to
look at before the visit · `identifiers` data identifiers of meters · `convert/` a maker's sheet into a proposed table ·
`diff` changes between two versions that must be verified again (对点).
"""

from collector.points.load import load_points
from collector.points.point import COLUMNS, IEC104_TYPES, MODBUS_AREAS, ORDERS, RAW_UNITS, REGISTERS, Point

__all__ = ["COLUMNS", "IEC104_TYPES", "MODBUS_AREAS", "ORDERS", "RAW_UNITS", "REGISTERS", "Point", "load_points"]
