# SPDX-License-Identifier: GPL-3.0-or-later
"""The lake on a real S3 server, and on a way to it that fails: the same bytes, and nothing half written counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import func, select

from collector.base.errors import ConfigError, StoreError
from collector.center.db.storage import lake_place
from collector.center.db.storage.lake_place import TRIES, ObjectPath, ObjectStoreFault, put_whole
from collector.center.db.store import CenterStore
from collector.center.db.tables_receive import lake_file
from collector.center.db.verified import Altered, read_named
from collector.center.lake.day_file import read_units
from collector.center.lake.retention import drop_superseded_files
from collector.center.lake.seal import find_stale_days, list_files, seal_day, seal_month_of
from collector.center.operate.doctor import examine
from collector.center.operate.integrity import check_store
from collector.center.operate.readiness import why_not_ready
from collector.center.operate.repair import approve_repair, propose_repair
from collector.center.people.access import Actor, Role
from collector.center.settings import parse_lake_url
from collector.model.interval import DAY_MS, Month
from tests.center.center_batches import EPOCH, NOON, FixedClock, deliver, minutes, new_store, payload_of, record
from tests.center.lake.sealed_days import deliver_from_both
from tests.center.object_store import FaultyWay, ObjectStore
from tests.patience import wait_until

MARCH = Month(2026, 3)
DAY = date(2026, 3, 10)
FAULTS = ["refused", "busy", "stalled", "cut in the answer"]


def on_objects(folder: Path, url: str) -> CenterStore:
    return CenterStore.open(folder, clock=FixedClock(NOON), lake_url=url)


def fill(store: CenterStore) -> None:
    """A day on which two gateways recorded one instant, so that there is a list of lost records beside it."""
    one = payload_of(1, [*minutes("U1", NOON, 60), record("U2", NOON, 300_000)])
    deliver_from_both(store, [one, payload_of(1, [record("U2", NOON, 310_000)], gateway="g2", epoch=EPOCH - 1)])


@pytest.fixture
def way(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyWay]:
    monkeypatch.setattr(lake_place, "STALLED_S", 1.0)
    monkeypatch.setattr(lake_place, "FIRST_S", 0.01)
    made = FaultyWay(object_store.port)
    yield made
    made.close()


@pytest.fixture
def bucket(object_store: ObjectStore) -> str:
    return object_store.new_bucket()


@pytest.fixture
def store(object_store: ObjectStore, bucket: str, way: FaultyWay, tmp_path: Path) -> Iterator[CenterStore]:
    """A store with one day to be sealed, over a way that lets everything pass."""
    with on_objects(tmp_path / "state", object_store.url(bucket, way.port)) as made:
        fill(made)
        yield made


def test_a_day_has_the_same_bytes_under_the_same_name_as_in_a_folder_and_nothing_is_listed(
    store: CenterStore, object_store: ObjectStore, bucket: str, way: FaultyWay, tmp_path: Path
) -> None:
    with new_store(tmp_path / "folder") as other:
        fill(other)
        seal_month_of(other, MARCH)
        kept = {
            path.relative_to(other.directory).as_posix(): path.read_bytes()
            for name in ("lake", "lake-others")
            for path in (other.directory / name).rglob("*.parquet")
        }
        before = [list(read_units(path)) for path in other.read(lambda c: list_files(c, other.lake, [DAY]))]
    [path] = seal_month_of(store, MARCH)
    assert len(kept) == 2
    assert object_store.objects(bucket) == {f"{bucket}/east/plants/{name}": data for name, data in kept.items()}
    assert not (store.directory / "lake").exists()
    assert [len(each.time_utc_ms) for each in read_units(path)] == [len(each.time_utc_ms) for each in before[0]]
    assert not [line for line in way.requests if "list-type" in line]
    assert check_store(store) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_read_that_fails_is_tried_again_and_gives_the_whole_file(
    store: CenterStore, way: FaultyWay, fault: str
) -> None:
    [path] = seal_month_of(store, MARCH)
    whole = path.read_bytes()
    way.faults.extend(["", fault, "", fault] if fault == "cut in the answer" else [fault, "", fault])  # HEAD, GET
    assert read_named(path) == whole
    assert not way.faults


@pytest.mark.parametrize("fault", ["refused", "busy", "cut in the request"])
def test_a_write_that_fails_is_tried_again_and_one_that_fails_for_good_lists_nothing(
    store: CenterStore, way: FaultyWay, object_store: ObjectStore, bucket: str, fault: str
) -> None:
    [stale] = store.read(find_stale_days)
    way.standing = fault
    count = len(way.requests)
    with pytest.raises(ObjectStoreFault, match="nothing half written counts"):
        seal_day(store, stale)
    assert len(way.requests) - count == TRIES
    assert store.read(lambda c: c.execute(select(func.count()).select_from(lake_file)).scalar_one()) == 0
    assert store.read(find_stale_days) == [stale]
    assert object_store.objects(bucket) == {}
    way.standing = ""
    way.faults.extend([fault, fault])
    assert read_named(seal_day(store, stale))
    assert store.read(find_stale_days) == []


def test_a_store_that_is_away_is_told_with_what_stands_and_what_to_look_at(store: CenterStore, way: FaultyWay) -> None:
    [path] = seal_month_of(store, MARCH)
    assert why_not_ready(store) == []
    way.close()
    way.standing = "refused"
    for read in (path.read_bytes, lambda: read_named(path)):
        with pytest.raises(StoreError, match=r"s3://bucket.*What is sealed and settled stands.*endpoint_override"):
            read()
    [words] = why_not_ready(store)
    assert "does not answer" in words
    [found] = [each for each in examine(store, None) if each.subject == str(store.lake)]
    assert "records are taken meanwhile" in found.remedy


def test_a_clock_that_is_off_wrong_credentials_and_a_missing_bucket_are_each_named_at_once(
    store: CenterStore, way: FaultyWay, object_store: ObjectStore, tmp_path: Path
) -> None:
    def remedy_of(of: CenterStore, reason: str) -> str:
        """Told by doctor and readyz alike, each of which asks briefly: again, where a busy machine had no answer."""
        told: list[str] = []

        def told_by_both() -> bool:
            [found] = [each for each in examine(of, None) if each.subject == str(of.lake)]
            assert found.severity == "error"
            told[:] = [found.remedy]
            return reason in found.message and any(
                found.message.removeprefix("the object store ") in words for words in why_not_ready(of)
            )

        wait_until(told_by_both, f"doctor and readyz to say: {reason}")
        return told[0]

    way.standing = "skewed"
    assert "timedatectl" in remedy_of(store, "more than 15 minutes off")
    way.standing, count = "", len(way.requests)
    with object_store.closed_to_strangers():
        assert "AWS_ACCESS_KEY_ID" in remedy_of(store, "refuses")
        with pytest.raises(ObjectStoreFault):
            store.lake.read_bytes()
    assert len([line for line in way.requests[count:] if line.startswith("HEAD")]) == 1  # told at once
    with on_objects(tmp_path / "elsewhere", object_store.url("no-such-bucket")) as other:
        assert "lake.url" in remedy_of(other, "no such bucket")
        fill(other)
        [stale] = other.read(find_stale_days)
        with pytest.raises(ObjectStoreFault, match="no such bucket"):
            seal_day(other, stale)


def test_an_object_with_other_bytes_or_none_is_altered_found_by_check_and_put_right_by_two_people(
    store: CenterStore, object_store: ObjectStore
) -> None:
    [path] = seal_month_of(store, MARCH)
    assert isinstance(path, ObjectPath)
    whole = path.read_bytes()
    li, wang = Actor("li", Role.OPERATOR), Actor("wang", Role.APPROVER)
    spoils: tuple[Callable[[], None], ...] = (
        lambda: object_store.put(path.key, whole[:-1]),
        lambda: object_store.delete(path.key),
    )
    for spoil in spoils:
        spoil()
        with pytest.raises(Altered, match=r"s3://bucket"):
            list(read_units(path))
        [words] = check_store(store)
        assert str(path) in words
        number = propose_repair(store, "P1", DAY.isoformat(), source="journal", reason="damaged", actor=li)
        repaired = approve_repair(store, number, actor=wang)
        assert repaired.after == repaired.expected
        assert path.read_bytes() == whole
        assert check_store(store) == []


def test_of_many_who_seal_a_day_at_once_one_file_is_the_day_and_each_name_has_one_content(
    store: CenterStore, object_store: ObjectStore, bucket: str
) -> None:
    for more in range(1, 6):
        deliver(store, [payload_of(1 + more, minutes("U1", NOON + more * 3_600_000, 5))])
        [stale] = store.read(find_stale_days)
        with on_objects(store.directory, store.lake_url) as other:
            sealing = [threading.Thread(target=seal_day, args=(each, stale)) for each in (store, other)]
            for each in sealing:
                each.start()
            for each in sealing:
                each.join()
    current = store.read(lambda c: c.execute(select(lake_file.c.name).where(lake_file.c.superseded_ms.is_(None))).all())
    assert len(current) == 1
    days = [name for name in object_store.objects(bucket) if "/lake/" in name]
    assert len(days) == 5
    assert check_store(store) == []


def test_a_superseded_file_goes_in_its_time_and_one_still_wanted_stays(
    store: CenterStore,
) -> None:
    [before] = seal_month_of(store, MARCH)
    deliver(store, [payload_of(2, minutes("U1", NOON + 7_200_000, 5))])
    [after] = seal_month_of(store, MARCH)
    store.clock.now_ms += 31 * DAY_MS  # type: ignore[attr-defined]
    assert drop_superseded_files(store, keep_days=30) == 1
    assert (before.exists(), after.exists()) == (False, True)
    deliver(store, [payload_of(3, minutes("U1", NOON, 60))])  # nothing new: the same bytes, sealed again
    assert seal_month_of(store, MARCH) == (after,)
    assert check_store(store) == []


def test_a_large_file_comes_in_parts_and_is_whole(object_store: ObjectStore, bucket: str, way: FaultyWay) -> None:
    path = ObjectPath(object_store.url(bucket, way.port), f"{bucket}/large-000000000000.parquet")
    data = bytes(range(256)) * 45_000
    way.faults.extend(["", "", "cut in the request"])
    put_whole(path, data)
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///lake", "expected s3://BUCKET"),
        ("s3://", "expected s3://BUCKET"),
        ("s3://key:secret@bucket/lake", "no credentials here"),
        ("s3://bucket?endpoint=h:1", "unknown option 'endpoint'"),
        ("s3://bucket?scheme=ftp", "http or https"),
    ],
)
def test_an_address_that_is_none_is_refused_and_no_secret_is_repeated(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as told:
        parse_lake_url(url)
    assert "secret" not in str(told.value)
    assert parse_lake_url("s3://b/p/q/?scheme=http").root == "b/p/q"
