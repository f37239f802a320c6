# SPDX-License-Identifier: GPL-3.0-or-later
"""The statement of a stored run, read back from its folder and checked against the store before anybody relies on it.

The store keeps the run's manifest, the manifest the hashes of its files: a statement that was touched since is refused.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from sqlalchemy import select

from collector.base.errors import InvariantBroken, StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import has_statement, run
from collector.center.db.verified import read_verified
from collector.center.runs.run_list import runs_folder
from collector.model.interval import Month
from collector.report.saved_statement import Row, load_saved
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.tables.register import RegisterFile, load_register


@dataclass(frozen=True, slots=True)
class PlantName:
    """What the register says of a plant in the month: its name, and the grid company it settles with (Art. 24)."""

    name: str
    settles_with: str


@dataclass(frozen=True, slots=True)
class RunLine:
    """A line of a run. Quantity and coverage are the statement's own texts; an empty one is not known."""

    area: str
    plant: str
    unit: str
    service: str
    article: str
    quantity: str
    quantity_unit: str
    coverage: str
    amount_yuan: Decimal | None
    status: str
    reason: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names the line in every run of the month."""
        return self.area, self.plant, self.unit, self.service


@dataclass(frozen=True, slots=True)
class RunPlant:
    """A plant of a run in a settlement area; None where the area is blocked (or, of the revenue, not delivered)."""

    area: str
    plant: str
    compensation_yuan: Decimal
    revenue_yuan: Decimal | None
    allocation_yuan: Decimal | None
    net_yuan: Decimal | None
    status: str


@dataclass(frozen=True, slots=True)
class RunStatement:
    """Everything of a run that is disclosed, filed and billed. `reasons`: why an area is blocked, by area."""

    run_id: int
    month: Month
    kind: str
    status: str
    result_hash: str
    at_ms: int
    lines: tuple[RunLine, ...]
    plants: tuple[RunPlant, ...]
    names: Mapping[str, PlantName]
    reasons: Mapping[str, str]

    def name_of(self, plant: str) -> PlantName:
        """What the register says of a plant; a plant that is not in it has its id for a name."""
        return self.names.get(plant, PlantName(plant, ""))


def load_run_statement(store: CenterStore, run_id: int) -> RunStatement:
    """Read a run's statement.

    Raises:
        StoreError: there is no such run.
        ConfigError: a file of its statement is not the one the manifest names.
        Altered: register or ledger are not those the manifest names.
        InvariantBroken: the manifest is not the one the store knows, or the ledger does not fit.
    """
    row = store.read(lambda c: c.execute(select(run).where((run.c.id == run_id) & has_statement)).one_or_none())
    if row is None:
        raise StoreError(tr("there is none with this number"), subject=tr("run {number}", number=run_id))
    folder = runs_folder(store.directory) / row.folder
    saved = load_saved(folder / "statement")
    if json.loads(row.manifest) != saved.manifest:
        raise InvariantBroken("its manifest on disk is not the one in the store", subject=f"run {run_id}")
    month = Month.parse(row.month)
    plants = tuple(_plant(cells) for cells in saved.plants)
    _check_ledger(folder / "statement" / "ledger.csv", str(saved.manifest["files"].get("ledger.csv")), plants)
    return RunStatement(
        run_id=run_id,
        month=month,
        kind=str(row.kind),
        status=row.status,
        result_hash=row.result_hash,
        at_ms=int(row.at_ms),
        lines=tuple(_line(cells) for cells in saved.lines),
        plants=plants,
        names=_names(folder / "data" / "register.toml", saved.inputs["register.toml"], month),
        reasons={area["area"]: area["reason"] for area in saved.manifest["areas"]},
    )


def _line(cells: Row) -> RunLine:
    texts = {name: cells[name] for name in RunLine.__slots__ if name != "amount_yuan"}
    return RunLine(amount_yuan=_money(cells["amount_yuan"]), **texts)


def _plant(cells: Row) -> RunPlant:
    return RunPlant(
        area=cells["area"],
        plant=cells["plant"],
        compensation_yuan=Decimal(cells["compensation_yuan"]),
        revenue_yuan=_money(cells["revenue_yuan"]),
        allocation_yuan=_money(cells["allocation_yuan"]),
        net_yuan=_money(cells["net_yuan"]),
        status=cells["status"],
    )


def _money(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def _check_ledger(path: Path, sha256: str, plants: tuple[RunPlant, ...]) -> None:
    """The books of the run say of every plant what its row says (Art. 20, 23): credit − debit = net."""
    balance: dict[str, Decimal] = {}
    for posting in csv.DictReader(read_verified(path, sha256).decode("utf-8").splitlines()):
        amount = Decimal(posting["credit_yuan"]) - Decimal(posting["debit_yuan"])
        balance[posting["plant"]] = balance.get(posting["plant"], Decimal(0)) + amount
    if sum(balance.values(), Decimal(0)):
        raise InvariantBroken("the postings do not balance", subject=str(path))
    for plant in plants:
        balance.setdefault(plant.plant, Decimal(0))
        balance[plant.plant] -= plant.net_yuan or Decimal(0)
    wrong = sorted(name for name, rest in balance.items() if rest and not name.startswith("pool:"))
    if wrong:
        raise InvariantBroken(f"the postings of {', '.join(wrong)} are not their net amounts", subject=str(path))


def _names(path: Path, sha256: str, month: Month) -> dict[str, PlantName]:
    """Plants in their last state that touches the month, as the settlement takes them."""
    loaded: RegisterFile = load_register(Delivered(path.name, read_verified(path, sha256), sha256), Findings())
    names: dict[str, PlantName] = {}
    if loaded.register is None:
        raise InvariantBroken("can't be read any more", subject=str(path))
    until = month.next().first_day
    states = sorted(loaded.register.plants, key=lambda s: (s.from_day is not None, s.from_day))
    for state in states:
        if state.from_day is None or state.from_day < until:
            names[state.id] = PlantName(state.name, state.settles_with)
    return names
