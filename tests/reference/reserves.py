# SPDX-License-Identifier: GPL-3.0-or-later
"""Reserve planned in an area beside the least (Art. 10(2)), and when called reserve came (Art. 7(5)(6)). Never money.

A call is answered when the output has risen by the power called, at the latest by the end of the next day.
"""

from __future__ import annotations

from .evidence import held_at
from .model import Folder, ReserveCall
from .register import Register
from .times import HOUR_MS, Span, local_day, local_midnight


def planned_at(folder: Folder, register: Register, area: str, time: int) -> tuple[bool, int | None, int | None]:
    """Whether a row tells of an instant; the reserve planned in an area then, and the least; kW, None where unknown."""
    rows = []
    for row in folder.reserve:
        if row.start <= time < row.end:
            state = register.at(row.unit, time)
            if state is not None and state.area.id == area:
                rows.append(row.power_kw)
    least = [row.power_kw for row in folder.reserve_minimum if row.area == area and row.start <= time < row.end]
    known = [power for power in rows if power is not None]
    absent = "reserve.csv" in folder.absent
    planned = None if absent or len(known) < len(rows) else sum(known)
    return bool(rows or least), planned, least[0] if least else None


def changes(folder: Folder, register: Register, span: Span) -> list[int]:
    """Every instant of the month at which a reserve, a least reserve or a registration begins or ends."""
    times = {span.start, *register.changes(span)}
    times |= {time for row in folder.reserve for time in (row.start, row.end)}
    times |= {time for row in folder.reserve_minimum for time in (row.start, row.end)}
    return sorted(time for time in times if span.start <= time < span.end)


def arrived_ms(folder: Folder, call: ReserveCall, span: Span) -> int | None:
    """From the call to the first record that shows the output risen by it; None where it does not or nobody knows."""
    records = folder.records_of(call.unit)
    before = held_at(records, call.called, folder.policy.hold_ms)
    if before is None or before.active_kw is None or call.power_kw is None:
        return None
    wanted = before.active_kw + call.power_kw
    if before.active_kw >= wanted:
        return 0
    end = min(local_midnight(local_day(local_midnight(local_day(call.called)) + 49 * HOUR_MS)), span.end)
    for record in records.records:
        if call.called < record.time < end and record.active_kw is not None and record.active_kw >= wanted:
            return record.time - call.called
    return None
