# SPDX-License-Identifier: GPL-3.0-or-later
"""The settlement scheme holds what a bill says of a plant's VAT (Art. 24); nothing was known of it before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Carry it out."""
    for name, length in (("tax_number", 255), ("vat_rate", 32), ("bank", 255)):
        op.add_column("scheme", sa.Column(name, sa.String(length=length), nullable=True))
