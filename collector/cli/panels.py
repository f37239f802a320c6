# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of the help: groups of verbs in the order of the work, and each verb's module below `collector.cli`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Panels = Mapping[str, Mapping[str, str]]


def _in(module: str, *verbs: str) -> dict[str, str]:
    return dict.fromkeys(verbs, module)


ROOT_PANELS: Final[Panels] = {
    "Begin · 入门": {"quickstart": "quickstart.command", "demo": "demo.command"},
    "Plant side · 厂站端": {
        "agent": "agent.commands", "points": "points", "verify": "verify.command", "accept": "accept",
        "simulate": "simulate.command",
    },
    "Settlement on a folder · 离线结算": {
        "settle": "settle.command", "explain": "explain", **_in("compare", "compare", "quarter", "etext"),
        "calendar": "calendar", "rulebook": "rulebook",
    },
    "Dispatch side · 主站": {"center": "center.commands"},
}  # fmt: skip
AGENT_PANELS: Final[Panels] = {
    "Set up · 投运前": _in("agent.set_up", "check", "read", "keygen"),
    "At work · 运行": {"run": "agent.run", **_in("agent.operate", "status", "watch", "doctor", "capacity")},
}
CENTER_PANELS: Final[Panels] = {
    "Every day · 日常": {
        **_in("center.operate", "run", "status"), **_in("center.quality", "doctor", "alarms"),
        **_in("center.operate", "quarantine", "ask"), **_in("center.quality", "asks"),
    },
    "Data · 数据": {
        **_in("center.inputs", "import", "imports", "undo"),
        **_in("center.quality", "gaps", "findings", "substitute"),
    },
    "A month · 月度结算": {
        **_in("center.runs", "settle", "measure"), "worker": "center.worker",
        **_in("center.runs", "runs", "explain", "compare", "what-if", "package"),
    },
    "Steps and papers · 流程与文书": {
        **_in("center.month", "duties", "month"), "question": "center.question", "review": "center.review",
        "regulate": "center.question",
        **_in("center.papers", "filings", "bills", "account", "summary", "decisions", "audit"),
    },
    "Upkeep · 维护": {**_in("center.operate", "backup", "restore", "renew", "check"), "repair": "center.repair"},
    "People and keys · 人员与密钥": {**_in("center.user", "user", "token"), "key": "center.quality"},
}  # fmt: skip
