# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain of hashes of the rows that decisions, imports and runs stand in; it begins with the rows as they are now.

Beside it the store says how far payloads were let go of; of an older store nobody knows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import text

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Carry it out; `store_version` seals the rows afterwards, whatever the revision was that changed them."""
    op.add_column("store", sa.Column("payloads_before_ms", sa.BigInteger(), nullable=True))
    op.get_bind().execute(text("UPDATE store SET payloads_before_ms = (SELECT MAX(received_ms) + 1 FROM batch)"))
    op.create_table(
        "row_seal",
        sa.Column(
            "sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("before", sa.String(length=64), nullable=False),
        sa.Column("after", sa.String(length=64), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_index("row_seal_by_row", "row_seal", ["name", "key"])
