# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of a month made by hand, in a real store: statements, registers and ledgers as files, without any records.

The amounts are given; shares are computed by `allocate`, whose own tests stand elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
from sqlalchemy import Connection

from collector.base.resources import config_path
from collector.center.db.store import CenterStore
from collector.center.month.transitions import approve_step, propose_step
from collector.center.papers.filings import make_filings
from collector.center.people.access import Actor, Role
from collector.center.runs.keeping.own_files import own_files
from collector.center.runs.month_state import MonthStage, MonthState
from collector.center.runs.run_list import RunFacts, begin_run, enter_run, finish_run, runs_folder
from collector.model.interval import HOUR_MS, Month, local_midnight_ms
from collector.report.folder import write_statement
from collector.settlement.price.allocate import allocate
from collector.settlement.price.plants import compute_ledger
from collector.settlement.rulebook.calendar import DutyDays, load_working_days
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.statement import (
    AreaRow,
    Line,
    LineStatus,
    MonthStatus,
    PlantRow,
    ReadingUse,
    Segments,
    Statement,
)

MAY = Month(2026, 5)
BOOK = load_rulebook(config_path("rules/east-china-trial"))
DAYS = DutyDays(load_working_days(config_path("calendar")), BOOK)
LI = Actor("li", Role.OPERATOR)
ZHAO = Actor("zhao", Role.OPERATOR)
WANG = Actor("wang", Role.APPROVER)
SUN = Actor("sun", Role.APPROVER)
AUDITOR = Actor("auditor", Role.AUDITOR)
REGULATOR = Actor("jianguan", Role.REGULATOR)
PLANT_1 = Actor("one", Role.PLANT, "P1")
PLANT_2 = Actor("two", Role.PLANT, "P2")

# (area, plant, unit, service) -> amount, None: blocked.
Amounts = Mapping[tuple[str, str, str, str], str | None]
DEEP_PEAK = ("jiangsu", "P1", "U1", "deep_peak")
AVC = ("jiangsu", "P2", "U2", "avc")
BLACK_START = ("shanghai", "P4", "U4", "black_start")
# area -> plant -> revenue F; None: not delivered, so that the area is blocked.
Revenue = Mapping[str, Mapping[str, str | None]]
FIRST: Amounts = {DEEP_PEAK: "3600.00", AVC: "43200.00"}
SECOND: Amounts = {DEEP_PEAK: "3660.01", AVC: "43200.00"}
REVENUE: Revenue = {"jiangsu": {"P1": "100", "P2": "200", "P3": "300"}}


def on(day: int, hour: int = 12, month: int = 6, year: int = 2026) -> int:
    """A local time of the month after, as UTC ms."""
    return local_midnight_ms(date(year, month, day)) + hour * HOUR_MS


def add_run(
    store: CenterStore,
    amounts: Amounts = FIRST,
    revenue: Revenue = REVENUE,
    *,
    month: Month = MAY,
    kind: str = "trial",
    status: str = "final",
    companies: Mapping[str, str] | None = None,
) -> int:
    """Settle by hand: write a run's folder, list it; its number."""
    statement = _statement(amounts, revenue, month, MonthStatus(status))
    folder = runs_folder(store.directory) / f"{month}-{kind}-{len(list(runs_folder(store.directory).glob('*')))}"
    (folder / "data").mkdir(parents=True)
    register = _register(revenue, companies or {}).encode()
    (folder / "data" / "register.toml").write_bytes(register)
    sources = {"register.toml": hashlib.sha256(register).hexdigest()}
    object.__setattr__(statement, "sources", sources)
    shutil.copytree(config_path("rules/east-china-trial"), folder / "rulebook")
    write_statement(statement, folder / "statement")
    manifest = (folder / "statement" / "manifest.json").read_text("utf-8")
    facts = RunFacts(
        status=status,
        result_hash=json.loads(manifest)["result_hash"],
        manifest=manifest,
        rulebook_hash=BOOK.hash,
    )
    now_ms = store.clock.now_utc_ms()

    def job(connection: Connection) -> int:
        number = enter_run(connection, month=month, kind=kind, who="li", note="", base_run_id=None, now_ms=now_ms)
        begin_run(connection, number, folder.name, now_ms=now_ms)
        finish_run(connection, number, facts, [], now_ms=now_ms)
        return number

    return store.write(job).result()


