# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports put in by bites and published at the end; the list of records that lost their instant, with each look."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Carry it out. All imports there are were published when they were taken."""
    published = sa.Column("published_ms", sa.BigInteger(), nullable=True)
    longest_ms = sa.Column("longest_ms", sa.BigInteger(), nullable=True)
    if op.get_bind().dialect.name == "sqlite":
        # It reads a row from its start: behind the bytes of a file a column would cost all of them.
        with op.batch_alter_table("imported", recreate="always") as table:
            table.add_column(published, insert_after="replaced")
            table.add_column(longest_ms, insert_after="undone_by")
    else:
        op.add_column("imported", published)
        op.add_column("imported", longest_ms)
    longest = "SELECT coalesce(max(end_ms - start_ms), 0) FROM imported_row WHERE import_id = imported.id"
    op.execute(f"UPDATE imported SET published_ms = at_ms, longest_ms = ({longest})")
    with op.batch_alter_table("imported") as table:
        table.alter_column("longest_ms", existing_type=sa.BigInteger(), nullable=False)
    op.drop_column("imported_row", "undone")
    op.add_column("lake_file", sa.Column("others", sa.String(length=200), nullable=True))
    op.add_column("validated_day", sa.Column("others", sa.String(length=200), nullable=True))
    op.execute("UPDATE validated_day SET others = ''")
    with op.batch_alter_table("validated_day") as table:
        table.alter_column("others", existing_type=sa.String(length=200), nullable=False)
