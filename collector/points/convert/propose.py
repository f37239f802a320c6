# SPDX-License-Identifier: GPL-3.0-or-later
"""A proposal from a maker's table: rows for settlement with reasons, decisions left to a person, rows left out.

A decision is needed wherever the sheet allows two readings: counting from 0 or 1, the order of words, the type, the
direction of energy. The proposal then holds the first reading and says so; options of the command settle it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from collector.base.text import Text, tr
from collector.model.quantity import BY_NAME, QuantityKind
from collector.points.convert.cells import MakerAddress, read_type, read_unit
from collector.points.convert.facts import SheetFacts, registers_of
from collector.points.convert.measures import measure
from collector.points.convert.places import place_object, place_register
from collector.points.convert.proposal import LeftOut, Options, ProposedRow, TableProposal
from collector.points.convert.sheet import MakerRow, MakerSheet
from collector.points.convert.states import propose_map, read_states
from collector.points.convert.words import BACKWARD, FORWARD, IN, OUT, Rule, what_is

_MACHINE: Final = re.compile(
    r"(?:#\s*|No\.?\s*)?(\d{1,2})\s*(?:#|号)?\s*(?:机组|机|发电机)|\b(?:unit|gen(?:erator)?)\s*#?\s*(\d{1,2})\b",
    re.IGNORECASE,
)
_BITS: Final = re.compile(r"(?:bit|位|第)\s*(\d{1,2})\s*(?:位)?\s*[::=\-–—、.]?\s*([^;;,,。\n]+)", re.IGNORECASE)
_MASK: Final = re.compile(r"mask\s*:?\s*(?:0x)?([0-9a-f]{4})h?", re.IGNORECASE)


def propose(sheet: MakerSheet, options: Options) -> TableProposal:
    """The proposal for a maker's table."""
    return _Proposer(sheet, options).run()


