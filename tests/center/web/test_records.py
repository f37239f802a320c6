# SPDX-License-Identifier: GPL-3.0-or-later
"""What is stored of a unit, as a program asks for it when points are verified."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar.testing import TestClient

from collector.center.lake.seal import find_stale_days, seal_day
from collector.verify.stored import Value, from_file
from tests.center.center_batches import NOON, deliver, minutes, open_admission, payload_of, record
from tests.center.web.web_world import World, world

PATH = "/api/v1/plants/P1/units/U2/records"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        records = [*minutes("U2", NOON, 3), record("U2", NOON + 180_000, None)]
        deliver(made.store, [payload_of(1, records)], admission=open_admission(units=["U2"]))
        yield made


def items(client: TestClient, own: World, name: str = "paul", **query: object) -> list[dict[str, object]]:  # type: ignore[type-arg]
    answer = client.get(PATH, params={k: str(v) for k, v in query.items()}, headers=own.token_of(name))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()["items"]
    return found


def test_values_of_a_stretch_come_by_time_with_their_quality(own: World) -> None:
    with own.browser() as client:
        found = items(client, own, from_ms=NOON, to_ms=NOON + 240_000, quantity="active_power_mw")
    assert [row["value"] for row in found] == ["300", "300.001", "300.002", None]
    assert [row["quality"] for row in found] == ["good", "good", "good", "silent"]
    assert [row["time_ms"] for row in found] == [NOON + n * 60_000 for n in range(4)]


def test_without_a_stretch_the_newest_record_comes_with_all_its_quantities(own: World) -> None:
    with own.browser() as client:
        found = items(client, own)
        assert client.get("/api/v1/plants/P1/units/U1/records", headers=own.token_of("olga")).json()["items"] == []
    assert {row["quantity"]: row["value"] for row in found} == {
        "active_power_mw": None, "frequency_hz": "50", "on_grid": "1", "energy_export_mwh": "1234.56789",
    }  # fmt: skip
    assert {row["time_ms"] for row in found} == {NOON + 180_000}


def test_a_record_is_found_after_its_day_is_sealed_and_its_payload_gone(own: World) -> None:
    for stale in own.store.read(find_stale_days):
        seal_day(own.store, stale)
    own.store.write(lambda c: c.exec_driver_sql("DELETE FROM payload")).result()
    with own.browser() as client:
        found = items(client, own, from_ms=NOON, to_ms=NOON + 1, quantity="active_power_mw")
    assert [(row["value"], row["quality"]) for row in found] == [("300", "good")]


def test_a_plant_reads_its_own_records_only_and_a_long_stretch_is_refused(own: World) -> None:
    with own.browser() as client:
        assert client.get(PATH, headers=own.token_of("petra")).status_code == 403
        long = {"from_ms": str(NOON), "to_ms": str(NOON + 3 * 3_600_000)}
        assert client.get(PATH, params=long, headers=own.token_of("paul")).status_code == 409
        text = client.get(PATH, params={"format": "csv"}, headers=own.token_of("paul")).content.decode("utf-8-sig")
    assert text.splitlines()[0] == "plant,unit,quantity,time,value,quality"
    assert "P1,U2,on_grid,2026-03-10T12:03:00+08:00,1,good" in text


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_file_taken_here_is_what_the_plant_holds_its_points_against(own: World, form: str, tmp_path: Path) -> None:
    query = {"from_ms": str(NOON), "to_ms": str(NOON + 240_000), "format": form}
    with own.browser() as client:
        (tmp_path / "records").write_bytes(client.get(PATH, params=query, headers=own.token_of("paul")).content)
    found = list(from_file(tmp_path / "records")("P1", "U2", 0, 0, "active_power_mw"))
    assert found[2:] == [
        Value("U2", "active_power_mw", NOON + 120_000, "300.002", "good"),
        Value("U2", "active_power_mw", NOON + 180_000, "", "silent"),
    ]
