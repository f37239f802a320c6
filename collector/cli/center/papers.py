# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector center filings|bills|decisions|audit`: the documents of a month, and the decisions with their people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from collector.base.text import tr
from collector.cli.center.inputs import WhoOption
from collector.cli.center.screen import MonthArgument, actor_of, parse_month, show_rows, time_text, to_json
from collector.cli.center.store import ConfigOption, JsonOption, StateOption, open_store
from collector.cli.language import heads, print_text, say

OutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Write the documents into this folder.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("filings")(filings)
    app.command("bills")(bills)
    app.command("account")(account)
    app.command("summary")(summary)
    app.command("decisions")(decisions)
    app.command("audit")(audit_log)


def filings(
    month: MonthArgument,
    make: Annotated[int | None, typer.Option("--make", metavar="RUN", help="Make them of this run first.")] = None,
    out: OutOption = None,
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
    who: WhoOption = "",
) -> None:
    """What is filed with the regulator: detail, allocation, settlement scheme. 报送文件。"""
    from collector.center.papers.filings import hand_out_filing, list_filings, make_filings

    wanted, actor = parse_month(month), actor_of(who)
    with open_store(config, state) as store:
        if make is not None:
            make_filings(store, make, actor=actor)
        found = store.read(lambda c: list_filings(c, wanted, actor=actor))
        if out is not None:
            now_ms = store.clock.now_utc_ms()
            for each in found:
                _, file = store.write(
                    lambda c, n=each.id: hand_out_filing(c, n, actor=actor, now_ms=now_ms)  # type: ignore[misc]
                ).result()
                _write(out, file.name, file.data)
    rows = [
        (
            *(f.id, f.edition, f.run_id, f.name, f.format, f.sha256[:16]),
            *(time_text(f.made_ms), time_text(f.filed_ms), f.approval_document),
        )
        for f in found
    ]
    names = heads("id", "edition", "run", "name", "format", "SHA-256", "made", "filed", "document")
    show_rows(tr("{month}: filings", month=month), names, rows, as_json=as_json)


def bills(
    month: MonthArgument,
    to_month: Annotated[
        bool, typer.Option("--carried-to", help="MONTH is the month of the electricity bill, not the settled one.")
    ] = False,
    out: OutOption = None,
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
    who: WhoOption = "",
) -> None:
    """What is carried to the next month's electricity bill (Art. 24). 结转电费。"""
    from collector.center.papers.bill_documents import bill_csv, bill_json, bill_xlsx
    from collector.center.papers.bills import bills_carried_to, bills_of

    wanted, actor = parse_month(month), actor_of(who)
    with open_store(config, state) as store:
        pick = bills_carried_to if to_month else bills_of
        found = store.read(lambda c: pick(c, wanted, actor=actor))
    if out is not None:
        stem = f"bill-{'to-' if to_month else ''}{month}"
        _write(out, f"{stem}.csv", bill_csv(found))
        _write(out, f"{stem}.json", bill_json(found))
        _write(out, f"{stem}.xlsx", bill_xlsx(found, title=f"辅助服务补偿结算 {month}"))
    if as_json:
        print(bill_json(found).decode())
        return
    rows = [
        (
            *(str(b.month), b.edition, str(b.bill_month), b.carry.plant, b.carry.counterparty),
            *(b.carry.direction, b.carry.amount_yuan),
        )
        for b in found
    ]
    names = heads("month", "edition", "bill", "plant", "with", "direction", "yuan")
    show_rows(tr("{month}: bills", month=month), names, rows)


