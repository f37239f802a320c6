# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever can write the database and not the files beside it lets nobody in: rows are planted by hand on a real store.

The intruder knows this program, so a planted row comes with its link in the chain, hashed as the program hashes it; a
copy of the database alone has all that is needed for that.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, delete, func, insert, select, text, update

from collector.base.errors import StoreError
from collector.center.db.all_tables import metadata
from collector.center.db.seals import sealed_rows
from collector.center.db.seals.seal_key import KEY_FILE, with_key
from collector.center.db.store import CenterStore
from collector.center.db.tables_people import account, proposal, recovery_code, session, token
from collector.center.db.tables_quality import plant_key
from collector.center.db.tables_receive import row_seal
from collector.center.lake.seal import enrol
from collector.center.operate.backup import create_backup
from collector.center.operate.doctor import examine
from collector.center.operate.integrity import check_store
from collector.center.operate.restore import restore_backup
from collector.center.people import accounts, four_eyes, second_factor, sessions, tokens
from collector.center.people.access import Actor, Role
from collector.center.people.passwords import hash_password
from collector.center.receive.admission import EnrolledPlant
from collector.center.receive.keys import REVOKED, enrol_key, revoke_key, with_stored_keys
from tests.center import center_batches
from tests.center.center_batches import FixedClock, new_signer

PASSWORD, OTHER = "correct horse battery", "another long password"
LOCAL = Actor.at_command_line("root")
ROOT = Actor("root", Role.ADMINISTRATOR)
DAY_MS = 86_400_000
pytestmark = pytest.mark.usefixtures("on_both")


class House:
    """A store with an approver and an operator, and its database in an intruder's hands."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FixedClock()
        self.url = center_batches.in_use[-1].url_for(directory)
        self.store = CenterStore.open(directory, clock=self.clock, database_url=self.url)
        for name, role in (("anna", Role.APPROVER), ("zhang", Role.OPERATOR)):
            self.add(name, role)

    def add(self, name: str, role: Role) -> None:
        """An account as the program makes it."""
        hashed = hash_password(PASSWORD)
        self.store.write(
            lambda c: accounts.create_account(
                c, actor=ROOT, name=name, full_name=name, role=role, plant=None, password_hash=hashed,
                now_ms=self.clock.now_ms,
            )
        ).result()  # fmt: skip

    def number(self, name: str) -> int:
        """Of an account."""
        return self.store.read(
            lambda c: int(c.execute(select(account.c.id).where(account.c.name == name)).scalar_one())
        )

    def engine(self) -> Engine:
        """Another way to the database than this program's."""
        return create_engine(self.url or f"sqlite:///{self.directory / 'center.sqlite'}")

    def plant(self, job: Callable[[Connection], Any], *, linked: bool = True) -> None:
        """Change rows by hand; `linked`: and give each a link, under a key of the intruder's own."""
        engine = self.engine()
        with engine.begin() as connection:
            changes = sealed_rows.RowChanges.follow(with_key(connection, b"a key of the intruder's"))
            job(connection)
            if linked:
                changes.seal(self.clock.now_ms)
        engine.dispose()

    def session_of(self, name: str) -> str:
        """The secret of a log-in by password."""
        secret = sessions.log_in(self.store, name, PASSWORD, address="10.0.0.1")
        assert secret
        return secret

    def who(self, secret: str) -> Actor | None:
        """Whose session it is."""
        return sessions.session_actor(self.store, secret, max_ms=DAY_MS)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "state")
    yield made
    made.store.close()


linked = pytest.mark.parametrize("linked", [False, True], ids=["alone", "with a link"])


def found(house: House, name: str) -> bool:
    return any(name in words for words in check_store(house.store))


@linked
def test_a_planted_session_opens_nothing(house: House, linked: bool) -> None:
    secret, now = "a secret of the intruder's own", house.clock.now_ms
    row = {"secret_sha256": tokens.sha256_of(secret), "account_id": house.number("anna"), "created_ms": now}
    row |= {"seen_ms": now, "expires_ms": now + DAY_MS}
    house.plant(lambda c: c.execute(insert(session).values(row)), linked=linked)
    assert house.who(secret) is None
    assert found(house, f'session "{row["secret_sha256"]}"')
    assert any("nobody gets in by them" in each.message for each in examine(house.store, None))


@linked
def test_a_session_turned_into_somebody_elses_opens_nothing(house: House, linked: bool) -> None:
    mine, honest = house.session_of("zhang"), house.session_of("anna")
    of_mine = session.c.secret_sha256 == tokens.sha256_of(mine)
    house.plant(
        lambda c: c.execute(update(session).where(of_mine).values(account_id=house.number("anna"))), linked=linked
    )
    assert house.who(mine) is None
    assert found(house, f'session "{tokens.sha256_of(mine)}"')
    assert house.who(honest) == Actor("anna", Role.APPROVER)  # one damaged row locks nobody else out


