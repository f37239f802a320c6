# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of people: accounts, sessions, proposals and decisions, and the audit log."""

from __future__ import annotations

from typing import Final

from sqlalchemy import DDL, BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text, event
from sqlalchemy.schema import ExecutableDDLElement

from collector.center.db.tables_receive import metadata as metadata

_Key = BigInteger().with_variant(Integer(), "sqlite")

# `plant`: the user's plant, for the role plant only. A name is never given to another person, so rows stay.
account: Final = Table(
    "account",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("full_name", String(128), nullable=False),
    Column("role", String(32), nullable=False),
    Column("plant", String(64), nullable=True),
    Column("password_hash", String(255), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("disabled_ms", BigInteger, nullable=True),
    # The second factor: its key in base32, None without one; the latest time step with a used code.
    Column("totp_key", String(64), nullable=True),
    Column("totp_step", BigInteger, nullable=True),
)

# For a lost device of the second factor: each code is good for one log-in.
recovery_code: Final = Table(
    "recovery_code",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("code_sha256", String(64), primary_key=True),
    Column("used_ms", BigInteger, nullable=True),
)

# Only the SHA-256 of the cookie's secret is kept: a reader of the store can't use a session.
session: Final = Table(
    "session",
    metadata,
    Column("secret_sha256", String(64), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)

# For programs: the account's rights within `scope` (names separated by blanks); the secret is shown once, when made.
token: Final = Table(
    "token",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("name", String(64), nullable=False),
    Column("scope", String(128), nullable=False),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger, nullable=True),
)

# Failed log-ins of the last hours, by name and by address; in the store, so that all processes count together.
login_failure: Final = Table(
    "login_failure",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("address", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("login_failure_by_name", "name", "at_ms"),
    Index("login_failure_by_address", "address", "at_ms"),
)

# A submitted form of a page, by the SHA-256 of its key, kept for a day (`people/sent_forms.py`). `led_to`: the
# address of its result; empty while it is processed.
sent_form: Final = Table(
    "sent_form",
    metadata,
    Column("key_sha256", String(64), primary_key=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("led_to", Text, nullable=False),
)

# Prepared by one person, decided by another. `content`: JSON object of the kind; `decision`: granted or refused.
proposal: Final = Table(
    "proposal",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("content", Text, nullable=False),
    Column("prepared_by", String(64), nullable=False),
    Column("prepared_ms", BigInteger, nullable=False),
    Column("decision", String(16), nullable=True),
    Column("decided_by", String(64), nullable=True),
    Column("decided_ms", BigInteger, nullable=True),
    Column("note", Text, nullable=False),
    Column("document", String(255), nullable=False),
    Index("proposal_by_subject", "kind", "subject"),
)
# Of two identical proposals made at once, one is refused.
_open: Final = proposal.c.decision.is_(None)
Index("proposal_open", proposal.c.kind, proposal.c.subject, unique=True, sqlite_where=_open, postgresql_where=_open)

# `hash` is over the row and the hash before it (collector/center/people/audit.py). Sequences have no holes.
audit: Final = Table(
    "audit",
    metadata,
    Column("sequence", _Key, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", String(64), nullable=False),
    Column("role", String(32), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_by_subject", "subject"),
)

# The chain shows a change; these triggers refuse it, from any connection.
AUDIT_GUARDS: Final = {
    "sqlite": tuple(
        f"CREATE TRIGGER IF NOT EXISTS audit_no_{verb.lower()} BEFORE {verb} ON audit "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$",
        "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()",
    ),
}
for _dialect, _statements in AUDIT_GUARDS.items():
    for _statement in _statements:
        _guard: ExecutableDDLElement = DDL(_statement)  # type: ignore[no-untyped-call]
        event.listen(audit, "after_create", _guard.execute_if(dialect=_dialect))