def account(
    plant: Annotated[str, typer.Argument(metavar="PLANT", help="Its entries; default: the balance of all.")] = "",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the entries as account.csv.")] = None,
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
    who: WhoOption = "",
) -> None:
    """The account of a plant over all months and editions, posted when a result takes effect (Art. 20). 电厂台账。"""
    from collector.center.papers.books import ACCOUNT_COLUMNS, account_cells, account_csv, accounts_of

    actor = actor_of(who)
    with open_store(config, state) as store:
        found = store.read(lambda c: accounts_of(c, actor=actor, plant=plant))
    if out is not None:
        out.write_bytes(account_csv(found))
    if not plant:
        balances = [(each.plant, len(each.rows), each.closing_yuan) for each in found]
        show_rows(tr("accounts"), heads("plant", "entries", "balance_yuan"), balances, as_json=as_json)
        return
    rows = [tuple(account_cells(row)[name] for name in ACCOUNT_COLUMNS) for each in found for row in each.rows]
    show_rows(tr("{plant}: account", plant=plant), ACCOUNT_COLUMNS, rows, as_json=as_json)


def summary(
    year: Annotated[int, typer.Argument(metavar="YEAR", help="Of the settled months.", min=1970, max=9999)],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it as summary.csv.")] = None,
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
    who: WhoOption = "",
) -> None:
    """The regulator's summary of what is in effect: by month, quarter and year (Art. 10(6)). 季度、年度汇总。"""
    from collector.center.papers.summaries import summary_of_year
    from collector.report.numbers import format_fraction
    from collector.report.summary import SUMMARY_COLUMNS, summary_csv

    actor = actor_of(who)
    with open_store(config, state) as store:
        months, found = summary_of_year(store, year, actor=actor)
    if out is not None:
        out.write_bytes(summary_csv(found))
    rows = [
        (s.period, s.area, s.service, s.compensation_yuan, s.allocation_yuan, s.units, format_fraction(s.share))
        for s in found
    ]
    title = tr("summary of {months}", months=", ".join(map(str, months)) or tr("no month"))
    show_rows(title, SUMMARY_COLUMNS, rows, as_json=as_json)


def decisions(
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the register as CSV.")] = None,
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
    who: WhoOption = "",
) -> None:
    """The register of decisions: approvals, rulings, readings adopted. 决定登记。"""
    from collector.center.month.decisions import decisions_csv, list_decisions

    actor = actor_of(who)
    with open_store(config, state) as store:
        found = store.read(lambda c: list_decisions(c, actor=actor))
    if out is not None:
        out.write_bytes(decisions_csv(found))
    names = heads("at", "kind", "subject", "outcome", "prepared", "decided", "document", "text", "office")
    rows = [
        (time_text(d.at_ms), d.kind, d.subject, d.outcome, d.prepared_by, d.decided_by, d.document, d.text, d.office)
        for d in found
    ]
    show_rows(tr("register of decisions"), names, rows, as_json=as_json)


def audit_log(
    verify: Annotated[bool, typer.Option("--verify", help="Recompute the chain; exit 1 where it is broken.")] = False,
    subject: Annotated[str, typer.Option("--subject", help="A month, `review 3`, `import 7` …")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 50,
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
) -> None:
    """The audit log and its head; every change and every disclosure is in it. 审计日志。"""
    from collector.center.people import audit

    with open_store(config, state) as store:
        sequence, head = store.read(audit.head)
        wrong = store.read(audit.verify) if verify else []
        entries = [] if verify else store.read(lambda c: audit.list_entries(c, limit=limit, subject=subject))
    if as_json and not verify:
        print(to_json(entries))
        return
    if not verify:
        rows = [
            (e["sequence"], time_text(e["at_ms"]), _who(e), e["role"], e["action"], e["subject"], e["hash"][:12])
            for e in entries
        ]
        show_rows(tr("audit log"), heads("no", "at", "who", "role", "action", "subject", "hash"), rows)
    print_text("head: {sequence} {head}", sequence=sequence, head=head)
    if verify:
        for line in wrong or [tr("all {count} entries are as they were written", count=sequence)]:
            print(say(line))
    if wrong:
        raise typer.Exit(1)


def _who(entry: Mapping[str, Any]) -> str:
    login = entry["detail"].get("login")
    return tr("{who} (as {login})", who=entry["who"], login=login) if login else str(entry["who"])


def _write(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    print(folder / name)
