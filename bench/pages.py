# SPDX-License-Identifier: GPL-3.0-or-later
"""Every page of a center whose month has 1 000 units, as each role opens it: milliseconds, one after the other.

Both are told: the median time until the last byte, and the CPU time of the center, which says how much work a page is
where others use the machine too.

The center is a process of its own over a store that `center_month` fills. Each page is opened once before it is timed,
as the second reader of a morning finds it; what the first opening takes is told of the slowest. The floor is a static
file of the same server in the same run, which is what a request costs that does nothing.

`python -m bench.pages FOLDER [PLANTS]` fills FOLDER where it is not filled yet, and prints every page.
"""

from __future__ import annotations

import http.client
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.center_month import PASSWORD, make_center, plant_ids, write_config
from bench.center_process import free_port, running_broker, running_center
from bench.figure import Figure
from bench.month_folder import MONTH, unit_name
from bench.process import cpu_s
from collector.base.clock import SystemClock
from collector.center.db.store import CenterStore
from collector.center.people import sessions
from collector.center.people.access import Role
from collector.center.web.session import SESSION_COOKIE

PLANTS: Final = 200
TIMES: Final = 5
MOST_MS: Final = 500.0
STATIC: Final = "/static/center.css"
# Pages of a month that a person looks at; what a role may not open is passed over. {x} is filled in.
PAGES: Final = (
    "/tasks", "/books", "/books?plant={plant}", "/imports", "/asks", "/substitutions", "/alarms", "/findings",
    "/plants", "/quarantine", "/users", "/account", "/decisions", "/audit", "/style",
    "/months/{month}", "/months/{month}/completeness", "/months/{month}/completeness/{day}",
    "/months/{month}/completeness/{day}/{plant}/{unit}", "/months/{month}/compare?a={first}&b={run}",
    "/months/{month}/what-if", "/months/{month}/reviews", "/months/{month}/reviews?all=true",
    "/months/{month}/reviews/new?run={run}&unit={unit}&service=agc_basic&day={day}", "/months/{month}/reviews/{review}",
    "/months/{month}/questions", "/months/{month}/running", "/months/{month}/rulebook", "/months/{month}/beside",
    "/months/{month}/beside?plant={plant}", "/months/{month}/runs/{run}", "/months/{month}/runs/{run}/lines",
    "/months/{month}/runs/{run}/lines?sort=-amount_yuan&q=agc", "/months/{month}/runs/{run}/lines/{unit}/agc_basic",
    "/months/{month}/runs/{run}/lines/{unit}/agc_basic?day={day}", "/months/{month}/runs/{run}/days/{unit}/{day}",
    "/months/{month}/runs/{run}/units/{unit}", "/months/{month}/runs/{run}/evidence/{evidence}",
    "/months/{month}/runs/{run}/records/{unit}?from={from}&to={to}",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Timed:
    """A page as a role opens it, ms: the first time, the median of the times after it, and the CPU of one of them."""

    who: Role
    page: str
    first_ms: float
    median_ms: float
    cpu_ms: float


def measure() -> list[Figure]:
    """The slowest page of each role, and all pages together, against a static file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_center(folder, PLANTS)
        timed, floor_ms = time_pages(folder, PLANTS)
    figures = []
    for role in Role:
        slowest = max((each for each in timed if each.who is role), key=lambda each: each.median_ms)
        what = f"slowest page of 1 000 units, {role}: {slowest.page}, opened first in {slowest.first_ms:.0f} ms"
        figures.append(Figure(what, slowest.median_ms, "ms", STATIC, floor_ms, MOST_MS))
    most = max(timed, key=lambda each: each.cpu_ms)
    figures.append(
        Figure(f"most CPU of a page of 1 000 units: {most.page}", most.cpu_ms, "ms", STATIC, floor_ms, MOST_MS)
    )
    over = sum(each.median_ms > MOST_MS for each in timed)
    figures.append(Figure.absolute(f"of {len(timed)} pages of 1 000 units, over {MOST_MS:.0f} ms", over, "pages", 0))
    return figures


def time_pages(folder: Path, plants: int) -> tuple[list[Timed], float]:
    """Every page as each role opens it, and the floor, ms."""
    port, broker_port = free_port(), free_port()
    write_config(folder, plants, port)
    with running_broker(folder, broker_port), running_center(folder, broker_port) as pid:
        cookies = _log_in(folder)
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=300)) as connection:
            floor_ms = statistics.median(_open(connection, STATIC, "")[1] for _ in range(10 * TIMES))
            timed = [
                found
                for role in Role
                for page in PAGES
                if (found := _time(connection, pid, role, page.format_map(_places()), cookies[role])) is not None
            ]
    return timed, floor_ms


def _log_in(folder: Path) -> dict[Role, str]:
    """The cookie of a session of each role."""
    with CenterStore.open(folder / "state", clock=SystemClock(), create=False) as store:
        return {
            role: f"{SESSION_COOKIE}={sessions.log_in(store, str(role), PASSWORD, address='127.0.0.1')}"
            for role in Role
        }


def _places() -> Mapping[str, object]:
    """What fills the pages' addresses: the second run of the month is the one disclosed."""
    begin = MONTH.interval.start_ms
    return {
        "month": MONTH, "day": MONTH.days[9], "plant": plant_ids(1)[0], "unit": unit_name(0), "first": 1, "run": 2,
        "review": 1, "evidence": "determinants", "from": begin, "to": begin + 3_600_000,
    }  # fmt: skip


def _time(connection: http.client.HTTPConnection, pid: int, who: Role, address: str, cookie: str) -> Timed | None:
    """A page, or None where the role may not open it, or there is none of it."""
    status, first_ms = _open(connection, address, cookie)
    if status in (302, 303, 403, 404):
        return None
    if status != 200:
        raise AssertionError(f"{who} {address}: {status}")
    before_s = cpu_s(pid)
    median_ms = statistics.median(_open(connection, address, cookie)[1] for _ in range(TIMES))
    return Timed(who, address, first_ms, median_ms, (cpu_s(pid) - before_s) / TIMES * 1000)


def _open(connection: http.client.HTTPConnection, address: str, cookie: str) -> tuple[int, float]:
    """Status and milliseconds of a request, until its last byte is there."""
    begun_s = time.perf_counter()
    connection.request("GET", address, headers={"cookie": cookie, "connection": "keep-alive"})
    answer = connection.getresponse()
    answer.read()
    return answer.status, (time.perf_counter() - begun_s) * 1000


if __name__ == "__main__":
    target, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else PLANTS
    if not (target / "state").exists():
        target.mkdir(parents=True, exist_ok=True)
        make_center(target, count)
    pages, floor = time_pages(target, count)
    print(f"{floor:8.1f} ms {STATIC}")
    for each in sorted(pages, key=lambda each: -each.cpu_ms):
        times = f"{each.median_ms:8.1f} ms, CPU {each.cpu_ms:6.1f} ms, first {each.first_ms:8.1f} ms"
        print(f"{times}, {each.who:13} {each.page}")
