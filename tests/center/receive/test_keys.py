# SPDX-License-Identifier: GPL-3.0-or-later
"""Plant keys enrolled and revoked in the store, and the admission that hears of it while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.base.errors import ConfigError, Denied, StoreError
from collector.center.db.store import CenterStore
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.center.receive.admission import Admission, plants_of
from collector.center.receive.journal import commit_group, readmit
from collector.center.receive.keys import KeyRing, current_admission, enrol_key, list_keys, note_configured_keys
from tests.center.center_batches import NOON, batch_topic, minutes, new_signer, payload_of
from tests.center.receive.enrolled_keys import ADMINISTRATOR, opened, revoke, settings_of, verdict

pytestmark = pytest.mark.usefixtures("on_both")


def take_key(store: CenterStore, tmp_path: Path, name: str) -> str:
    pem = (tmp_path / f"{name}.pub").read_bytes()
    return store.write(lambda c: enrol_key(c, actor=ADMINISTRATOR, plant="P1", pem=pem, now_ms=NOON)).result()


def test_an_enrolled_key_counts_and_a_revoked_one_no_longer_while_the_admission_runs(tmp_path: Path) -> None:
    first, second = new_signer(tmp_path, "first"), new_signer(tmp_path, "second")
    settings = settings_of(tmp_path)
    with opened(tmp_path) as store:
        admission, ring = Admission.from_settings(settings, store.clock), KeyRing(settings)
        assert store.read(lambda c: ring.refresh(c, admission))
        assert not store.read(lambda c: ring.refresh(c, admission))
        assert verdict(admission, first) == "accepted"
        assert verdict(admission, second).startswith("unknown_key: ")
        assert take_key(store, tmp_path, "second") == second.key_id
        assert store.read(lambda c: ring.refresh(c, admission))
        assert verdict(admission, second) == verdict(admission, first) == "accepted"
        revoke(store, first.key_id)  # one that center.toml names
        assert store.read(lambda c: ring.refresh(c, admission))
        assert verdict(admission, first) == f"unknown_key: key '{first.key_id}' was revoked 2026-03-10T12:00:00+08:00"
        assert verdict(admission, second) == "accepted"
        states = {
            row["key_id"]: (row["source"], row["state"]) for row in store.read(lambda c: list_keys(c, ring.plants))
        }
        assert states == {first.key_id: ("center.toml", "revoked"), second.key_id: ("store", "counts")}
        assert [e["action"] for e in store.read(lambda c: audit.list_entries(c))] == ["key.revoke", "key.enrol"]


def test_a_plant_whose_every_key_is_revoked_is_no_trial_plant(tmp_path: Path) -> None:
    first = new_signer(tmp_path, "first")
    settings = settings_of(tmp_path)
    with opened(tmp_path) as store:
        revoke(store, first.key_id)
        admission = current_admission(store, settings)
        assert verdict(admission, first).startswith("unknown_key")
        assert verdict(admission, None).startswith("bad_signature")


def test_a_trial_plant_signs_from_its_first_key_on(tmp_path: Path) -> None:
    new_signer(tmp_path, "first")
    settings = settings_of(tmp_path, keys="[]")
    with opened(tmp_path) as store:
        assert verdict(current_admission(store, settings), None) == "accepted"
        take_key(store, tmp_path, "first")
        assert verdict(current_admission(store, settings), None).startswith("bad_signature")


def test_what_a_missing_key_kept_out_is_let_in_from_quarantine(tmp_path: Path) -> None:
    new_signer(tmp_path, "first")
    second = new_signer(tmp_path, "second")
    settings = settings_of(tmp_path)
    with opened(tmp_path) as store:
        arrivals = current_admission(store, settings).admit_all(
            [(batch_topic(), payload_of(1, minutes("U1", NOON, 3), signer=second))]
        )
        store.write(lambda c: commit_group(c, arrivals, now_ms=NOON, quarantine_max_bytes=10**6)).result()
        take_key(store, tmp_path, "second")
        admit = current_admission(store, settings).admit
        result = store.write(lambda c: readmit(c, admit, now_ms=NOON)).result()
        assert (result.committed, result.records) == (1, 3)


def test_keys_are_refused_that_are_none_or_known_or_revoked(tmp_path: Path) -> None:
    first = new_signer(tmp_path, "first")
    with opened(tmp_path) as store:
        take_key(store, tmp_path, "first")
        with pytest.raises(StoreError, match="is enrolled already"):
            take_key(store, tmp_path, "first")
        revoke(store, first.key_id)
        with pytest.raises(StoreError, match="was revoked"):
            revoke(store, first.key_id)
        with pytest.raises(StoreError, match="make a new pair"):
            take_key(store, tmp_path, "first")
        (tmp_path / "none.pub").write_text("hello", "utf-8")
        with pytest.raises(ConfigError, match="not a PEM public key"):
            take_key(store, tmp_path, "none")


def test_only_an_administrator_handles_keys(tmp_path: Path) -> None:
    new_signer(tmp_path, "first")
    with opened(tmp_path) as store:
        for role in set(Role) - {Role.ADMINISTRATOR}:
            with pytest.raises(Denied):
                revoke(store, "0" * 16, Actor("x", role))


def test_other_keys_in_center_toml_stand_in_the_audit_log(tmp_path: Path) -> None:
    new_signer(tmp_path, "first")
    new_signer(tmp_path, "second")
    with opened(tmp_path) as store:
        for names in ('["first.pub"]', '["first.pub"]', '["first.pub", "second.pub"]', "[]"):
            plants = plants_of(settings_of(tmp_path, keys=names))
            store.write(lambda c, plants=plants: note_configured_keys(c, plants, NOON)).result()  # type: ignore[misc]
        found = store.read(lambda c: audit.list_entries(c, subject="P1"))
    assert [len(each["detail"]["keys"]) for each in found] == [0, 2, 1]
    assert {(each["action"], each["who"]) for each in found} == {("key.configured", "center.toml")}
