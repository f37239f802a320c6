# SPDX-License-Identifier: GPL-3.0-or-later
"""A center with keys enrolled, and what it says of a batch."""

from __future__ import annotations

from pathlib import Path

from collector import wire
from collector.center.db.store import CenterStore
from collector.center.lake.seal import enrol
from collector.center.people.access import Actor, Role
from collector.center.receive.admission import Admission
from collector.center.receive.arrivals import Accepted, Rejected
from collector.center.receive.keys import revoke_key
from collector.center.settings import CenterSettings, load_center
from tests.center.center_batches import NOON, batch_topic, minutes, new_store, payload_of

ADMINISTRATOR = Actor("gao", Role.ADMINISTRATOR)


def settings_of(tmp_path: Path, *, keys: str = '["first.pub"]') -> CenterSettings:
    """A center.toml with one plant."""
    (tmp_path / "center.toml").write_text(
        f'schema = 1\n[[plant]]\nid = "P1"\nunits = ["U1"]\npublic_key_files = {keys}\n'
        + ("unsigned = true\n" if keys == "[]" else ""),
        "utf-8",
    )
    return load_center(tmp_path / "center.toml")


def opened(tmp_path: Path) -> CenterStore:
    store = new_store(tmp_path / "state")
    store.write(lambda c: enrol(c, {"P1": (["U1"], [])})).result()
    return store


def revoke(store: CenterStore, key_id: str, actor: Actor = ADMINISTRATOR) -> None:
    store.write(
        lambda c: revoke_key(c, actor=actor, plant="P1", key_id=key_id, reason="laptop lost", now_ms=NOON)
    ).result()


def verdict(admission: Admission, signer: wire.Signer | None, sequence: int = 1) -> str:
    """`accepted`, or the code and reason."""
    arrival = admission.admit(batch_topic(), payload_of(sequence, minutes("U1", NOON, 1), signer=signer))
    if isinstance(arrival, Accepted):
        return "accepted"
    assert isinstance(arrival, Rejected)
    return f"{arrival.code}: {arrival.reason}"
