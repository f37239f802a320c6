# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile uploads: refused with words, nothing taken, nothing written elsewhere, nothing that stops the center."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from collector.base.errors import ConfigError
from collector.center.inputs.imports import IMPORT_KINDS, list_imports
from collector.center.inputs.service import delivered_of
from tests.center.web.web_world import World, world

MOST = 1_000_000


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("state"), max_upload_bytes=MOST) as made:
        yield made


@pytest.fixture(scope="module")
def browser(own: World) -> Iterator[TestClient[Litestar]]:
    with own.browser("olga") as made:
        yield made


def upload(own: World, browser: TestClient[Litestar], kind: str, name: str, data: bytes) -> int:
    """The status of an upload by the page's form."""
    form = {"csrf": own.csrf_of("olga"), "kind": kind}
    answer = browser.post("/imports", data=form, files={"file": (name, data)})
    assert "Traceback" not in answer.text
    return answer.status_code


def bomb(megabytes: int) -> bytes:
    """A workbook whose one sheet unpacks to many megabytes of nothing."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/worksheets/sheet1.xml", b"<x/>" * (megabytes * 250_000))
    return target.getvalue()


@settings(max_examples=30, database=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from([*IMPORT_KINDS, "nothing", "../register"]),
    ending=st.sampled_from([".csv", ".xlsx", ".toml", ".txt", "", ".exe"]),
    data=st.one_of(
        st.binary(max_size=400),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.binary(max_size=200).map(lambda tail: b"PK\x03\x04" + tail),
        st.binary(max_size=100).map(lambda tail: b"unit,start,end,power_mw\r\n" + tail),
    ),
)
def test_garbage_is_refused_and_nothing_is_taken(
    kind: str, ending: str, data: bytes, own: World, browser: TestClient[Litestar]
) -> None:
    assert upload(own, browser, kind, f"file{ending}", data) == 422
    assert own.store.read(list_imports) == []


def test_a_zip_bomb_is_not_unpacked(own: World, browser: TestClient[Litestar]) -> None:
    data = bomb(300)
    assert len(data) < MOST
    assert upload(own, browser, "plan", "plan.xlsx", data) == 422


def test_a_file_over_the_limit_is_refused_before_it_is_read(own: World, browser: TestClient[Litestar]) -> None:
    assert upload(own, browser, "plan", "plan.csv", b"x" * (MOST + 200_000)) == 413
    head = own.token_of("olga")
    answer = browser.post("/api/v1/imports/plan?name=plan.csv", content=b"x" * (MOST + 200_000), headers=head)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "C:\\x\\plan.csv", "a/b/../plan.csv"]
)
def test_of_a_path_only_the_last_part_counts(name: str) -> None:
    assert delivered_of(name, b"").name in ("passwd", "boot.ini", "plan.csv")


@pytest.mark.parametrize(
    "name", ["", "..", ".", "/", "x\x00.csv", "x\n.csv", ".htaccess", "x" * 300 + ".csv", "\u202ecsv.exe"]
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        delivered_of(name, b"")


def test_a_name_from_outside_makes_no_file(own: World, browser: TestClient[Litestar]) -> None:
    def files() -> set[Path]:
        ours = ("sqlite", "imports.lock")  # the database, and the lock that whoever imports first makes
        paths = own.store.directory.rglob("*")
        return {path for path in paths if path.is_file() and not any(name in path.name for name in ours)}

    before = files()
    upload(own, browser, "plan", "../../../../tmp/evil.csv", b"unit\n")
    assert files() == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x\r\n",
        b'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n',
        b"--x\r\nContent-Disposition: form-data\r\n\r\nv\r\n--x--\r\n",
        b"--x\r\n" + b"A: b\r\n" * 20_000,
    ],
)
def test_a_broken_form_is_refused(body: bytes, browser: TestClient[Litestar]) -> None:
    answer = browser.post("/imports", content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code in (400, 403, 413)
