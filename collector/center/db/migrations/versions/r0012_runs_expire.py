# SPDX-License-Identifier: GPL-3.0-or-later
"""When a run expired: its files go then, its row stays."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Carry it out."""
    op.add_column("run", sa.Column("expired_ms", sa.BigInteger(), nullable=True))
