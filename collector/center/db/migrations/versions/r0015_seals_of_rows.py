# SPDX-License-Identifier: GPL-3.0-or-later
"""Links of the chain of rows are sealed with a key outside of the database, and log-ins are rows of the chain.

Who was logged in logs in again: of a log-in from before nothing tells whether this program wrote it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Carry it out; `store_version` makes the key and seals the links afterwards."""
    op.add_column("store", sa.Column("seal_key_sha256", sa.String(length=64), nullable=True))
    op.add_column("row_seal", sa.Column("mac", sa.String(length=64), nullable=True))
    op.execute("DELETE FROM session")
