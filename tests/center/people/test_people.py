# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts, four eyes and the audit log on a real store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from collector.base.errors import Denied, StoreError
from collector.center.db.store import CenterStore
from collector.center.db.tables_people import account, session, token
from collector.center.people import accounts, audit, four_eyes, sessions, tokens
from collector.center.people.access import PERMISSIONS, SCOPES, Actor, Permission, Role
from collector.center.people.passwords import hash_password

NOW_MS = 1_767_225_600_000
ADMIN = Actor("root", Role.ADMINISTRATOR)
ZHANG = Actor("zhang", Role.OPERATOR)
LI = Actor("li", Role.APPROVER)
PASSWORD = "correct horse battery"
MAX_MS = 24 * 3_600_000


class _Clock:
    now_ms = NOW_MS

    def now_utc_ms(self) -> int:
        return self.now_ms

    def monotonic_s(self) -> float:
        return self.now_ms / 1000

    async def sleep_until(self, time_utc_ms: int) -> int:
        self.now_ms = max(self.now_ms, time_utc_ms)
        return 0


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def store(tmp_path: Path, clock: _Clock) -> Iterator[CenterStore]:
    with CenterStore.open(tmp_path / "state", clock=clock) as opened:
        yield opened


def add(store: CenterStore, name: str, role: Role = Role.OPERATOR, plant: str | None = None) -> None:
    hashed = hash_password(PASSWORD)
    store.write(
        lambda c: accounts.create_account(
            c, actor=ADMIN, name=name, full_name=name, role=role, plant=plant, password_hash=hashed, now_ms=NOW_MS
        )
    ).result()


def commit_all(store: CenterStore) -> None:
    """Jobs are done in turn: after this one, so are all handed in before."""
    store.write(lambda c: audit.head(c)).result()


def test_the_right_password_opens_a_session_and_a_wrong_one_none(store: CenterStore) -> None:
    add(store, "zhang")
    assert sessions.log_in(store, "zhang", "wrong password", address="10.0.0.1") is None
    assert sessions.log_in(store, "nobody", PASSWORD, address="10.0.0.1") is None
    secret = sessions.log_in(store, "zhang", PASSWORD, address="10.0.0.1")
    assert secret is not None
    assert sessions.session_actor(store, secret, max_ms=MAX_MS) == Actor("zhang", Role.OPERATOR)
    store.write(lambda c: sessions.log_out(c, secret)).result()
    assert sessions.session_actor(store, secret, max_ms=MAX_MS) is None


def test_neither_passwords_nor_secrets_stand_in_the_store(store: CenterStore) -> None:
    add(store, "zhang")
    secret = sessions.log_in(store, "zhang", PASSWORD, address="x")
    made = store.write(
        lambda c: tokens.create_token(
            c, actor=ZHANG, account_name="zhang", name="t", scope=["read"], days=1, now_ms=NOW_MS
        )
    ).result()
    kept = store.read(lambda c: [str(tuple(r)) for t in (account, session, token) for r in c.execute(select(t))])
    assert secret is not None
    assert not any(PASSWORD in row or secret in row or made in row for row in kept)


def test_a_session_ends_by_itself_and_lives_on_while_it_is_used(store: CenterStore, clock: _Clock) -> None:
    add(store, "zhang")
    secret = sessions.log_in(store, "zhang", PASSWORD, address="x")
    assert secret is not None
    clock.now_ms += sessions.IDLE_MS - 1
    assert sessions.session_actor(store, secret, max_ms=MAX_MS) is not None
    commit_all(store)
    clock.now_ms += sessions.IDLE_MS - 1
    assert sessions.session_actor(store, secret, max_ms=MAX_MS) is not None
    commit_all(store)
    clock.now_ms += sessions.IDLE_MS
    assert sessions.session_actor(store, secret, max_ms=MAX_MS) is None


