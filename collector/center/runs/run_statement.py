# SPDX-License-Identifier: GPL-3.0-or-later
"""The statement of a stored run, read back from its folder and checked against the store.

The store keeps the run's manifest, the manifest the hashes of its files: a statement that was changed since is refused.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import select

from collector.base.durable import folder_held
from collector.base.errors import InvariantBroken, Missing
from collector.base.text import tr
from collector.center.db.seals.sealed_rows import require_rows
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import has_statement, run
from collector.center.db.verified import read_verified
from collector.center.runs.run_list import RUNNING, Expired, RunState, asked_run, runs_folder
from collector.model.interval import Month
from collector.report.saved_statement import Row, load_saved
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.tables.register import RegisterFile, load_register


@dataclass(frozen=True, slots=True)
class PlantName:
    """The register's facts of a plant in the month: its name, its grid company (Art. 24), the VAT data of its bills."""

    name: str
    settles_with: str
    tax_number: str = ""
    vat_rate: str = ""
    bank: str = ""


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
        """The key of the line in every run of the month."""
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
    """All data of a run that is disclosed, filed and billed. `reasons`: for blocked areas, by area."""

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
        """The register's facts of a plant; a plant that is not in it has its id for a name."""
        return self.names.get(plant, PlantName(plant, ""))


def load_run_statement(store: CenterStore, run_id: int) -> RunStatement:
    """Read a run's statement.

    Raises:
        StoreError: there is no such run.
        ConfigError: a file of its statement is not the one the manifest names.
        Altered: register or ledger are not those the manifest names.
        InvariantBroken: the manifest is not the one in the store, or the ledger does not fit.
    """
    row = store.read(lambda c: c.execute(select(run).where((run.c.id == run_id) & has_statement)).one_or_none())
    if row is None:
        asked = store.read(lambda c: asked_run(c, run_id))
        if asked is not None and asked.state is RunState.EXPIRED:
            raise Expired(asked.why, subject=tr("run {number}", number=run_id))
        raise Missing(tr("there is none with this number"), subject=tr("run {number}", number=run_id))
    store.read(lambda c: require_rows(c, run, [(run_id,)]))
    folder = runs_folder(store.directory) / row.folder
    with folder_held(folder):  # keeps it from expiring meanwhile
        return _load(run_id, row, folder)


def _load(run_id: int, row: Any, folder: Path) -> RunStatement:
    saved = load_saved(folder / "statement")
    if json.loads(row.manifest) != saved.manifest:
        raise InvariantBroken(tr("its manifest on disk is not the one in the store"), subject=f"run {run_id}")
    month = Month.parse(row.month)
    plants = tuple(_plant(cells) for cells in saved.plants)
    ledger = folder / "statement" / "ledger.csv"
    # A running month posts nothing.
    check_ledger(ledger, str(saved.manifest["files"].get("ledger.csv")), () if row.kind == RUNNING else plants)
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


def check_ledger(path: Path, sha256: str, plants: tuple[RunPlant, ...]) -> None:
    """Check the run's books against its plants (Art. 20, 23): credit − debit = net, and each pool is 0."""
    balance: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    postings = list(csv.DictReader(read_verified(path, sha256).decode("utf-8").splitlines()))
    names_areas = all("area" in posting for posting in postings)
    for posting in postings:
        account = posting["plant"]
        # Runs of 0.1.0: a pool's account is `pool:AREA`, and a plant has one account for all areas.
        area, account = (posting["area"], account) if names_areas else _account_without_area(account)
        balance[area, account] += Decimal(posting["credit_yuan"]) - Decimal(posting["debit_yuan"])
    for plant in plants:
        balance[plant.area if names_areas else "", plant.plant] -= plant.net_yuan or Decimal(0)
    if wrong := [f"{area}/{plant or 'pool'}" for (area, plant), rest in sorted(balance.items()) if rest]:
        raise InvariantBroken(tr("the postings of {wrong} do not balance", wrong=", ".join(wrong)), subject=str(path))


def _account_without_area(account: str) -> tuple[str, str]:
    """Area and plant, one of them empty, of an account of 0.1.0."""
    return (account.removeprefix("pool:"), "") if account.startswith("pool:") else ("", account)


def _names(path: Path, sha256: str, month: Month) -> dict[str, PlantName]:
    """Plants in their last state that touches the month, as the settlement takes them."""
    loaded: RegisterFile = load_register(Delivered(path.name, read_verified(path, sha256), sha256), Findings())
    names: dict[str, PlantName] = {}
    if loaded.register is None:
        raise InvariantBroken(tr("can't be read any more"), subject=str(path))
    until = month.next().first_day
    states = sorted(loaded.register.plants, key=lambda s: (s.from_day is not None, s.from_day))
    for state in states:
        if state.from_day is None or state.from_day < until:
            rate = "" if state.vat_rate is None else str(state.vat_rate)
            names[state.id] = PlantName(state.name, state.settles_with, state.tax_number, rate, state.bank)
    return names
