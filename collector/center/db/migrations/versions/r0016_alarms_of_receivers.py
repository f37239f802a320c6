# SPDX-License-Identifier: GPL-3.0-or-later
"""When any receiver last saw what an alarm tells of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Carry it out; of one that stands nobody knows, so it counts as seen when it was raised."""
    op.add_column("alarm", sa.Column("seen_ms", sa.BigInteger(), nullable=True))
    op.execute("UPDATE alarm SET seen_ms = since_ms WHERE standing = 1")
