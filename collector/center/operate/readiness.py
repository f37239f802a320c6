# SPDX-License-Identifier: GPL-3.0-or-later
"""The readiness of the center: it commits waiting jobs, and has room for it.

/readyz, doctor and the hook report the reasons when it is not ready; none of them needs the store, which may be the
cause.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import urllib.error
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ssl import CERT_NONE, create_default_context
from typing import Any, Final

from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.storage.lake_place import LakePath, ObjectPath, ObjectStoreFault
from collector.center.db.store import CenterStore
from collector.center.db.store_version import store_id_of
from collector.center.db.tables_quality import alarm
from collector.center.operate.webhook import post_event
from collector.center.settings import Alarms, CenterSettings, parse_listen
from collector.model.interval import format_time

WRITER_S: Final = 30.0  # jobs wait and nothing is committed for this long
FULL_BYTES: Final = 32_000_000  # with less room a commit may fail at any moment
ANSWER_S: Final = 2.0  # less than ASK_S, within which doctor expects the answer
LOOK_EVERY_S: Final = 5.0
ASK_S: Final = 3.0
CODE: Final = "center_not_writing"

logger: Final = logging.getLogger("collector.center.operate.readiness")


def why_not_ready(store: CenterStore, *, answer_s: float = ANSWER_S) -> list[str]:
    """The reasons why this process can't commit, in words; empty where it is ready.

    `answer_s`: time limit for the database, which hangs where its disk or its connection does.
    """
    found: list[str] = []
    count, waited_s = store.health.waited()
    if waited_s >= WRITER_S:
        found.append(
            tr("nothing was committed for {seconds:.0f} s, and {count} jobs wait", seconds=waited_s, count=count)
        )
    if store.health.failure:
        found.append(tr("the last commit failed: {failure}", failure=store.health.failure))
    try:
        free = shutil.disk_usage(store.directory).free
        if free < FULL_BYTES:
            found.append(tr("the disk is full: {free:.1f} MB free", free=free / 1e6))
        require_usable(store.lake)
    except ObjectStoreFault as error:
        found.append(tr("{lake}: {reason}; {remedy}", lake=error.subject, reason=error.reason, remedy=error.remedy))
    except OSError as error:
        found.append(tr("{file} can't be used: {strerror}", file=error.filename, strerror=error.strerror))
    try:
        # Read a row: "SELECT 1" is answered without reading the file.
        store.read_within(store_id_of, answer_s)
    except TimeoutError:
        found.append(tr("the store does not answer within {seconds:g} s", seconds=answer_s))
    except (DBAPIError, StoreError) as error:
        found.append(tr("the store does not answer: {error}", error=getattr(error, "orig", error)))
    return found


def require_usable(lake: LakePath) -> None:
    """Check that the lake, where there is one yet, can be read and written.

    Raises:
        OSError: it can't.
        ObjectStoreFault: it does not.
    """
    if isinstance(lake, ObjectPath):
        lake.probe()
        return
    with suppress(FileNotFoundError), os.scandir(lake):
        if not os.access(lake, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(lake))


async def keep_telling_troubles(
    store: CenterStore,
    settings: CenterSettings,
    *,
    post: Callable[[Alarms, Mapping[str, Any]], None] = post_event,
    look_every_s: float = LOOK_EVERY_S,
) -> None:
    """Log and post when the center can't commit, and when it can again, until cancelled."""
    since_ms: int | None = None
    while True:
        words = "; ".join(await asyncio.to_thread(why_not_ready, store))
        now_ms = store.clock.now_utc_ms()
        if words and since_ms is None:
            since_ms = now_ms
            logger.error("%s: %s", CODE, words)
            await asyncio.to_thread(_post, settings, post, {"event": "raised", "text": words, "since": since_ms})
        elif not words and since_ms is not None:
            logger.warning("%s: over", CODE)
            over = {"event": "cleared", "text": "", "since": since_ms, "until": now_ms}
            await asyncio.to_thread(_post, settings, post, over)
            store.write(lambda c, begun=since_ms, ended=now_ms: _note(c, begun, ended))  # type: ignore[misc]
            since_ms = None
        await asyncio.sleep(look_every_s)


def _post(settings: CenterSettings, post: Callable[[Alarms, Mapping[str, Any]], None], event: dict[str, Any]) -> None:
    if not settings.alarms.webhook_url:
        return
    times = {name: format_time(event[name]) for name in ("since", "until") if name in event}
    try:
        post(settings.alarms, {"center": settings.center.id, "code": CODE, "subject": "center"} | event | times)
    except (OSError, urllib.error.URLError, ValueError) as error:
        logger.warning("webhook: %s", error)


def _note(connection: Connection, since_ms: int, until_ms: int) -> None:
    """Store the alarm once writing works again; the hook has received it already."""
    values = {"code": CODE, "subject": "center", "since_ms": since_ms, "until_ms": until_ms}
    values |= {"text": "nothing could be committed", "raised_sent_ms": since_ms, "cleared_sent_ms": until_ms}
    connection.execute(insert(alarm).values(values))


def ask_running_center(settings: CenterSettings) -> str | None:
    """The answer of the center running on this machine: "" where it is ready; None where none answers."""
    if not settings.center.listen:
        return None
    host, port = parse_listen(settings.center.listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection: HTTPConnection = HTTPConnection(host, port, timeout=ASK_S)
    if settings.web.cert_file:
        context = create_default_context()  # the certificate need not name this address of the same machine
        context.check_hostname, context.verify_mode = False, CERT_NONE
        connection = HTTPSConnection(host, port, timeout=ASK_S, context=context)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.read(2000).decode("utf-8", "replace").strip() if answer.status == 503 else ""
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
