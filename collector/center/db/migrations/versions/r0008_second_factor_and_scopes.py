# SPDX-License-Identifier: GPL-3.0-or-later
"""An account may have a second factor and its recovery codes; a token has a scope.

Tokens from before had every right of their account, so their scope names everything.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
_EVERYTHING = "read import settle prepare approve review regulate administer"


def upgrade() -> None:
    """Carry it out."""
    op.add_column("account", sa.Column("totp_key", sa.String(length=64), nullable=True))
    op.add_column("account", sa.Column("totp_step", sa.BigInteger(), nullable=True))
    op.create_table(
        "recovery_code",
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("code_sha256", sa.String(length=64), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.PrimaryKeyConstraint("account_id", "code_sha256"),
    )
    op.add_column("token", sa.Column("scope", sa.String(length=128), nullable=True))
    op.execute(f"UPDATE token SET scope = '{_EVERYTHING}'")
    with op.batch_alter_table("token") as table:
        table.alter_column("scope", existing_type=sa.String(length=128), nullable=False)