def test_a_session_that_was_ended_does_not_come_back(house: House) -> None:
    secret = house.session_of("anna")
    row = house.store.read(lambda c: dict(c.execute(select(session)).mappings().one()))
    house.store.write(lambda c: sessions.log_out(c, secret)).result()
    house.plant(lambda c: c.execute(insert(session).values(row)), linked=False)
    assert house.who(secret) is None
    assert found(house, "session")


def test_a_session_made_longer_by_hand_ends_at_its_longest_time(house: House) -> None:
    secret = house.session_of("anna")
    house.plant(lambda c: c.execute(update(session).values(expires_ms=house.clock.now_ms + 400 * DAY_MS)), linked=False)
    house.clock.now_ms += DAY_MS - 1
    assert house.who(secret) is not None
    house.clock.now_ms += 1
    assert house.who(secret) is None
    house.plant(lambda c: c.execute(update(session).values(created_ms=house.clock.now_ms)), linked=False)
    assert house.who(secret) is None  # and when it began is sealed


@linked
def test_a_planted_or_widened_token_opens_nothing(house: House, linked: bool) -> None:
    house.clock.now_ms += 1
    now, zhang = house.clock.now_ms, Actor("zhang", Role.OPERATOR)
    made = house.store.write(
        lambda c: tokens.create_token(
            c, actor=zhang, account_name="zhang", name="t", scope=["read"], days=1, now_ms=now
        )
    ).result()
    assert tokens.token_actor(house.store, made) is not None
    house.plant(lambda c: c.execute(update(token).values(scope="read import settle")), linked=linked)
    assert tokens.token_actor(house.store, made) is None
    row = {"account_id": house.number("anna"), "name": "x", "scope": "approve", "created_ms": now}
    row |= {"secret_sha256": tokens.sha256_of("ct_planted"), "expires_ms": now + DAY_MS}
    house.plant(lambda c: c.execute(insert(token).values(row)), linked=linked)
    assert tokens.token_actor(house.store, "ct_planted") is None
    assert found(house, "token 1")
    assert found(house, "token 2")


ALTERED: dict[str, Callable[[], dict[str, Any]]] = {
    "another role": lambda: {"role": "administrator"},
    "another password": lambda: {"password_hash": hash_password(OTHER)},
    "no second factor": lambda: {"totp_key": None},
    "open again": lambda: {"disabled_ms": None},
}


