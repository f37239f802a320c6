# SPDX-License-Identifier: GPL-3.0-or-later
"""Unit and factor of a value, from the cells of its row."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from collector.base.text import tr
from collector.points.convert.cells import read_factor, read_unit
from collector.points.convert.proposal import ProposedRow
from collector.points.convert.sheet import MakerRow
from collector.points.point import NORMALISED, RAW_UNITS, decimal_text

# A full value below this belongs to no power plant (in the quantity's unit).
_TINY: Final = {"MW": Fraction(1), "Mvar": Fraction(1), "kV": Fraction(1), "Hz": Fraction(1)}


def measure(row: MakerRow, proposed: ProposedRow, wanted: str) -> None:
    """Fill unit and factor. A factor that can only be a divisor, e.g. 100 for Hz, is inverted, with a reason."""
    cells, why = proposed.cells, proposed.why
    unit = read_unit(row.text("raw_unit").split("\n")[0])
    written = row.text("scale").split("\n")[0]
    by_scale = read_unit(written) if written and read_factor(written) is None else None
    factor = read_factor(written) if by_scale is None else by_scale.factor
    said = re.search(
        r"单位[::]?\s*([×xX]?[\d.]*\s*[a-zA-Z]+)|[×xX*]\s*([\d.]+\s*[a-zA-Z]+)", row.text("description", "remark")
    )
    told = read_unit((said[2] or said[1]) if said else "")
    if said and (more := re.search(r"[×xX*]\s*([\d.]+\s*[a-zA-Z]*)", row.text("description", "remark"))):
        told = read_unit(more[1])
    if not row.text("raw_unit") and told.unit:
        unit = told
    name = unit.unit or (by_scale.unit if by_scale else None) or _unit_in(cells["name"] + " " + row.text("description"))
    if name is None or RAW_UNITS[name][0] != wanted:
        choices = [known for known, (base, _) in RAW_UNITS.items() if base == wanted and known]
        proposed.decisions[f"unit {row.number}"] = tr(
            "row {row}: the unit of {name} ({written}): taken as {unit}",
            row=row.number,
            name=cells["name"],
            written=row.text("raw_unit") or "-",
            unit=choices[0],
        )
        name = choices[0]
    cells["raw_unit"] = name
    if unit.factor is not None and factor is not None and unit.factor != factor:
        product = unit.factor * factor
        proposed.decisions[f"factor {row.number}"] = tr(
            "row {row}: factor {one} and unit {two}: taken as {product} together",
            row=row.number,
            one=written,
            two=row.text("raw_unit"),
            product=decimal_text(product),
        )
        factor = product
    factor = factor if factor is not None else unit.factor
    if factor is None and written and written not in ("-", "/", "—"):
        proposed.decisions[f"factor {row.number}"] = tr(
            "row {row}: the factor {written!r} of {name} is no number: taken as 1",
            row=row.number,
            written=written,
            name=cells["name"],
        )
    factor = (factor or Fraction(1)) * unit.times
    if factor == 1:
        return
    if wanted == "Hz" and name == "Hz" and factor >= 10:
        factor = 1 / factor
        why.append(tr("factor {written} can only divide: 50 Hz is a whole number of steps", written=written))
    cells["scale"] = decimal_text(factor)
    why.append(
        tr(
            "factor {factor} {unit} by {written}",
            factor=decimal_text(factor),
            unit=name,
            written=" ".join(filter(None, (written, row.text("raw_unit")))),
        )
    )
    if cells.get("area") in NORMALISED and factor * RAW_UNITS[name][1] < _TINY.get(wanted, Fraction(0)):
        cells["norm_base"] = "1"
        why.append(
            tr(
                "the factor is per code: as a full value it would reach {factor} {unit} only",
                factor=decimal_text(factor),
                unit=name,
            )
        )
    elif cells.get("area") in NORMALISED:
        proposed.decisions["norm_base"] = tr(
            "is the factor of normalised values per code (norm_base 1) or the value at full code (32768)?"
        )


def _unit_in(text: str) -> str | None:
    for word in re.findall(r"[((\[]([^()()\[\]]{1,8})[))\]]|\b([kM]?Wh?|[kM]?var|kV|V|Hz)\b", text):
        if (found := read_unit(word[0] or word[1])).unit:
            return found.unit
    return None
