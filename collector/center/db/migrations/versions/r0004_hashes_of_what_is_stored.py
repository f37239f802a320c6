# SPDX-License-Identifier: GPL-3.0-or-later
"""Hashes of everything that is stored beside the journal and read again: results, kept files, what pages read.

Rows from before have none: such results are measured again, and what pages read of such a run is made again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Carry it out."""
    for table in ("file_facts", "day_result", "day_segments"):
        op.add_column(table, sa.Column("content_sha256", sa.String(length=64), nullable=True))
    op.add_column("run", sa.Column("page_files", sa.Text(), nullable=True))
    op.create_table(
        "kept_file",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
