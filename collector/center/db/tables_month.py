# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of a month's work: its steps, filings, questions and reviews. Rows are only ever added.

The latest step is the state of a month; the latest event is the state of a review or a question. No column repeats it.
Amounts and quantities are decimals as text.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
)
from sqlalchemy.sql.ddl import ExecutableDDLElement

from collector.center.db.tables_receive import metadata as metadata

_Key = BigInteger().with_variant(Integer(), "sqlite")

# `number` counts the steps of a month, so that of two taken at once only one can be written. `prepared_by` and
# `approved_by` are two people; one and the same where a step is automatic (the first review). `result_hash`: of
# the run, when the step was taken.
month_step: Final = Table(
    "month_step",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("month", String(7), nullable=False),
    Column("number", Integer, nullable=False),
    Column("edition", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("run_id", ForeignKey("run.id"), nullable=False, index=True),
    Column("result_hash", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("prepared_by", String(64), nullable=False),
    Column("approved_by", String(64), nullable=False),
    Column("proposal_id", ForeignKey("proposal.id"), nullable=True),
    Column("reason", Text, nullable=False),
    Column("document", String(255), nullable=False),
    UniqueConstraint("month", "number"),
)

# A document made from a run for the regulator. `name`: detail, allocation or scheme; `format`: csv or xlsx.
filing: Final = Table(
    "filing",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("month", String(7), nullable=False),
    Column("edition", Integer, nullable=False),
    Column("run_id", ForeignKey("run.id"), nullable=False),
    Column("name", String(16), nullable=False),
    Column("format", String(8), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("made_by", String(64), nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
    UniqueConstraint("run_id", "edition", "name", "format"),
    Index("filing_by_month", "month", "edition"),
)

# The rows of the filed settlement scheme: bills take their amounts from here. Amounts are empty where an area is
# blocked.
scheme: Final = Table(
    "scheme",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("run_id", ForeignKey("run.id"), nullable=False),
    Column("edition", Integer, nullable=False),
    Column("area", String(64), nullable=False),
    Column("plant", String(64), nullable=False),
    Column("plant_name", String(255), nullable=False),
    Column("counterparty", String(255), nullable=False),
    Column("compensation_yuan", String(32), nullable=False),
    Column("revenue_yuan", String(32), nullable=True),
    Column("allocation_yuan", String(32), nullable=True),
    Column("net_yuan", String(32), nullable=True),
    Column("status", String(16), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("tax_number", String(255), nullable=True),
    Column("vat_rate", String(32), nullable=True),
    Column("bank", String(255), nullable=True),
    UniqueConstraint("run_id", "edition", "area", "plant"),
)

# The account (Art. 20): postings of results that took effect, numbered without a gap. `plant` is empty on the side of
# an area's pool; `reverses`: the entry that this one cancels; `edition` and `run_id`: of the result that was posted.
ledger_entry: Final = Table(
    "ledger_entry",
    metadata,
    Column("entry", _Key, primary_key=True, autoincrement=False),
    Column("reverses", ForeignKey("ledger_entry.entry"), nullable=True, unique=True),
    Column("month", String(7), nullable=False),
    Column("edition", Integer, nullable=False),
    Column("run_id", ForeignKey("run.id"), nullable=False),
    Column("area", String(64), nullable=False),
    Column("plant", String(64), nullable=False),
    Column("debit_yuan", String(32), nullable=False),
    Column("credit_yuan", String(32), nullable=False),
    Column("posted_ms", BigInteger, nullable=False),
    Index("ledger_entry_by_month", "month", "area"),
    Index("ledger_entry_by_plant", "plant", "entry"),
)

# A request to review (复核申请) a line and an interval, as it was made. `line_value`: the run's value of the claimed
# line, empty where it has none; days are local dates.
review: Final = Table(
    "review",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("month", String(7), nullable=False),
    Column("edition", Integer, nullable=False),
    Column("run_id", ForeignKey("run.id"), nullable=False),
    Column("area", String(64), nullable=False),
    Column("plant", String(64), nullable=False),
    Column("unit", String(64), nullable=False),
    Column("service", String(64), nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("claim_kind", String(16), nullable=False),
    Column("claim_value", String(32), nullable=False),
    Column("claim_unit", String(16), nullable=False),
    Column("line_value", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("submitted_by", String(64), nullable=False),
    Column("submitted_ms", BigInteger, nullable=False),
    Column("deadline_day", String(10), nullable=False),
    Column("late", Boolean, nullable=False),
    Column("answer_due_day", String(10), nullable=False),
    Index("review_by_month", "month", "plant"),
)

# The events of a review, numbered. `link_import_id`, `link_run_id`: the import and run that carry out a granted one.
review_event: Final = Table(
    "review_event",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("review_id", ForeignKey("review.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("document", String(255), nullable=False),
    Column("answer_due_day", String(10), nullable=True),
    Column("proposal_id", ForeignKey("proposal.id"), nullable=True),
    Column("link_import_id", ForeignKey("imported.id"), nullable=True),
    Column("link_run_id", ForeignKey("run.id"), nullable=True),
    UniqueConstraint("review_id", "number"),
)

# `purpose`: evidence (a document shown) or remedy (a file of `input_kind`, imported if the review is granted).
attachment: Final = Table(
    "attachment",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("review_id", ForeignKey("review.id"), nullable=False, index=True),
    Column("purpose", String(16), nullable=False),
    Column("input_kind", String(32), nullable=False),
    Column("name", String(160), nullable=False),
    Column("media_type", String(128), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("added_by", String(64), nullable=False),
    Column("added_ms", BigInteger, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
    UniqueConstraint("review_id", "purpose", "sha256"),
)

# A question about a unit's day, before its month was disclosed (问询), or by the regulator at any time. `service` is
# empty for the whole day, `role` is the asker's; the day is local.
early_question: Final = Table(
    "early_question",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("month", String(7), nullable=False),
    Column("plant", String(64), nullable=False),
    Column("unit", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("service", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("asked_by", String(64), nullable=False),
    Column("asked_ms", BigInteger, nullable=False),
    Index("early_question_by_month", "month", "plant"),
)

# The events of a question, numbered. `review_id`: the review it became.
question_event: Final = Table(
    "question_event",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("question_id", ForeignKey("early_question.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("review_id", ForeignKey("review.id"), nullable=True),
    UniqueConstraint("question_id", "number"),
)

APPEND_ONLY: Final = (
    *(month_step, filing, scheme, ledger_entry, review, review_event, attachment),
    *(early_question, question_event),
)


def append_only_guards(name: str) -> dict[str, tuple[str, ...]]:
    """Statements by dialect that make a table refuse every update and delete, from any connection."""
    message = f"{name} is append-only"
    return {
        "sqlite": tuple(
            f"CREATE TRIGGER IF NOT EXISTS {name}_no_{verb.lower()} BEFORE {verb} ON {name} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
            for verb in ("UPDATE", "DELETE")
        ),
        "postgresql": (
            f"CREATE OR REPLACE FUNCTION {name}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$",
            f"CREATE TRIGGER {name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {name} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {name}_append_only()",
        ),
    }


MONTH_GUARDS: Final = {table.name: append_only_guards(table.name) for table in APPEND_ONLY}
for _table in APPEND_ONLY:
    for _dialect, _statements in MONTH_GUARDS[_table.name].items():
        for _statement in _statements:
            _guard: ExecutableDDLElement = DDL(_statement)  # type: ignore[no-untyped-call]
            event.listen(_table, "after_create", _guard.execute_if(dialect=_dialect))