def _statement(amounts: Amounts, revenue: Revenue, month: Month, status: MonthStatus) -> Statement:
    lines = tuple(_line(key, amount, month) for key, amount in sorted(amounts.items()))
    plants: list[PlantRow] = []
    areas: list[AreaRow] = []
    for area, sold in sorted(revenue.items()):
        earned = {p: sum((n.amount_yuan or Decimal(0) for n in lines if n.plant == p), Decimal("0.00")) for p in sold}
        total = sum(earned.values(), Decimal("0.00"))
        known = {p: Decimal(f) for p, f in sold.items() if f is not None}
        blocked = "" if len(known) == len(sold) else "no_revenue"
        shares = {} if blocked else allocate(total, known)
        state = MonthStatus.BLOCKED if blocked else status
        for plant in sorted(sold):
            share = None if blocked else shares[plant]
            net = None if share is None else earned[plant] - share
            plants.append(
                PlantRow(str(month), area, plant, earned[plant], known.get(plant), share, net, state, blocked)
            )
        whole = None if blocked else sum(known.values(), Decimal(0))
        areas.append(AreaRow(str(month), area, area, total, whole, state, blocked))
    return Statement(
        month=str(month),
        status=status,
        lines=lines,
        plants=tuple(plants),
        areas=tuple(areas),
        determinants=(),
        segments=Segments(_no_segments),
        primary_frequency=(),
        primary_frequency_service=(),
        ledger=tuple(compute_ledger(month, plants)),
        left_on_table=(),
        findings=(),
        readings=(ReadingUse("I-03", "13(3)", "from_lower_limit", "2009-01-01", "both gates", "两条线都须低于"),),
        policy={"hold_limit_s": Decimal(60)},
        rulebook_hash="ab" * 32,
        kernel_version="1",
    )


def _line(key: tuple[str, str, str, str], amount: str | None, month: Month) -> Line:
    area, plant, unit, service = key
    known = amount is not None
    return Line(
        month=str(month),
        area=area,
        plant=plant,
        unit=unit,
        service=service,
        article="13(3)",
        quantity=Fraction(360) if known else None,
        quantity_unit="MWh",
        coverage=Fraction(1) if known else Fraction(1, 3),
        amount_yuan=Decimal(amount) if amount is not None else None,
        status=LineStatus.PAID if known else LineStatus.BLOCKED,
        reason="" if known else "coverage",
    )


def _no_segments(_: frozenset[str] | None) -> Iterator[pa.Table]:
    yield from ()


def _register(revenue: Revenue, companies: Mapping[str, str]) -> str:
    texts = []
    for area, sold in revenue.items():
        texts.append(
            f'[[area]]\nid = "{area}"\nname = "{area}"\ndispatch_mode = "annual_plan"\n'
            'valley_hours = ["00:00-08:00"]\npeak_hours = ["08:00-11:00"]\nhours_filing = "x"\n'
        )
        for plant in sold:
            company = companies.get(plant, f"{area}电力公司")
            texts.append(
                f'[[plant]]\nid = "{plant}"\nname = "{plant}电厂"\narea = "{area}"\nrevenue_basis = "on_grid"\n'
                f"shares = true\nsettles_with = {json.dumps(company, ensure_ascii=False)}\n"
                f'tax_number = "91320000{plant}"\nvat_rate = "0.13"\nbank = "工行 {plant}"\n'
            )
    return "\n".join(texts)


def step(
    store: CenterStore, to: MonthStage, run_id: int | None = None, *, at: int, month: Month = MAY, reason: str = ""
) -> MonthState:
    """One step by li, approved by wang, or by the regulator with a document where it is the regulator's."""
    if to is MonthStage.DISCLOSED and run_id is not None:
        own_files(store, run_id)
    number = store.write(
        lambda c: propose_step(c, month, to, actor=LI, now_ms=at, days=DAYS, run_id=run_id, reason=reason)
    ).result()
    regulators = to in (MonthStage.EFFECTIVE, MonthStage.PUBLISHED)
    document = f"华东监能市场〔2026〕{number}号" if regulators else ""
    approver = REGULATOR if regulators else WANG
    return store.write(
        lambda c: approve_step(c, number, actor=approver, now_ms=at, days=DAYS, document=document)
    ).result()


def take_through(
    store: CenterStore,
    run_id: int,
    *,
    at: tuple[int, int, int, int] | None = None,
    month: Month = MAY,
    reason: str = "",
) -> MonthState:
    """From trial (or correction) to published; `at`: when disclosed, filed, effective, published.

    `reason`: of each step that needs one, as where an area is not final.
    """
    disclosed, filed, effective, published = at or (on(10), on(20), on(22), on(25))
    step(store, MonthStage.DISCLOSED, run_id, at=disclosed, month=month, reason=reason)
    make_filings(store, run_id, actor=LI)
    step(store, MonthStage.FILED, at=filed, month=month, reason=reason)
    step(store, MonthStage.EFFECTIVE, at=effective, month=month)
    return step(store, MonthStage.PUBLISHED, at=published, month=month, reason=reason)
