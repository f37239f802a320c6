# SPDX-License-Identifier: GPL-3.0-or-later
"""Alembic's environment: runs the revisions on the given connection, in its open transaction."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
