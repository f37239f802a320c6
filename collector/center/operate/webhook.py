# SPDX-License-Identifier: GPL-3.0-or-later
"""Alarms posted to another program, each once, in order, as JSON, whatever the number of receivers.

A failing hook is tried again with growing delay; an event it does not accept within a day is dropped. Only this task
waits for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any, Final

from collector.base.backoff import backoff_s
from collector.base.redirects import NoRedirect
from collector.center.db.store import CenterStore
from collector.center.operate.alarms import events_to_send, mark_sent
from collector.center.settings import Alarms
from collector.model.interval import DAY_MS

BACKOFF_START_S: Final = 10.0
BACKOFF_MAX_S: Final = 600.0
LOOK_EVERY_S: Final = 5.0
EVENTS_AT_ONCE: Final = 50

logger: Final = logging.getLogger("collector.center.operate.webhook")


def post_event(limits: Alarms, event: Mapping[str, Any]) -> None:
    """Post one event.

    Raises:
        OSError: no answer in time, or an error answer.
    """
    body = json.dumps(event, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    request = urllib.request.Request(limits.webhook_url, data=body, headers=headers, method="POST")
    opener = urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(request, timeout=limits.webhook_timeout_s) as answer:
            answer.read(1)
    except HTTPException as error:
        raise OSError(str(error)) from error


async def keep_telling(
    store: CenterStore,
    limits: Alarms,
    *,
    center: str,
    post: Callable[[Alarms, Mapping[str, Any]], None] = post_event,
    look_every_s: float = LOOK_EVERY_S,
    backoff_start_s: float = BACKOFF_START_S,
) -> None:
    """Send new events to the hook, until cancelled; does nothing without a hook."""
    if not limits.webhook_url:
        await asyncio.Event().wait()
    failures = 0
    while True:
        try:
            await asyncio.to_thread(tell_once, store, limits, center, post)
            failures = 0
            await asyncio.sleep(look_every_s)
        except (OSError, urllib.error.URLError, ValueError) as error:
            rest_s = backoff_s(failures, backoff_start_s, BACKOFF_MAX_S)
            logger.warning("webhook: %s; tried again in %.0f s", error, rest_s)
            await asyncio.sleep(rest_s)
            failures += 1


def tell_once(
    store: CenterStore, limits: Alarms, center: str, post: Callable[[Alarms, Mapping[str, Any]], None]
) -> None:
    """Send new events to the hook, unless another process is doing it.

    Raises:
        OSError: it did not accept an event.
    """
    # Of several receivers one sends at a time, and records its events before the next one looks.
    with store.hold("webhook", wait=False) as held:
        if not held:
            return
        now_ms = store.clock.now_utc_ms()
        events = store.read(lambda c: events_to_send(c, since_ms=now_ms - DAY_MS, limit=EVENTS_AT_ONCE))
        for event in events:
            post(limits, {"center": center} | event)
            store.write(lambda c, e=event: mark_sent(c, e, now_ms=now_ms)).result()  # type: ignore[misc]
