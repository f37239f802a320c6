# SPDX-License-Identifier: GPL-3.0-or-later
"""A run has a row from the moment it is asked for: its state and progress, and why it failed.

Rows from before are of runs that were made; when they were asked for and begun nobody wrote down.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Carry it out."""
    op.add_column("run", sa.Column("state", sa.String(length=16), nullable=True))
    for name in ("asked_ms", "began_ms", "ended_ms"):
        op.add_column("run", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("run", sa.Column("job", sa.String(length=64), nullable=True))
    for name in ("worker", "doing"):
        op.add_column("run", sa.Column(name, sa.String(length=32), nullable=True))
    for name in ("parts_done", "parts"):
        op.add_column("run", sa.Column(name, sa.Integer(), nullable=True))
    for name in ("error", "problems"):
        op.add_column("run", sa.Column(name, sa.Text(), nullable=True))
    op.execute("UPDATE run SET state = 'done', asked_ms = at_ms, ended_ms = at_ms")
    with op.batch_alter_table("run") as table:
        table.alter_column("state", existing_type=sa.String(length=16), nullable=False)
        table.alter_column("asked_ms", existing_type=sa.BigInteger(), nullable=False)
