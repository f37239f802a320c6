# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of the pages of upkeep: imports, quarantine, plants and keys, users, audit, alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "nav.audit": ("审计", "Audit"),
    "audit.heading": ("审计日志", "Audit log"),
    "audit.head": ("链头", "Head of the chain"),
    "audit.verify": ("校验全链", "Verify the chain"),
    "audit.whole": ("链完整,逐条校验无误。", "The chain is whole: every entry is as it was written."),
    "audit.broken": ("链不完整:", "The chain is broken:"),
    "audit.sequence": ("序号", "No."),
    "audit.at": ("时间", "Time"),
    "audit.who": ("人员", "Who"),
    "audit.role": ("角色", "Role"),
    "audit.action": ("操作", "Action"),
    "audit.subject": ("对象", "Subject"),
    "audit.detail": ("内容", "Detail"),
    "audit.filter": ("按对象筛选", "Of one subject"),
}