@linked
@pytest.mark.parametrize("what", ALTERED)
def test_an_account_that_was_changed_by_hand_lets_nobody_in(house: House, what: str, linked: bool) -> None:
    key = second_factor.new_key()
    anna, now = Actor("anna", Role.APPROVER), house.clock.now_ms
    code = second_factor.one_time_code(base64.b32decode(key), now // second_factor.STEP_MS)
    house.store.write(lambda c: second_factor.set_up(c, actor=anna, key=key, code=code, now_ms=now)).result()
    if what == "open again":
        house.store.write(lambda c: accounts.disable_account(c, actor=ROOT, name="anna", now_ms=now)).result()
    house.clock.now_ms += 2 * second_factor.STEP_MS
    of_anna = account.c.name == "anna"
    house.plant(lambda c: c.execute(update(account).where(of_anna).values(ALTERED[what]())), linked=linked)
    code = second_factor.one_time_code(base64.b32decode(key), house.clock.now_ms // second_factor.STEP_MS)
    right = OTHER if what == "another password" else PASSWORD
    with pytest.raises(StoreError, match="nobody gets in by it"):
        sessions.log_in(house.store, "anna", right, code=code, address="10.0.0.1")
    assert found(house, f"account {house.number('anna')}")
    with pytest.raises(StoreError, match="nobody gets in by it"):  # nor does a new password make it good
        house.store.write(
            lambda c: accounts.set_password(c, actor=ROOT, name="anna", password_hash=hash_password(OTHER), now_ms=now)
        ).result()


def test_a_running_session_ends_when_its_account_is_changed_by_hand(house: House) -> None:
    secret = house.session_of("zhang")
    house.plant(lambda c: c.execute(update(account).where(account.c.name == "zhang").values(role="approver")))
    assert house.who(secret) is None


def test_an_account_is_put_right_by_giving_it_its_role_anew(house: House) -> None:
    planted = {"role": "administrator", "password_hash": hash_password(OTHER)}
    house.plant(lambda c: c.execute(update(account).where(account.c.name == "anna").values(planted)))
    now = house.clock.now_ms
    house.store.write(lambda c: accounts.set_role(c, actor=LOCAL, name="anna", role=Role.APPROVER, now_ms=now)).result()
    assert sessions.log_in(house.store, "anna", OTHER, address="10.0.0.1") is None  # what was planted is gone
    hashed = hash_password(PASSWORD)
    house.store.write(
        lambda c: accounts.set_password(c, actor=LOCAL, name="anna", password_hash=hashed, now_ms=now)
    ).result()
    assert house.who(house.session_of("anna")) == Actor("anna", Role.APPROVER)
    assert any("was changed by something else before" in each for each in check_store(house.store))


@linked
def test_a_planted_recovery_code_lets_nobody_in(house: House, linked: bool) -> None:
    key, now, anna = second_factor.new_key(), house.clock.now_ms, Actor("anna", Role.APPROVER)
    code = second_factor.one_time_code(base64.b32decode(key), now // second_factor.STEP_MS)
    codes = house.store.write(lambda c: second_factor.set_up(c, actor=anna, key=key, code=code, now_ms=now)).result()
    row = {"account_id": house.number("anna"), "code_sha256": tokens.sha256_of("mine"), "used_ms": None}
    house.plant(lambda c: c.execute(insert(recovery_code).values(row)), linked=linked)
    assert sessions.log_in(house.store, "anna", PASSWORD, code="mine", address="10.0.0.1") is None
    assert sessions.log_in(house.store, "anna", PASSWORD, code=codes[0], address="10.0.0.1") is not None
    house.plant(lambda c: c.execute(update(recovery_code).values(used_ms=None)), linked=linked)
    assert sessions.log_in(house.store, "anna", PASSWORD, code=codes[0], address="10.0.0.1") is None  # not twice


def test_nobody_approves_their_own_by_changing_who_prepared_it(house: House) -> None:
    anna, now = Actor("anna", Role.APPROVER), house.clock.now_ms
    operator = Actor("zhang", Role.OPERATOR)
    number = house.store.write(
        lambda c: four_eyes.propose(c, actor=operator, kind="repair", subject="x", content={}, now_ms=now)
    ).result()
    house.plant(lambda c: c.execute(update(proposal).values(prepared_by="wang")))
    with pytest.raises(StoreError, match="can't be decided"):
        house.store.write(lambda c: four_eyes.decide(c, number, actor=anna, granted=True, now_ms=now)).result()


@linked
def test_a_planted_plant_key_does_not_count_and_a_revoked_one_stays_so(
    house: House, tmp_path: Path, linked: bool
) -> None:
    mine, first, second = (new_signer(tmp_path, name) for name in ("intruder", "first", "second"))
    pem = {name: (tmp_path / f"{name}.pub").read_bytes() for name in ("intruder", "first", "second")}
    configured = {"P1": EnrolledPlant(frozenset({"U1"}), {first.key_id: first.public_key})}
    now = house.clock.now_ms
    house.store.write(lambda c: enrol(c, {"P1": (["U1"], ["g1"])})).result()
    house.store.write(lambda c: enrol_key(c, actor=ROOT, plant="P1", pem=pem["second"], now_ms=now)).result()

    def counting() -> set[str]:
        return set(house.store.read(lambda c: with_stored_keys(c, configured))["P1"].keys)

    assert counting() == {first.key_id, second.key_id}
    row = {"plant": "P1", "key_id": mine.key_id, "public_key": pem["intruder"].decode(), "enrolled_ms": now}
    row |= {"enrolled_by": "root", "reason": ""}
    house.plant(lambda c: c.execute(insert(plant_key).values(row)), linked=linked)
    assert counting() == {first.key_id, second.key_id}
    for signer in (first, second):
        house.store.write(
            lambda c, s=signer: revoke_key(c, actor=ROOT, plant="P1", key_id=s.key_id, reason="lost", now_ms=now)  # type: ignore[misc]
        ).result()
    house.plant(lambda c: c.execute(update(plant_key).values(revoked_ms=None)), linked=linked)
    assert counting() == set()
    house.plant(lambda c: c.execute(delete(plant_key)), linked=linked)
    assert counting() == set()
    assert REVOKED == "key.revoke"


# ---- the key ---------------------------------------------------------------------------------------------------------


def test_the_key_is_a_secret_file_beside_the_database(house: House) -> None:
    path = house.directory / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    key = path.read_bytes()
    tables = metadata.sorted_tables
    kept = house.store.read(lambda c: [str(tuple(row)) for table in tables for row in c.execute(select(table))])
    assert not any(key.hex() in row or str(key)[2:-1] in row for row in kept)


def test_without_its_key_or_with_another_a_store_is_not_opened(house: House) -> None:
    house.store.close()
    path = house.directory / KEY_FILE
    key = path.read_bytes()

    def open_it() -> CenterStore:
        return CenterStore.open(house.directory, clock=house.clock, database_url=house.url)

    path.unlink()
    with pytest.raises(StoreError, match="is not there: put the file back from a backup"):
        open_it()
    assert not path.exists()
    path.write_bytes(b"x" * 32)
    with pytest.raises(StoreError, match="is not the key"):
        open_it()
    path.write_bytes(key)
    house.store = open_it()
    path.chmod(0o644)
    assert any(each.subject == str(path) and "others may use it" in each.message for each in examine(house.store, None))


def test_a_lost_key_is_replaced_and_who_was_in_stays_in(house: House) -> None:
    secret = house.session_of("anna")
    house.store.close()
    (house.directory / KEY_FILE).unlink()
    CenterStore.renew_key(house.directory, database_url=house.url)
    house.store = CenterStore.open(house.directory, clock=house.clock, database_url=house.url)
    assert house.who(secret) == Actor("anna", Role.APPROVER)
    assert check_store(house.store) == []


def test_a_key_that_was_known_to_somebody_is_replaced_and_what_was_planted_stays_out(house: House) -> None:
    now, secret = house.clock.now_ms, "planted"
    row = {"secret_sha256": tokens.sha256_of(secret), "account_id": house.number("anna"), "created_ms": now}
    house.plant(lambda c: c.execute(insert(session).values(row | {"seen_ms": now, "expires_ms": now + DAY_MS})))
    house.store.close()
    CenterStore.renew_key(house.directory, database_url=house.url)
    house.store = CenterStore.open(house.directory, clock=house.clock, database_url=house.url)
    assert house.who(secret) is None
    assert found(house, "session")


def test_a_backup_carries_the_key_and_a_restored_store_lets_people_in(house: House, tmp_path: Path) -> None:
    secret = house.session_of("anna")
    create_backup(house.store, tmp_path / "backup")
    assert (tmp_path / "backup" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    restore_backup(tmp_path / "backup", tmp_path / "restored", clock=house.clock)
    assert (tmp_path / "restored" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    with CenterStore.open(tmp_path / "restored", clock=house.clock, create=False) as restored:
        assert sessions.session_actor(restored, secret, max_ms=DAY_MS) == Actor("anna", Role.APPROVER)
        assert check_store(restored) == []


def test_a_store_of_before_is_sealed_once_and_its_sessions_end(house: House) -> None:
    secret, now, zhang = house.session_of("anna"), house.clock.now_ms, Actor("zhang", Role.OPERATOR)
    made = house.store.write(
        lambda c: tokens.create_token(
            c, actor=zhang, account_name="zhang", name="t", scope=["read"], days=1, now_ms=now
        )
    ).result()
    house.store.close()
    (house.directory / KEY_FILE).unlink()
    engine = house.engine()
    with engine.begin() as connection:  # as the program before left it
        connection.execute(delete(row_seal).where(row_seal.c.name == "session"))
        _number_anew(connection)
        for statement in (
            "ALTER TABLE row_seal DROP COLUMN mac", "ALTER TABLE store DROP COLUMN seal_key_sha256",
            "ALTER TABLE alarm DROP COLUMN seen_ms",
            "UPDATE store SET schema_version = 14", "UPDATE alembic_version SET version_num = '0014'",
            "UPDATE account SET role = 'administrator' WHERE name = 'anna'",
        ):  # fmt: skip
            connection.execute(text(statement))
    engine.dispose()
    house.store = CenterStore.open(house.directory, clock=house.clock, database_url=house.url)
    assert house.who(secret) is None
    assert tokens.token_actor(house.store, made) is not None
    assert house.who(house.session_of("zhang")) == Actor("zhang", Role.OPERATOR)
    with pytest.raises(
        StoreError, match="nobody gets in by it"
    ):  # changed by hand before: an upgrade makes it not good
        sessions.log_in(house.store, "anna", PASSWORD, address="10.0.0.1")
    assert [each for each in check_store(house.store) if "account" not in each] == []
    key = (house.directory / KEY_FILE).read_bytes()
    house.store.close()
    house.store = CenterStore.open(house.directory, clock=house.clock, database_url=house.url)
    assert (house.directory / KEY_FILE).read_bytes() == key


def _number_anew(connection: Connection) -> None:
    """A chain without a hole, as if what was taken out had never been written."""
    links = [dict(link) for link in connection.execute(select(row_seal).order_by(row_seal.c.sequence)).mappings()]
    connection.execute(delete(row_seal))
    previous = sealed_rows.NOTHING_BEFORE
    for number, link in enumerate(links, 1):
        link |= {"sequence": number, "previous": previous}
        previous = link["hash"] = sealed_rows._link_hash(link)
        connection.execute(insert(row_seal).values(link))
    assert connection.execute(select(func.count()).select_from(row_seal)).scalar() == len(links)
