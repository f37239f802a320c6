# SPDX-License-Identifier: GPL-3.0-or-later
"""One-time codes by the vectors of their standards, and the second factor of an account on a real store."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.base.errors import Denied, StoreError
from collector.center.db.store import CenterStore
from collector.center.people import accounts, audit, second_factor, sessions
from collector.center.people.access import Actor, Role
from collector.center.people.passwords import hash_password
from tests.center.center_batches import FixedClock

PASSWORD = "correct horse battery"
KEY = b"12345678901234567890"  # of both standards' vectors
ADMIN, ANNA = Actor("root", Role.ADMINISTRATOR), Actor("anna", Role.APPROVER)
STEP_MS = 30_000


@pytest.mark.parametrize(
    ("time_s", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_a_code_of_eight_digits_is_that_of_rfc_6238_appendix_b(time_s: int, code: str) -> None:
    assert second_factor.one_time_code(KEY, time_s * 1000 // STEP_MS, digits=8) == code


def test_codes_of_six_digits_are_those_of_rfc_4226_appendix_d() -> None:
    expected = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
    assert [second_factor.one_time_code(KEY, count) for count in range(10)] == expected


class _Door:
    """An account with a second factor and the ways in."""

    def __init__(self, store: CenterStore, clock: FixedClock) -> None:
        self.store, self.clock = store, clock
        self.key = second_factor.new_key()
        hashed = hash_password(PASSWORD)
        store.write(
            lambda c: accounts.create_account(
                c, actor=ADMIN, name="anna", full_name="", role=Role.APPROVER, plant=None, password_hash=hashed,
                now_ms=clock.now_ms,
            )
        ).result()  # fmt: skip

    def code(self, steps: int = 0) -> str:
        return second_factor.one_time_code(base64.b32decode(self.key), self.clock.now_ms // STEP_MS + steps)

    def set_up(self, code: str = "") -> list[str]:
        typed = code or self.code()
        return self.store.write(
            lambda c: second_factor.set_up(c, actor=ANNA, key=self.key, code=typed, now_ms=self.clock.now_ms)
        ).result()

    def remove(self, actor: Actor, code: str = "") -> None:
        self.store.write(
            lambda c: second_factor.remove(c, actor=actor, name="anna", code=code, now_ms=self.clock.now_ms)
        ).result()

    def lets_in(self, code: str) -> bool:
        return sessions.log_in(self.store, "anna", PASSWORD, code=code, address="x") is not None


@pytest.fixture
def door(tmp_path: Path) -> Iterator[_Door]:
    clock = FixedClock()
    with CenterStore.open(tmp_path / "state", clock=clock) as store:
        yield _Door(store, clock)


def test_the_password_alone_opens_nothing_once_a_second_factor_is_set_up(door: _Door) -> None:
    assert door.lets_in("")
    door.set_up()
    assert not door.lets_in("")
    assert not door.lets_in("000000" if door.code(1) != "000000" else "000001")
    assert door.lets_in(door.code(1))


def test_a_code_counts_once_and_none_before_it_counts_again(door: _Door) -> None:
    used = door.code()
    door.set_up()
    assert not door.lets_in(used)
    door.clock.now_ms += STEP_MS
    assert not door.lets_in(used)
    fresh = door.code()
    assert door.lets_in(fresh)
    assert not door.lets_in(fresh)
    assert not door.lets_in(door.code(-1))


def test_a_clock_half_a_minute_off_still_opens_and_one_further_off_does_not(door: _Door) -> None:
    door.set_up()
    door.clock.now_ms += 10 * STEP_MS
    assert not door.lets_in(door.code(2))
    assert not door.lets_in(door.code(-2))
    assert door.lets_in(door.code(-1))
    assert door.lets_in(door.code(1))


def test_each_recovery_code_lets_in_once_however_it_is_typed_and_is_in_the_audit_log(door: _Door) -> None:
    first, second, *others = door.set_up()
    assert len({first, second, *others}) == second_factor.RECOVERY_CODES
    assert door.lets_in(first)
    assert not door.lets_in(first)
    assert door.lets_in(f" {second.upper().replace('-', ' ')} ")
    entries = [e for e in door.store.read(audit.list_entries) if e["action"] == "second_factor.recover"]
    assert [e["detail"]["codes_left"] for e in entries] == [8, 9]


def test_a_wrong_code_counts_as_a_failed_log_in(door: _Door) -> None:
    door.set_up()
    for _ in range(sessions.FAILURES_BY_NAME):
        assert not door.lets_in("not a code")
    with pytest.raises(Denied, match="quarter of an hour"):
        door.lets_in(door.code(1))


def test_a_key_is_taken_only_with_its_code_and_only_where_there_is_none(door: _Door) -> None:
    with pytest.raises(StoreError, match="not the code of this key"):
        door.set_up("not a code")
    door.set_up()
    with pytest.raises(StoreError, match="there is one already"):
        door.set_up(door.code(1))
    door.key = base64.b32encode(b"short").decode()
    with pytest.raises(StoreError, match="not a key"):
        door.set_up("123456")


def test_one_removes_ones_own_with_a_code_and_an_administrator_anybodys_and_sessions_end(door: _Door) -> None:
    codes = door.set_up()
    secret = sessions.log_in(door.store, "anna", PASSWORD, code=codes[0], address="x") or ""
    with pytest.raises(StoreError, match="does not count"):
        door.remove(ANNA, "wrong")
    with pytest.raises(Denied):
        door.remove(Actor("li", Role.OPERATOR))
    assert sessions.session_actor(door.store, secret, max_ms=STEP_MS) == Actor(
        "anna", Role.APPROVER, second_factor=True
    )
    door.remove(ANNA, codes[1])
    assert sessions.session_actor(door.store, secret, max_ms=STEP_MS) is None
    assert door.lets_in("")
    door.clock.now_ms += STEP_MS
    door.set_up()
    door.remove(ADMIN)
    with pytest.raises(StoreError, match="has no second factor"):
        door.remove(ADMIN)


def test_neither_the_recovery_codes_nor_the_key_are_told_by_a_list(door: _Door) -> None:
    door.set_up()
    [row] = door.store.read(accounts.list_accounts)
    assert row["second_factor"] is True
    assert door.key not in str(row)
