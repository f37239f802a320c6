# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of the running center that watch reach the store and the admission by themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path

from collector.center.db.store import CenterStore
from collector.center.lake.seal import seal_month_of
from collector.center.operate.alarms import list_alarms
from collector.center.operate.loops.keys_and_alarms_loop import keep_keys_and_alarms, keep_validating
from collector.center.quality.validation import list_findings
from collector.center.receive.admission import Admission
from collector.model.interval import Month
from tests.center.center_batches import NOON, FixedClock, deliver, new_signer, payload_of, record
from tests.center.quality.validated_days import policy_of, take_register
from tests.center.receive.enrolled_keys import opened, revoke, settings_of, verdict
from tests.patience import until


def test_a_revoked_key_and_a_silent_plant_are_seen_while_the_center_runs(tmp_path: Path) -> None:
    first = new_signer(tmp_path, "first")
    settings = settings_of(tmp_path)
    with opened(tmp_path) as store:
        assert isinstance(store.clock, FixedClock)
        clock = store.clock

        async def watched() -> None:
            admission = Admission.from_settings(settings, clock)
            task = asyncio.create_task(keep_keys_and_alarms(store, settings, admission, every_s=0.01))
            await until(lambda: verdict(admission, first) == "accepted")
            await asyncio.to_thread(revoke, store, first.key_id)
            await until(lambda: verdict(admission, first).startswith("unknown_key"))
            clock.now_ms += 600_000
            await until(lambda: [row["code"] for row in store.read(list_alarms)] == ["plant_silent"])
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(watched())


def test_a_sealed_day_is_validated_by_itself_and_a_file_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        take_register(store)
        deliver(store, [payload_of(1, [record("U1", NOON - 86_400_000), record("U1", NOON, 800_000)])])
        gone, *_ = seal_month_of(store, Month(2026, 3))
        gone.unlink()
        asyncio.run(_validate(store))
        assert [row["found"] for row in store.read(list_findings)] == ["800 MW"]


async def _validate(store: CenterStore) -> None:
    task = asyncio.create_task(keep_validating(store, policy_of, every_s=0.01))
    await until(lambda: bool(store.read(list_findings)))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
