# SPDX-License-Identifier: GPL-3.0-or-later
"""Which verbs stand together in the help, in the order of the work; every verb is in one panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from typer.core import TyperGroup

ROOT_PANELS: Final[Mapping[str, tuple[str, ...]]] = {
    "Begin · 入门": ("quickstart", "demo"),
    "Plant side · 厂站端": ("agent", "points", "verify", "accept", "simulate"),
    "Settlement on a folder · 离线结算": ("settle", "explain", "compare", "quarter", "etext", "calendar", "rulebook"),
    "Dispatch side · 主站": ("center",),
}
CENTER_PANELS: Final[Mapping[str, tuple[str, ...]]] = {
    "Every day · 日常": ("run", "status", "doctor", "alarms", "quarantine", "ask", "asks"),
    "Data · 数据": ("import", "imports", "undo", "gaps", "findings", "substitute"),
    "A month · 月度结算": ("settle", "measure", "worker", "runs", "explain", "compare", "what-if", "package"),
    "Steps and papers · 流程与文书": (
        "duties", "month", "question", "review", "regulate", "filings", "bills", "account", "summary", "decisions",
        "audit",
    ),
    "Upkeep · 维护": ("backup", "restore", "renew", "check", "repair"),
    "People and keys · 人员与密钥": ("user", "token", "key"),
}  # fmt: skip


def grouped(panels: Mapping[str, tuple[str, ...]]) -> type[TyperGroup]:
    """The kind of group whose help lists its verbs by panel; a verb that is in none makes it fail."""

    class Grouped(TyperGroup):
        """Verbs by panel."""

        def format_commands(self, ctx: Any, formatter: Any) -> None:
            verbs = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
            width = max(map(len, verbs))
            for panel, names in panels.items():
                with formatter.section(panel):
                    rows = [(name, verbs.pop(name)) for name in names]
                    limit = formatter.width - 6 - width
                    formatter.write_dl(
                        [(name.ljust(width), verb.get_short_help_str(limit)) for name, verb in rows if verb]
                    )
            assert not verbs, f"in no panel: {sorted(verbs)}"

    return Grouped
