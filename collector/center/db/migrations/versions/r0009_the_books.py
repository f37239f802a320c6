# SPDX-License-Identifier: GPL-3.0-or-later
"""The books (Art. 20): what took effect before is posted now, in the order in which it did.

An edition that took the place of another reverses its entries first; an area that was blocked in it leaves them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import text

revision = "0009"
down_revision = "0008"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_COLUMNS = (
    *("entry", "reverses", "month", "edition", "run_id", "area", "plant", "debit_yuan", "credit_yuan", "posted_ms"),
)


def upgrade() -> None:
    """Carry it out."""
    op.create_table(
        "ledger_entry",
        sa.Column("entry", _KEY, autoincrement=False, nullable=False),
        sa.Column("reverses", _KEY, nullable=True),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.Column("run_id", _KEY, nullable=False),
        sa.Column("area", sa.String(length=64), nullable=False),
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("debit_yuan", sa.String(length=32), nullable=False),
        sa.Column("credit_yuan", sa.String(length=32), nullable=False),
        sa.Column("posted_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["reverses"], ["ledger_entry.entry"]),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("entry"),
        sa.UniqueConstraint("reverses"),
    )
    op.create_index("ledger_entry_by_month", "ledger_entry", ["month", "area"])
    op.create_index("ledger_entry_by_plant", "ledger_entry", ["plant", "entry"])
    rows = _posted(op.get_bind())
    if rows:
        names = ", ".join(f":{name}" for name in _COLUMNS)
        op.get_bind().execute(text(f"INSERT INTO ledger_entry ({', '.join(_COLUMNS)}) VALUES ({names})"), rows)
    _guard()


def _posted(connection: Any) -> list[dict[str, Any]]:
    steps = "SELECT month, edition, run_id, at_ms FROM month_step WHERE state = 'effective' ORDER BY at_ms, id"
    scheme = "SELECT * FROM scheme WHERE run_id = :run AND edition = :edition ORDER BY area, plant"
    rows: list[dict[str, Any]] = []
    standing: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def post(step: Any, area: str, plant: str, amounts: tuple[str, str], reverses: int | None = None) -> dict[str, Any]:
        values = (len(rows) + 1, reverses, step.month, step.edition, step.run_id, area, plant, *amounts, step.at_ms)
        rows.append(dict(zip(_COLUMNS, values, strict=True)))
        return rows[-1]

    for step in connection.execute(text(steps)).all():
        plants = connection.execute(text(scheme), {"run": step.run_id, "edition": step.edition}).all()
        blocked = {row.area for row in plants if row.net_yuan is None}
        for month, area in [key for key in standing if key[0] == step.month and key[1] not in blocked]:
            for old in standing.pop((month, area)):
                post(step, area, old["plant"], (old["credit_yuan"], old["debit_yuan"]), old["entry"])
        for row in [row for row in plants if row.area not in blocked]:
            sides = (("", row.plant, row.compensation_yuan), (row.plant, "", row.allocation_yuan))
            for debtor, creditor, amount in sides:
                if Decimal(amount):
                    made = standing.setdefault((step.month, row.area), [])
                    made.append(post(step, row.area, debtor, (amount, "0.00")))
                    made.append(post(step, row.area, creditor, ("0.00", amount)))
    return rows


def _guard() -> None:
    """Refuse every change and removal of an entry."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER ledger_entry_no_{verb.lower()} BEFORE {verb} ON ledger_entry "
                "BEGIN SELECT RAISE(ABORT, 'ledger_entry is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION ledger_entry_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'ledger_entry is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_entry_append_only()"
    )
