# SPDX-License-Identifier: GPL-3.0-or-later
"""June as `conftest.py` makes it, with one of everything that has a page: a question, a review, a what-if, a running
month, filings, files looked at and not taken, a substitute value, a key; and the addresses of all pages it has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from collector.center.papers.filings import make_filings
from collector.center.runs.stored_run import open_run
from collector.center.runs.variants.running_month import ask_to_settle_running
from collector.center.runs.variants.what_if import TableChange, what_if
from collector.report.evidence import TITLES
from collector.sheets.files import Delivered
from tests.center.center_batches import FixedClock
from tests.center.runs.center_months import RULES
from tests.center.runs.kept_months import copy_state
from tests.center.web.conftest import FIRST_RUN, JUNE, SIXTH_OF_JULY_MS, disclose_june, june_world
from tests.center.web.web_world import JUNE as HERE
from tests.center.web.web_world import OTHER_PAGES, World, pages_of_month, world_over
from tests.made_once import made_once

REVENUE: Final = b"plant,month,kind,amount_yuan,area\nP0,2026-06,lease,123456.78,shanghai\n"
REMEDY: Final = (
    b"unit,service,start,end,reason\nU2,*,2026-06-03T10:00:00+08:00,2026-06-03T11:00:00+08:00,remedy of the review\n"
)
PLAN: Final = b"unit,start,end,power_mw\nU2,2026-07-02T00:00:00+08:00,2026-07-02T01:00:00+08:00,{}\n"
SUBSTITUTE: Final = {
    "unit": "U2", "from": "2026-06-10T10:00", "to": "2026-06-10T11:00", "quantity": "active_power_mw",
    "value": "300.5", "method": "电厂报告", "reason": "计量装置故障",
}  # fmt: skip


@dataclass
class Busy:
    """The world, and what of its addresses only the making tells."""

    world: World
    what_if: int
    pending: tuple[str, ...]

    def pages(self) -> list[str]:
        """The address of every page, once or in its kinds."""
        own = self.world
        run, tried = f"{HERE}/runs/{own.run_id}", f"{HERE}/runs/{self.what_if}"
        line = open_run(own.store, own.run_id).lines_of("U2")[0]
        return [
            *pages_of_month(own),
            *OTHER_PAGES,
            "/",
            "/api/v1/",
            "/nothing",
            "/months/2026-05",
            "/months/2031-02",
            f"{HERE}/compare?a={own.run_id}&b={self.what_if}",
            tried,
            f"{tried}/lines",
            f"{HERE}/running?plant=P1",
            f"{HERE}/questions?unit=U2&day=2026-06-03",
            f"{HERE}/questions/1",
            f"{HERE}/reviews/1",
            f"{HERE}/reviews/new?run={own.run_id}&unit=U2&service={line.service}&day=2026-06-03&question=1",
            *self.pending,
            *(f"{run}/evidence/{name}" for name in TITLES),
        ]


@contextmanager
def busy_world(root: Path) -> Iterator[Busy]:
    """June disclosed on the 6th of July, asked about before and after."""
    kept = made_once("june worked on", make_busy)
    copy_state(kept / "state", root / "state")
    found = json.loads((kept / "found.json").read_text("utf-8"))
    with world_over(root / "state", FixedClock(SIXTH_OF_JULY_MS)) as own:
        own.run_id = FIRST_RUN
        yield Busy(own, found["what_if"], tuple(found["pending"]))


def make_busy(root: Path) -> None:
    """Make that world's state in `root`, and what only the making tells."""
    with june_world(root, disclosed=False) as own:
        sent(own, "paul", f"{HERE}/questions", {"unit": "U2", "day": "2026-06-03", "text": "6月3日 AGC 未计入"})
        disclose_june(own)
        service = open_run(own.store, own.run_id).lines_of("U2")[0].service
        review = {
            "run": str(own.run_id), "unit": "U2", "service": service, "from": "2026-06-03T10:00",
            "to": "2026-06-03T12:00", "claim_kind": "quantity", "claim_value": "1", "text": "表计读数无误",
        }  # fmt: skip
        sent(own, "paul", f"{HERE}/reviews", review, ("meter.txt", b"as read"))
        sent(own, "olga", "/reviews/1/files", {"input_kind": "exclusions"}, ("exclusions.csv", REMEDY))
        sent(own, "olga", "/reviews/1/answer", {"do": "answer", "text": "正在核查"})
        sent(own, "olga", "/substitutions", SUBSTITUTE)
        sent(own, "admin", "/keys", {"plant": "P1", "pem": public_key()})
        sent(own, "olga", "/account/tokens", {"name": "夜间", "days": "7", "scope_read": "1"})
        make_filings(own.store, own.run_id, actor=own.actor("olga"))
        change = TableChange("revenue", Delivered("revenue.csv", REVENUE, ""))
        tried = what_if(own.store, own.run_id, changes=[change], actor=own.actor("olga"), note="另一电费").id
        ask_to_settle_running(own.store, JUNE, rulebook=RULES, actor=own.actor("olga")).carry_out()
        files = (("plan.csv", PLAN.replace(b"{}", b"300")), ("wrong.csv", PLAN.replace(b"{}", b"many")))
        looked_at = [sent(own, "olga", "/imports/check", {"kind": "plan"}, each) for each in files]
    (root / "found.json").write_text(json.dumps({"what_if": tried, "pending": looked_at}), "utf-8")


def sent(own: World, who: str, path: str, form: dict[str, str], file: tuple[str, bytes] | None = None) -> str:
    """A form that somebody sent; where it led."""
    with own.browser(who) as browser:
        files: Any = {"file": file} if file else None
        answer = browser.post(path, data=form | {"csrf": own.csrf_of(who)}, files=files)
    assert answer.status_code == 303, (path, answer.text)
    return str(answer.headers["location"])


def public_key() -> str:
    """A gateway's public key, the same each time."""
    public = Ed25519PrivateKey.from_private_bytes(b"7" * 32).public_key()
    kinds = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(*kinds).decode()
