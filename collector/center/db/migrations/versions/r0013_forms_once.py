# SPDX-License-Identifier: GPL-3.0-or-later
"""Which forms were sent, so that none is carried out twice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Carry it out."""
    op.create_table(
        "sent_form",
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("led_to", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key_sha256"),
    )
    op.create_index("ix_sent_form_at_ms", "sent_form", ["at_ms"])
