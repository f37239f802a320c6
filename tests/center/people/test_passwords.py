# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords as the program hashes them; the other tests' own process takes cheaper hashes."""

from __future__ import annotations

import subprocess
import sys

from argon2 import PasswordHasher, Type, extract_parameters

from collector.center.people import passwords

PASSWORD = "correct horse battery"
_HASH = f"from collector.center.people.passwords import hash_password; print(hash_password({PASSWORD!r}))"


def hashed_by_a_process() -> str:
    """The hash of `PASSWORD`, made by a process of its own."""
    return subprocess.run([sys.executable, "-c", _HASH], check=True, capture_output=True, text=True).stdout.strip()


def test_a_hash_costs_a_thief_at_least_what_rfc_9106_recommends() -> None:
    """RFC 9106, section 4, second recommendation: argon2id, 3 passes, 4 lanes, 64 MiB, a salt of 16 bytes."""
    found = extract_parameters(hashed_by_a_process())
    assert (found.type, found.version) == (Type.ID, 0x13)
    assert found.time_cost >= 3
    assert found.parallelism >= 4
    assert found.memory_cost >= 64 * 1024
    assert found.salt_len >= 16


def test_two_hashes_of_one_password_differ_and_both_know_it() -> None:
    first, second = hashed_by_a_process(), hashed_by_a_process()
    assert first != second
    assert all(passwords.is_password(each, PASSWORD) for each in (first, second))
    assert not any(passwords.is_password(each, PASSWORD + " ") for each in (first, second))


def test_a_hash_of_other_parameters_is_made_anew_at_the_next_log_in() -> None:
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)
    new = passwords.renewed_hash(old, PASSWORD)
    assert new is not None
    assert passwords.is_password(new, PASSWORD)
    assert passwords.renewed_hash(new, PASSWORD) is None