def test_a_session_ends_for_good_after_its_longest_time_however_much_it_is_used(
    store: CenterStore, clock: _Clock
) -> None:
    add(store, "zhang")
    secret = sessions.log_in(store, "zhang", PASSWORD, address="x") or ""
    for _ in range(MAX_MS // 3_600_000 - 1):
        clock.now_ms += 3_600_000
        assert sessions.session_actor(store, secret, max_ms=MAX_MS) is not None
        commit_all(store)
    clock.now_ms += 3_600_000
    assert sessions.session_actor(store, secret, max_ms=MAX_MS) is None


def test_a_token_does_what_its_scope_says_and_never_more_than_the_account(store: CenterStore) -> None:
    for role in Role:
        name = f"the-{role}"
        add(store, name, role, "P1" if role is Role.PLANT else None)
        for scope in SCOPES:
            make = partial(
                tokens.create_token, actor=ADMIN, account_name=name, name="t", scope=[scope], days=1, now_ms=NOW_MS
            )
            if not SCOPES[scope] & PERMISSIONS[role]:
                with pytest.raises(StoreError, match="a scope is one or more of"):
                    store.write(make).result()
                continue
            actor = tokens.token_actor(store, store.write(make).result())
            assert actor is not None
            may = {permission for permission in Permission if actor.may(permission)}
            assert may == SCOPES[scope] & PERMISSIONS[role], (role, scope)


@pytest.mark.parametrize("scope", [[], ["everything"], ["read", "import settle"]])
def test_a_scope_that_is_none_makes_no_token(store: CenterStore, scope: list[str]) -> None:
    add(store, "zhang")
    make = partial(tokens.create_token, actor=ZHANG, account_name="zhang", name="t", scope=scope, days=1, now_ms=NOW_MS)
    with pytest.raises(StoreError, match="a scope is one or more of read, import, settle, prepare, review"):
        store.write(make).result()


def test_every_permission_is_in_one_scope() -> None:
    named = [permission for permissions in SCOPES.values() for permission in permissions]
    assert sorted(named) == sorted(Permission)


def test_after_ten_failures_even_the_right_password_waits_a_quarter_of_an_hour(
    store: CenterStore, clock: _Clock
) -> None:
    add(store, "zhang")
    add(store, "wang")
    for n in range(sessions.FAILURES_BY_NAME):
        assert sessions.log_in(store, "zhang", "wrong password", address=f"10.0.0.{n}") is None
    with pytest.raises(Denied, match="quarter of an hour"):
        sessions.log_in(store, "zhang", PASSWORD, address="10.0.1.1")
    assert sessions.log_in(store, "wang", PASSWORD, address="10.0.1.1")
    clock.now_ms += sessions.FAILURE_WINDOW_MS
    assert sessions.log_in(store, "zhang", PASSWORD, address="10.0.1.1")


def test_a_disabled_account_has_no_session_no_token_and_no_log_in(store: CenterStore) -> None:
    add(store, "zhang")
    secret = sessions.log_in(store, "zhang", PASSWORD, address="x") or ""
    made = store.write(
        lambda c: tokens.create_token(
            c, actor=ADMIN, account_name="zhang", name="t", scope=["read"], days=9, now_ms=NOW_MS
        )
    ).result()
    assert tokens.token_actor(store, made) == Actor("zhang", Role.OPERATOR, scope=SCOPES["read"])
    store.write(lambda c: accounts.disable_account(c, actor=ADMIN, name="zhang", now_ms=NOW_MS)).result()
    assert sessions.session_actor(store, secret, max_ms=MAX_MS) is None
    assert tokens.token_actor(store, made) is None
    assert sessions.log_in(store, "zhang", PASSWORD, address="x") is None
    with pytest.raises(StoreError, match="taken"):
        add(store, "zhang")


def _change_password(connection: Connection) -> None:
    accounts.set_password(connection, actor=ADMIN, name="zhang", password_hash="x", now_ms=NOW_MS)


def _change_role(connection: Connection) -> None:
    accounts.set_role(connection, actor=ADMIN, name="zhang", role=Role.PLANT, plant="P1", now_ms=NOW_MS)


def _disable(connection: Connection) -> None:
    accounts.disable_account(connection, actor=ADMIN, name="zhang", now_ms=NOW_MS)


@pytest.mark.parametrize("change", [_change_password, _change_role, _disable])
def test_a_new_password_another_role_or_closing_ends_sessions_and_tokens_and_nobody_elses(
    store: CenterStore, change: Callable[[Connection], None]
) -> None:
    for name in ("zhang", "wang"):
        add(store, name)
    opened = {name: sessions.log_in(store, name, PASSWORD, address="x") or "" for name in ("zhang", "wang")}
    made = {
        name: store.write(
            lambda c, n=name: tokens.create_token(  # type: ignore[misc]
                c, actor=ADMIN, account_name=n, name="t", scope=["read"], days=9, now_ms=NOW_MS
            )
        ).result()
        for name in ("zhang", "wang")
    }
    store.write(change).result()
    assert sessions.session_actor(store, opened["zhang"], max_ms=MAX_MS) is None
    assert tokens.token_actor(store, made["zhang"]) is None
    assert sessions.session_actor(store, opened["wang"], max_ms=MAX_MS) == Actor("wang", Role.OPERATOR)
    assert tokens.token_actor(store, made["wang"]) == Actor("wang", Role.OPERATOR, scope=SCOPES["read"])
    assert store.read(audit.list_entries)[0]["detail"]["tokens_revoked"] == [1]


def test_another_role_counts_at_the_next_log_in_and_is_in_the_audit_log(store: CenterStore) -> None:
    add(store, "zhang")
    store.write(_change_role).result()
    secret = sessions.log_in(store, "zhang", PASSWORD, address="x") or ""
    assert sessions.session_actor(store, secret, max_ms=MAX_MS) == Actor("zhang", Role.PLANT, "P1")
    entry = next(e for e in store.read(audit.list_entries) if e["action"] == "account.role")
    assert entry["detail"]["before"] == {"role": "operator", "plant": None}
    assert (entry["detail"]["role"], entry["detail"]["plant"]) == ("plant", "P1")


def test_nobody_changes_their_own_role_and_only_an_administrator_anothers(store: CenterStore) -> None:
    add(store, "zhang")
    for actor, name in ((ADMIN, ADMIN.name), (LI, "zhang"), (ZHANG, "zhang")):
        with pytest.raises(Denied):
            store.write(
                lambda c, a=actor, n=name: accounts.set_role(  # type: ignore[misc]
                    c, actor=a, name=n, role=Role.AUDITOR, now_ms=NOW_MS
                )
            ).result()
    with pytest.raises(StoreError, match="needs a plant"):
        store.write(lambda c: accounts.set_role(c, actor=ADMIN, name="zhang", role=Role.PLANT, now_ms=NOW_MS)).result()


def test_a_token_ends_when_revoked_and_when_its_days_are_over(store: CenterStore, clock: _Clock) -> None:
    add(store, "zhang")

    def make(days: int) -> str:
        return store.write(
            lambda c: tokens.create_token(
                c, actor=ZHANG, account_name="zhang", name="t", scope=["read"], days=days, now_ms=NOW_MS
            )
        ).result()

    first, second = make(1), make(2)
    store.write(lambda c: tokens.revoke_token(c, 2, actor=ZHANG, now_ms=NOW_MS)).result()
    assert tokens.token_actor(store, first) is not None
    assert tokens.token_actor(store, second) is None
    clock.now_ms += 86_400_000
    assert tokens.token_actor(store, first) is None


@pytest.mark.parametrize("actor", [ZHANG, LI, Actor("p", Role.PLANT, "P1")], ids=lambda a: str(a.role))
def test_only_an_administrator_makes_accounts_and_others_passwords(store: CenterStore, actor: Actor) -> None:
    add(store, "wang")
    with pytest.raises(Denied):
        store.write(
            lambda c: accounts.create_account(
                c, actor=actor, name="new", full_name="", role=Role.AUDITOR, plant=None, password_hash="", now_ms=0
            )
        ).result()
    with pytest.raises(Denied):
        store.write(
            lambda c: accounts.set_password(c, actor=actor, name="wang", password_hash="", now_ms=NOW_MS)
        ).result()
    with pytest.raises(Denied):
        store.write(
            lambda c: tokens.create_token(
                c, actor=actor, account_name="wang", name="t", scope=["read"], days=1, now_ms=0
            )
        ).result()


@pytest.mark.parametrize(("role", "plant"), [(Role.PLANT, None), (Role.OPERATOR, "P1")])
def test_a_plant_belongs_to_the_role_plant_and_to_no_other(store: CenterStore, role: Role, plant: str | None) -> None:
    with pytest.raises(StoreError, match="plant"):
        add(store, "somebody", role, plant)


def test_a_short_password_is_refused() -> None:
    with pytest.raises(StoreError, match="10 to 256"):
        hash_password("123456789")


def test_nobody_may_everything_and_no_role_both_prepares_and_approves() -> None:
    for role, permissions in PERMISSIONS.items():
        assert permissions != frozenset(Permission), role
        assert not {Permission.PREPARE, Permission.APPROVE} <= permissions, role
        assert (Permission.SEE_ALL in permissions) == (role is not Role.PLANT), role


def propose(store: CenterStore, actor: Actor = ZHANG, subject: str = "month 2026-03") -> int:
    return store.write(
        lambda c: four_eyes.propose(
            c, actor=actor, kind="month_step", subject=subject, content={"to": "disclosed"}, now_ms=NOW_MS
        )
    ).result()


def decide(store: CenterStore, number: int, actor: Actor) -> four_eyes.Proposal:
    return store.write(
        lambda c: four_eyes.decide(c, number, actor=actor, granted=True, note="fine", now_ms=NOW_MS)
    ).result()


def test_who_prepares_cannot_decide_even_at_the_command_line(store: CenterStore) -> None:
    both = Actor.at_command_line("zhang")
    number = propose(store, both)
    with pytest.raises(Denied, match="who prepares"):
        decide(store, number, both)
    assert decide(store, number, LI).decision == "granted"


def test_two_names_of_one_user_of_the_system_are_one_person_at_the_command_line(store: CenterStore) -> None:
    number = propose(store, Actor.at_command_line("zhang", "root@center"))
    with pytest.raises(Denied, match="zhang prepared it as the same user of the system, root@center"):
        decide(store, number, Actor.at_command_line("li", "root@center"))
    assert decide(store, number, Actor.at_command_line("li", "li@center")).decision == "granted"


def test_where_people_share_a_user_of_the_system_the_names_count_and_both_logins_are_kept(store: CenterStore) -> None:
    number = propose(store, Actor.at_command_line("zhang", "root@center"))
    shared = Actor.at_command_line("li", "root@center", shared_login=True)
    assert decide(store, number, shared).decision == "granted"
    entries = store.read(audit.list_entries)
    assert [(e["who"], e["role"], e["detail"]["login"]) for e in entries] == [
        ("li", "local", "root@center"),
        ("zhang", "local", "root@center"),
    ]
    assert store.read(audit.verify) == []


def test_a_login_says_nothing_against_who_decides_in_the_pages(store: CenterStore) -> None:
    number = propose(store, Actor.at_command_line("zhang", "root@center"))
    assert decide(store, number, LI).decision == "granted"
    assert "login" not in store.read(audit.list_entries)[0]["detail"]


def test_of_two_people_who_decide_at_once_one_is_refused(store: CenterStore) -> None:
    number = propose(store)
    others = [Actor(f"approver-{n}", Role.APPROVER) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(decide, store, number, actor) for actor in others]
        errors = [future.exception() for future in tries]
    assert sum(error is None for error in errors) == 1
    assert sum(isinstance(error, StoreError) for error in errors) == 7


def test_a_subject_has_one_open_proposal_of_a_kind(store: CenterStore) -> None:
    number = propose(store)
    with pytest.raises(StoreError, match=f"proposal {number}"):
        propose(store)
    store.write(lambda c: four_eyes.withdraw(c, number, actor=ZHANG, now_ms=NOW_MS)).result()
    assert propose(store) == number + 1
    assert [p.decision for p in store.read(four_eyes.list_proposals)] == ["withdrawn", None]


def test_every_change_has_its_entry_and_the_chain_can_be_recomputed(store: CenterStore) -> None:
    add(store, "zhang")
    decide(store, propose(store), LI)
    entries = store.read(audit.list_entries)[::-1]
    assert [e["action"] for e in entries] == ["account.create", "month_step.propose", "month_step.decide"]
    assert store.read(audit.verify) == []
    # By hand, as the docstring says.
    previous = "0" * 64
    for e in entries:
        detail = json.dumps(e["detail"], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        fields = [e["sequence"], e["at_ms"], e["who"], e["role"], e["action"], e["subject"], detail, previous]
        previous = hashlib.sha256(json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
        assert e["hash"] == previous
    assert store.read(audit.head) == (3, previous)


@pytest.mark.parametrize("statement", ["UPDATE audit SET who = 'x'", "DELETE FROM audit"])
def test_the_database_refuses_to_change_the_log(store: CenterStore, statement: str) -> None:
    add(store, "zhang")
    with pytest.raises(DBAPIError, match="append-only"):
        store.write(lambda c: c.execute(text(statement))).result()
    assert len(store.read(audit.list_entries)) == 1


def test_whoever_drops_the_guards_and_alters_an_entry_is_seen(store: CenterStore) -> None:
    for name in ("zhang", "wang", "zhao"):
        add(store, name)

    def tamper(connection: Connection) -> None:
        connection.execute(text("DROP TRIGGER audit_no_update"))
        connection.execute(text("UPDATE audit SET subject = 'li' WHERE sequence = 2"))

    store.write(tamper).result()
    assert store.read(audit.verify) == ["audit entry 2: altered after it was written"]


def fail(store: CenterStore, name: str, address: str) -> None:
    """A failed log-in without the time that a password takes."""
    store.write(lambda c: sessions._note_failure(c, name, address, NOW_MS)).result()


def test_somebody_elses_failures_do_not_lock_out_whoever_is_known_at_an_address(store: CenterStore) -> None:
    add(store, "zhang")
    assert sessions.log_in(store, "zhang", PASSWORD, address="10.0.0.7")
    for n in range(sessions.FAILURES_BY_NAME):
        fail(store, "zhang", f"10.9.0.{n}")
    with pytest.raises(Denied, match="quarter of an hour"):
        sessions.log_in(store, "zhang", PASSWORD, address="10.9.1.1")
    assert sessions.log_in(store, "zhang", PASSWORD, address="10.0.0.7")
    # The address is known for this name only, and has no more tries than any other.
    for _ in range(sessions.FAILURES_BY_NAME):
        fail(store, "zhang", "10.0.0.7")
    with pytest.raises(Denied, match="quarter of an hour"):
        sessions.log_in(store, "zhang", PASSWORD, address="10.0.0.7")


def test_at_once_no_more_passwords_are_tried_than_one_after_the_other(store: CenterStore) -> None:
    add(store, "zhang")

    def attempt(_: int) -> str:
        try:
            sessions.log_in(store, "zhang", "wrong password", address="10.0.0.1")
        except Denied:
            return "refused"
        return "tried"

    for n in range(sessions.FAILURES_BY_NAME - 2):
        fail(store, "zhang", f"10.9.0.{n}")
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, range(8)))
    assert outcomes.count("tried") == 2


def test_a_password_that_was_replaced_while_it_was_checked_opens_nothing(store: CenterStore) -> None:
    add(store, "zhang")
    found = store.read(lambda c: c.execute(select(account).where(account.c.name == "zhang")).one())
    new = hash_password("a new password")
    store.write(
        lambda c: accounts.set_password(c, actor=ADMIN, name="zhang", password_hash=new, now_ms=NOW_MS)
    ).result()
    secret = store.write(lambda c: sessions._start_session(c, found, found.password_hash, "", "x", NOW_MS)).result()
    assert secret is None
    assert sessions.log_in(store, "zhang", "a new password", address="x")
    assert sessions.log_in(store, "zhang", PASSWORD, address="x") is None
