# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of records by the page and by REST, and by the command line: the same import everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collector.center.inputs.imports import list_imports
from collector.cli.main import app as command_line
from tests.center.web.web_world import World, world

RECORDS = "unit,time,active_power_mw\nU0,2026-03-10T12:00:00+08:00,{}\nU2,2026-03-10T12:00:00+08:00,5\n"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def test_records_are_uploaded_refused_replaced_and_taken_back_by_rest(own: World) -> None:
    head = own.token_of("olga")
    with own.browser("olga") as client:

        def post(text: str, query: str = "") -> tuple[int, dict[str, object]]:
            answer = client.post(f"/api/v1/imports/records?name=r.csv{query}", content=text.encode(), headers=head)
            return answer.status_code, answer.json()

        status, done = post(RECORDS.format(300))
        assert (status, done["added"], done["same"]) == (200, 2, 0)
        assert post(RECORDS.format(300))[1]["import_id"] is None
        status, refused = post(RECORDS.format(310))
        assert (status, refused["problems"][0]["row"]) == (422, 2)  # type: ignore[index]
        assert post(RECORDS.format(310), "&replace=true")[1]["replaced"] == 1
        file = client.get("/api/v1/imports/2/file", headers=head)
        assert file.content == RECORDS.format(310).encode()
        undone = client.post("/api/v1/imports/2/undo", json={"reason": "wrong meter"}, headers=head)
        assert (undone.status_code, undone.json()["undone_by"]) == (200, "olga")
        assert post(RECORDS.format(300))[1]["import_id"] is None  # what was there before counts again
        assert post("unit,time,active_power_mw\nX,2026-03-10T12:00:00+08:00,1\n")[0] == 422


def test_records_are_uploaded_by_the_page(own: World) -> None:
    with own.browser("olga") as client:
        form = {"csrf": own.csrf_of("olga"), "kind": "records"}
        answer = client.post("/imports", data=form, files={"file": ("r.csv", RECORDS.format(1).encode())})
        assert answer.status_code == 303
        page = client.get(answer.headers["location"]).text
        assert ("运行记录" in page, "完成：新增" in page) == (True, True)
        assert "完成：新增" not in client.get("/imports").text
    assert [row["kind"] for row in own.store.read(list_imports)] == ["records"]


@pytest.mark.usefixtures("own")
def test_records_are_imported_and_taken_back_at_the_command_line(tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(command_line, ["center", *words, "--state", str(tmp_path), "--who", "li"])
        return result.exit_code, (result.output or str(result.exception)).strip()

    file, table = tmp_path / "r.csv", tmp_path / "r.e"
    file.write_text(RECORDS.format(1), "utf-8")
    table.write_text(
        "<! System=OMS TimeZone='+08:00' !>\n<运行记录::华东>\n@ 机组 时间 有功功率\n# U0 2026-03-10T12:00:00 1\n"
        "# U0 2026-03-10T12:01:00 2\n</运行记录::华东>\n",
        "utf-8",
    )
    assert run("import", "records", str(file)) == (
        0, "r.csv: import 1: 2 rows added, 0 replaced, 0 there already",
    )  # fmt: skip
    assert run("import", "records", str(file)) == (0, "r.csv: nothing new; 2 rows are there already")
    assert run("import", "e", str(table)) == (
        0, "r.e: records: import 2: 1 rows added, 0 replaced, 1 there already",
    )  # fmt: skip
    assert run("undo", "1") == (0, "import 1 is undone")
    assert run("import", "records", str(file))[1].endswith("2 rows added, 0 replaced, 0 there already")
    file.write_text(RECORDS.format(2), "utf-8")
    code, said = run("import", "records", str(file))
    assert code == 1
    assert "r.csv:2: active_power_mw: U0" in said
    assert "--replace" in said