class _Proposer:
    def __init__(self, sheet: MakerSheet, options: Options) -> None:
        self._sheet, self._options = sheet, options
        self._facts = SheetFacts(sheet, options)
        self._result = TableProposal(self._facts.family, decisions=dict(self._facts.decisions))

    def run(self) -> TableProposal:
        result = self._result
        result.about.append(
            tr("sheet {sheet}: headings in row {row}", sheet=self._sheet.title, row=self._sheet.header_row)
        )
        result.left_out += [LeftOut(row, text, why) for row, text, why in self._sheet.passed_over]
        for row in self._sheet.rows:
            self._propose_row(row)
        self._choose()
        if not result.rows:
            result.decisions["no row"] = tr("no row is for settlement: is this the right sheet?")
        return result

    def _propose_row(self, row: MakerRow) -> None:
        text = row.text("name", "description")
        address = self._facts.addresses.get(row.number)
        shown = f"{text} {row.text('address', 'hex')}".replace("\n", " ")
        if address is None:
            self._leave(row, shown, tr("its address can't be read"))
            return
        access = row.text("access").strip().upper()
        if access in ("W", "WO", "只写", "写", "WRITE"):
            self._leave(row, shown, tr("is written, not read"))
            return
        bits = self._bits_of(row)
        if bits:
            before = len(self._result.rows)
            for bit, meaning in bits:
                found = what_is(meaning)
                if not isinstance(found, Text) and BY_NAME[found[0].quantity].kind is QuantityKind.STATUS:
                    self._add(row, address, found, bit=bit, name=meaning.strip())
            if len(self._result.rows) > before:
                return
        found = what_is(text if len(text) > 3 else f"{row.section} {text}")
        if isinstance(found, Text):
            self._leave(row, shown, tr("not for settlement: {reason}", reason=found))
            return
        if read_unit(row.text("raw_unit")).other:
            self._leave(row, shown, tr("its unit {unit} is of no settlement quantity", unit=row.text("raw_unit")))
            return
        if re.search(r"低字|low word", row.text("type", "remark"), re.IGNORECASE) and not re.search(
            r"高字|high", row.text("type", "remark"), re.IGNORECASE
        ):
            self._leave(row, shown, tr("is the lower half of the row above"))
            return
        if read_type(row.text("type"), registers_of(row)) == "":
            self._leave(row, shown, tr("is text or a time"))
            return
        if address.bit == 1:
            self._result.decisions[f"bit {row.number}"] = tr(
                "row {row}: {address} is bit 1, or bit 10 that lost its zero in the spreadsheet",
                row=row.number,
                address=row.text("address"),
            )
        mask = _MASK.search(row.text("remark", "scale", "raw_unit", "type"))
        by_mask = int(mask[1], 16).bit_length() - 1 if mask else None
        number = address.bit if address.bit is not None else by_mask
        self._add(row, address, found, bit=number, name=row.text("name") or text)

    def _bits_of(self, row: MakerRow) -> list[tuple[int, str]]:
        texts = row.text("remark", "description", "name", "range")
        return (
            [(int(bit), meaning) for bit, meaning in _BITS.findall(texts)]
            if texts.lower().count("bit") > 1 or len(_BITS.findall(texts)) > 1
            else []
        )

    def _leave(self, row: MakerRow, text: str, reason: Text) -> None:
        self._result.left_out.append(LeftOut(row.number, text.strip(), reason))

    def _add(
        self, row: MakerRow, address: MakerAddress, found: tuple[Rule, int], *, bit: int | None, name: str
    ) -> None:
        rule, rank = found
        quantity = BY_NAME[rule.quantity]
        why = [tr("quantity {quantity} by its name", quantity=quantity.name)]
        machine = next(
            (m[1] or m[2] for m in _MACHINE.finditer(f"{row.section} {row.text('unit', 'device')} {name}")), ""
        )
        cells = {"name": name.replace("\n", " ").strip(), "quantity": quantity.name, "device": self._options.device,
                 "unit": self._options.unit}  # fmt: skip
        proposed = ProposedRow(row.number, cells, why, rank, machine)
        status = quantity.kind is QuantityKind.STATUS
        # Bits of one register are listed with their numbers too: those are not states.
        listed = (read_states(row.text(role)) for role in ("remark", "description", "range", "type", "scale", "name"))
        states = next(filter(None, listed), None) if status and bit is None else None
        if self._facts.family == "iec104":
            place_object(self._facts, row, address, proposed, quantity.kind)
        elif self._facts.family.startswith("dlt"):
            cells["address"] = f"{int(address.digits, 16):08X}"
        else:
            place_register(self._facts, row, address, proposed, bit, status=status, listed=states is not None)
        if not status:
            measure(row, proposed, quantity.unit)
        elif states is not None:
            propose_map(states, row.number, proposed)
        if rule.quantity == "energy_export_mwh":
            self._direct(row, proposed)
        self._result.rows.append(proposed)

    def _direct(self, row: MakerRow, proposed: ProposedRow) -> None:
        """Rank the counters of a meter that mean energy to the grid, by the words of its language."""
        text = row.text("name", "description")
        if FORWARD.search(text):
            proposed.rank += 2
        elif BACKWARD.search(text):
            proposed.rank -= 2
        elif OUT.search(text):
            proposed.rank += 2
        elif IN.search(text):
            proposed.rank -= 2

    def _choose(self) -> None:
        """Keep the best row for each quantity of a machine; the other candidates are named beside it."""
        groups: dict[tuple[str, str], list[ProposedRow]] = {}
        for row in self._result.rows:
            groups.setdefault((row.machine, row.cells["quantity"]), []).append(row)
        kept = []
        for (_, quantity), rows in groups.items():
            rows.sort(key=lambda row: (-row.rank, row.source))
            best, others = rows[0], rows[1:]
            kept.append(best)
            self._result.decisions |= best.decisions
            if quantity == "energy_export_mwh":
                self._result.decisions[f"energy {best.source}"] = tr(
                    "is {name} (row {row}) the energy to the grid? That hangs on how the meter is wired",
                    name=best.cells["name"],
                    row=best.source,
                )
            ties = [row for row in others if row.rank == best.rank]
            if ties and quantity != "energy_export_mwh":
                self._result.decisions[f"quantity {best.source}"] = tr(
                    "{quantity} may be row {rows}: the first is taken",
                    quantity=quantity,
                    rows=", ".join(str(row.source) for row in [best, *ties]),
                )
            self._result.left_out += [
                LeftOut(
                    row.source,
                    row.cells["name"],
                    tr("{quantity} is taken from row {row}", quantity=quantity, row=best.source),
                )
                for row in others
            ]
        machines = sorted({row.machine for row in kept} - {""})
        if len(machines) > 1:
            self._result.decisions["unit"] = tr(
                "name the generating unit of each row: the sheet has machines {machines}", machines=", ".join(machines)
            )
        for row in kept:
            if len(machines) > 1 and not self._options.unit:
                row.cells["unit"] = row.machine
        self._result.rows = sorted(kept, key=lambda row: row.source)
        self._result.left_out.sort(key=lambda left: left.row)
        _tell_names_apart(self._result.rows)


def _tell_names_apart(rows: Iterable[ProposedRow]) -> None:
    seen: Counter[str] = Counter()
    for row in rows:
        name = row.cells["name"]
        seen[name] += 1
        if seen[name] > 1:
            row.cells["name"] = f"{name} ({row.source})"
