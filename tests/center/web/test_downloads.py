# SPDX-License-Identifier: GPL-3.0-or-later
"""Who took which file is in the audit log, once, whichever way the file came; a transfer that broke off goes on."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from collector.center.people import audit
from collector.center.runs.keeping.kept_packages import KEPT_MS, altered_packages, drop_packages
from collector.center.web.routes import API
from collector.center.web.session import SESSION_COOKIE
from tests.center.web.web_browser import site
from tests.center.web.web_world import World, routes_of
from tests.patience import HANG_S

HERE = "/months/2026-06"


def newest(world: World) -> dict[str, Any]:
    return world.store.read(lambda c: audit.list_entries(c, limit=1))[0]


def count(world: World) -> int:
    return world.store.read(audit.head)[0]


@pytest.mark.parametrize("name", ["lines.csv", "statement.xlsx", "statement.e"])
def test_a_file_of_the_statement_is_noted_with_who_took_it(worked: World, name: str) -> None:
    with worked.browser("aldo") as browser:
        before = count(worked)
        got = browser.get(f"{HERE}/runs/{worked.run_id}/files/{name}")
        assert got.status_code == 200
        assert count(worked) == before + 1
        entry = newest(worked)
        assert (entry["who"], entry["role"], entry["action"]) == ("aldo", "auditor", "file.hand_out")
        assert entry["subject"] == f"run {worked.run_id}"
        assert entry["detail"]["file"].endswith(name)
        assert entry["detail"]["via"] == "session"
    assert worked.store.read(audit.verify) == []


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_table_taken_as_a_file_is_noted_and_looked_at_is_not(worked: World, form: str) -> None:
    address = f"{API}/runs/{worked.run_id}/lines"
    with worked.browser() as browser:
        olga, paul = worked.token_of("olga"), worked.token_of("paul")
        before = count(worked)
        assert browser.get(address, headers=olga).status_code == 200
        assert count(worked) == before
        assert browser.get(f"{address}?format={form}", headers=olga).status_code == 200
        assert newest(worked)["detail"]["query"] == f"format={form}"
        assert browser.get(f"{address}?format={form}", headers=paul).status_code == 200
        assert (newest(worked)["who"], newest(worked)["detail"]["via"]) == ("paul", "token")
        assert count(worked) == before + 2


def test_what_is_refused_is_not_noted_as_handed_out(worked: World) -> None:
    with worked.browser("paul") as browser:
        before = count(worked)
        assert browser.get(f"{HERE}/runs/{worked.run_id}/files/lines.csv").status_code == 403
        assert browser.get(f"{API}/audit?format=csv").status_code == 403
        assert count(worked) == before


def test_a_package_is_noted_once(worked: World) -> None:
    with worked.browser("aldo") as browser:
        before = count(worked)
        form = {"csrf": worked.csrf_of("aldo")}
        made = browser.post(f"{HERE}/runs/{worked.run_id}/package", data=form)
        assert made.status_code == 303
        assert count(worked) == before + 1
        assert newest(worked)["action"] == "run.package"
        assert browser.get(made.headers["location"]).content.startswith(b"PK")
        assert count(worked) == before + 2
        assert newest(worked)["detail"]["path"] == made.headers["location"]


def test_every_table_that_comes_as_a_file_is_noted(worked: World) -> None:
    """Walks the route table: a table added later is noted too."""
    walked = {route.path for route in routes_of(worked.app) if route.method == "GET" and route.api}
    taken = 0
    with worked.browser() as browser:
        headers = worked.token_of("aldo")
        for path in sorted(walked):
            before = count(worked)
            got = browser.get(path.replace("999999", str(worked.run_id)) + "?format=csv", headers=headers)
            if got.status_code == 200 and got.headers.get("content-disposition", "").startswith("attachment"):
                assert count(worked) == before + 1, path
                taken += 1
            else:
                assert count(worked) == before, path
    assert taken > 15


# ---- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "status", "begin", "end"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=10-", 206, 10, None),
        ("bytes=-7", 206, -7, None),
        ("bytes=5-99999999", 206, 5, None),
        ("bytes=99999999-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=9-5", 200, 0, None),
        ("bytes=-", 200, 0, None),
        ("bytes=0-1,5-6", 200, 0, None),
        ("lines=0-9", 200, 0, None),
    ],
)
def test_a_part_of_a_file_is_what_was_asked_for(
    worked: World, asked: str, status: int, begin: int, end: int | None
) -> None:
    address = f"{HERE}/runs/{worked.run_id}/files/lines.csv"
    with worked.browser("aldo") as browser:
        whole = browser.get(address)
        assert whole.headers["accept-ranges"] == "bytes"
        got = browser.get(address, headers={"range": asked})
        assert got.status_code == status
        size = len(whole.content)
        assert got.content == whole.content[begin:end]
        assert int(got.headers["content-length"]) == len(got.content)
        if status == 206:
            first = begin if begin >= 0 else size + begin
            assert got.headers["content-range"] == f"bytes {first}-{first + len(got.content) - 1}/{size}"
            assert newest(worked)["detail"]["part"] == got.headers["content-range"]
        if status == 416:
            assert got.headers["content-range"] == f"bytes */{size}"


def test_a_part_of_a_file_that_is_another_by_now_is_the_whole_of_it(worked: World) -> None:
    address = f"{API}/runs/{worked.run_id}/lines?format=xlsx"
    with worked.browser() as browser:
        olga = worked.token_of("olga")
        whole = browser.get(address, headers=olga)
        tag = whole.headers["etag"]
        same = browser.get(address, headers=olga | {"range": "bytes=100-", "if-range": tag})
        assert (same.status_code, same.content) == (206, whole.content[100:])
        other = browser.get(address, headers=olga | {"range": "bytes=100-", "if-range": '"another"'})
        assert (other.status_code, other.content) == (200, whole.content)
        assert browser.get(f"{API}/runs/{worked.run_id}/lines?format=csv", headers=olga).headers["etag"] != tag


def test_what_is_no_file_has_no_parts(worked: World) -> None:
    with worked.browser("aldo") as browser:
        got = browser.get(HERE, headers={"range": "bytes=0-9"})
        assert got.status_code == 200
        assert "accept-ranges" not in got.headers


def test_a_package_whose_transfer_breaks_off_goes_on_where_it_was(worked: World) -> None:
    """Over a real line that is cut after the first bytes of a file that is streamed."""
    with site(worked) as address, httpx.Client(base_url=address, timeout=HANG_S) as client:
        client.cookies.set(SESSION_COOKIE, worked.session_of("aldo"), domain=urlsplit(address).hostname or "")
        made = client.post(f"{HERE}/runs/{worked.run_id}/package", data={"csrf": worked.csrf_of("aldo")})
        path = made.headers["location"]
        with client.stream("GET", path) as got:
            size, tag = int(got.headers["content-length"]), got.headers["etag"]
            begun = next(got.iter_raw(1000))
        assert 0 < len(begun) < size
        rest = client.get(path, headers={"range": f"bytes={len(begun)}-", "if-range": tag})
        assert rest.status_code == 206
        assert rest.headers["etag"] == tag
        again = client.get(path)
        assert hashlib.sha256(begun + rest.content).digest() == hashlib.sha256(again.content).digest()
        assert client.get(path.replace("/packages/", "/packages/1")).status_code == 404


def test_a_kept_package_that_was_changed_is_not_handed_out_and_found(worked: World) -> None:
    with worked.browser() as browser:
        aldo = worked.token_of("aldo")
        there = browser.post(f"{API}/runs/{worked.run_id}/package", headers=aldo).headers["content-location"]
        made_ms = there.rpartition("/")[2]
        [path] = (worked.store.directory / "packages" / f"{worked.run_id}-{made_ms}").glob("*.zip")
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert browser.get(there, headers=aldo).status_code == 409
        assert list(altered_packages(worked.store)) == [f"{path}: is not as it was made; it is not handed out"]
        path.write_bytes(whole)
        assert browser.get(there, headers=aldo).status_code == 200
        assert list(altered_packages(worked.store)) == []


def test_a_package_over_rest_says_where_it_can_be_had_again_for_a_day(worked: World) -> None:
    with worked.browser() as browser:
        aldo = worked.token_of("aldo")
        made = browser.post(f"{API}/runs/{worked.run_id}/package", headers=aldo)
        again = browser.get(made.headers["content-location"], headers=aldo)
        assert again.content == made.content
        clock, now_ms = worked.clock, worked.clock.now_ms
        drop_packages(worked.store)
        assert browser.get(made.headers["content-location"], headers=aldo).status_code == 200
        clock.now_ms += 2 * KEPT_MS
        drop_packages(worked.store)
        clock.now_ms = now_ms
        assert browser.get(made.headers["content-location"], headers=aldo).status_code == 404
