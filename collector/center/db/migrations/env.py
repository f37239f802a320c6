# SPDX-License-Identifier: GPL-3.0-or-later
"""What Alembic runs around the revisions: on the connection it is given, in the transaction that is open on it."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
