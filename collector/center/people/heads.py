# SPDX-License-Identifier: GPL-3.0-or-later
"""The heads of the store's chains, in the form given to people who may check the store against them later."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, func, select

from collector.center.db.seals import sealed_rows
from collector.center.db.tables_month import month_step
from collector.center.db.tables_receive import row_seal
from collector.center.db.tables_receive import store as store_table
from collector.center.people import audit
from collector.model.interval import format_time

STEP_FIELDS: Final = ("edition", "state", "run_id", "result_hash")


def anchor_of(connection: Connection) -> dict[str, Any]:
    """The heads of both chains and the state of each month, as JSON values.

    These are store, sequence and hash of the last audit entry and of the last link of the chain of rows, and each
    month's step with its result. `at`: when the last link was made.
    """
    months: dict[str, Any] = {}
    for row in connection.execute(select(month_step).order_by(month_step.c.number)).mappings():
        months[row["month"]] = {name: row[name] for name in STEP_FIELDS}
    return {
        "store_id": connection.execute(select(store_table.c.store_id)).scalar_one(),
        "at": format_time(int(connection.execute(select(func.max(row_seal.c.at_ms))).scalar() or 0)),
        "audit": list(audit.head(connection)),
        "rows": list(sealed_rows.head(connection)),
        "months": months,
    }
