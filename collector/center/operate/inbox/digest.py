# SPDX-License-Identifier: GPL-3.0-or-later
"""The daily digest of waiting tasks: by mail to each named account, and as one JSON post. Off unless configured.

A person without tasks gets no mail. Each digest is in the audit log, so that with several processes, or after a
restart, each person still gets one a day. A failing mail server is tried again with back-off.
"""

from __future__ import annotations

import asyncio
import json
import logging
import smtplib
import urllib.error
import urllib.request
from datetime import date, datetime
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path
from typing import Final

from collector.base.backoff import backoff_s
from collector.base.errors import ConfigError
from collector.base.redirects import NoRedirect
from collector.base.text import into, tr
from collector.center.db.store import CenterStore
from collector.center.operate.inbox.tasks import KIND_WORDS, WaitingTask, tasks_of
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.center.people.accounts import list_accounts
from collector.center.runs.rulebooks import duty_days, rulebook_path
from collector.center.settings import CenterSettings, Digest
from collector.model.interval import format_time, local_day

SENT: Final = "digest.send"
LOOK_EVERY_S: Final = 60.0
_BACKOFF_START_S: Final = 60.0
_BACKOFF_MAX_S: Final = 3600.0

logger: Final = logging.getLogger("collector.center.operate.inbox.digest")


async def keep_digesting(store: CenterStore, settings: CenterSettings, *, look_every_s: float = LOOK_EVERY_S) -> None:
    """Send the digest once a day, until cancelled; does nothing where no time of day is set."""
    if not settings.digest.at:
        await asyncio.Event().wait()
    failures = 0
    while True:
        try:
            await asyncio.to_thread(digest_once, store, settings)
            failures = 0
            await asyncio.sleep(look_every_s)
        except (OSError, smtplib.SMTPException, urllib.error.URLError) as error:
            rest_s = backoff_s(failures, _BACKOFF_START_S, _BACKOFF_MAX_S)
            logger.warning("digest: %s; tried again in %.0f s", error, rest_s)
            await asyncio.sleep(rest_s)
            failures += 1


def digest_once(store: CenterStore, settings: CenterSettings) -> int:
    """Send the digest to people without one today, once it is time; returns their number.

    Raises:
        OSError: mail server or hook did not accept it.
        SMTPException: the mail server refused it.
    """
    now_ms = store.clock.now_utc_ms()
    today, digest, told = local_day(now_ms), settings.digest, 0
    if format_time(now_ms)[11:16] < digest.at:
        return 0
    with store.hold("digest", wait=False) as held:
        if not held:
            return 0
        for name, address, waiting in _to_tell(store, settings, today, now_ms):
            if address:
                _mail(digest, settings.center.id, name, address, waiting, now_ms)
            if digest.webhook_url:
                _post(digest, settings.center.id, name, waiting, today)
            _note(store, today, name, len(waiting), now_ms)
            told += 1
    return told


def _to_tell(
    store: CenterStore, settings: CenterSettings, today: date, now_ms: int
) -> list[tuple[str, str, list[WaitingTask]]]:
    """Account, address and tasks of people with tasks and without a digest today."""
    try:
        days = duty_days(rulebook_path(settings))
    except ConfigError:
        days = None
    accounts = {row["name"]: row for row in store.read(list_accounts) if row["disabled_ms"] is None}
    found = []
    for each in settings.digest.to:
        row = accounts.get(each.account)
        if row is None:
            logger.warning("digest: there is no account %s", each.account)
            continue
        if store.read(lambda c, name=each.account: audit.list_entries(c, subject=_subject(today, name), limit=1)):  # type: ignore[misc]
            continue
        actor = Actor(row["name"], Role(row["role"]), row["plant"])
        waiting = store.read(lambda c, who=actor: tasks_of(c, who, days, now_ms))  # type: ignore[misc]
        if waiting:
            found.append((each.account, each.address, waiting))
    return found


def _subject(today: date, name: str) -> str:
    return f"digest {today} {name}"


def _note(store: CenterStore, today: date, name: str, count: int, now_ms: int) -> None:
    center, subject = Actor.at_command_line("center"), _subject(today, name)
    store.write(
        lambda c: audit.append(c, actor=center, action=SENT, subject=subject, detail={"tasks": count}, now_ms=now_ms)
    ).result()


def _paragraph(digest: Digest, task: WaitingTask, today: date) -> str:
    """A task as a mail tells it: what is to be done, due when, and where."""
    lines: list[str] = [tr("{kind}: {task}", kind=KIND_WORDS[task.kind], task=task.text)]
    if task.due is not None and task.is_late(today):
        lines.append(tr("due {day}, {count} days late", day=task.due, count=(today - task.due).days))
    elif task.due is not None:
        lines.append(tr("due {day}", day=task.due))
    if digest.url:
        lines.append(digest.url + task.path)
    return "\n".join(str(into(line, digest.language)) for line in lines)


def _mail(digest: Digest, center: str, name: str, address: str, waiting: list[WaitingTask], now_ms: int) -> None:
    message, today = EmailMessage(), local_day(now_ms)
    message["From"], message["To"] = digest.sender, address
    message["Subject"] = str(into(tr("{center}: tasks that wait for {name}: {count}", center=center, count=len(waiting),
                                     name=name), digest.language))  # fmt: skip
    # A server of one's own adds neither, and mail without them is taken for junk.
    message["Date"] = datetime.fromisoformat(format_time(now_ms))
    message["Message-ID"] = make_msgid(domain=digest.sender.rpartition("@")[2].strip(" >") or None)
    message.set_content("\n\n".join(_paragraph(digest, each, today) for each in waiting) + "\n")
    connect = smtplib.SMTP_SSL if digest.smtp_tls == "tls" else smtplib.SMTP
    with connect(digest.smtp_host, digest.smtp_port, timeout=digest.timeout_s) as server:
        if digest.smtp_tls == "starttls":
            server.starttls()
        if digest.smtp_user:
            server.login(digest.smtp_user, Path(digest.smtp_password_file).read_text("utf-8").strip())
        server.send_message(message)


def _post(digest: Digest, center: str, name: str, waiting: list[WaitingTask], today: date) -> None:
    tasks = [
        {
            "kind": each.kind, "text": str(into(each.text, digest.language)), "since_ms": each.since_ms,
            "due": None if each.due is None else str(each.due), "late": each.is_late(today), "path": each.path,
        }
        for each in waiting
    ]  # fmt: skip
    body = json.dumps(
        {"center": center, "event": "digest", "account": name, "day": str(today), "tasks": tasks}, ensure_ascii=False
    ).encode()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    request = urllib.request.Request(digest.webhook_url, data=body, headers=headers, method="POST")
    with urllib.request.build_opener(NoRedirect).open(request, timeout=digest.timeout_s) as answer:
        answer.read(1)
