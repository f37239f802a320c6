# SPDX-License-Identifier: GPL-3.0-or-later
"""How many bytes of each stream are kept, so that what a plant uses is known without a walk through its batches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Carry it out."""
    op.add_column("stream", sa.Column("kept_bytes", sa.BigInteger(), nullable=True))
    kept = "SELECT COALESCE(SUM(LENGTH(payload.bytes)), 0) FROM payload WHERE payload.stream_id = stream.id"
    op.execute(f"UPDATE stream SET kept_bytes = ({kept})")
    with op.batch_alter_table("stream") as table:
        table.alter_column("kept_bytes", existing_type=sa.BigInteger(), nullable=False)
