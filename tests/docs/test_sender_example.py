# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/examples/sender.py, which knows only docs/wire.md: what it makes is read as meant, and a center takes it."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from collector import wire
from collector.model.record import Quality
from docs.examples import sender
from tests.center.center_process import configured, free_port, running_broker, running_center, stored

EXAMPLE = Path(sender.__file__)
T = 1_774_000_000_000
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def rows_of(seed: int, count: int) -> list[dict[str, str]]:
    """Rows of two units with holes, odd steps and every size of number."""
    draw, rows = random.Random(seed), []
    for unit in ("U1", "U2"):
        time_ms = T
        for _ in range(count):
            power = draw.choice([0, 1, 330_000, -7, 2_000_000]) + draw.randrange(3)
            rows.append({
                "unit": unit, "time_utc_ms": str(time_ms),
                "active_power_mw": draw.choice(["", f"{power / 1000:.3f}"]), "on_grid": draw.choice(["0", "1"]),
            })  # fmt: skip
            time_ms += draw.choice([1000, 1000, 40, 70_000])
    return rows


@pytest.mark.parametrize("seed", range(8))
def test_what_it_seals_is_read_as_it_was_meant(seed: int, tmp_path: Path) -> None:
    rows = rows_of(seed, 1 + 12 * seed)
    by_unit = {unit: [row for row in rows if row["unit"] == unit] for unit in ("U1", "U2")}
    outbox = sender.Outbox(tmp_path, "P1", "g1", KEY)
    outbox.seal(by_unit, ["active_power_mw", "on_grid"], [[["U1"], T - 5000, T, "agent_down", None, None, None]])
    envelope = wire.open_envelope(outbox.payload(1) or b"")
    wire.verify_signature(envelope, KEY.public_key())
    batch = wire.decode_batch(envelope)
    assert [gap.reason for gap in batch.gaps] == ["agent_down"]
    assert len(batch.records) == len(rows)
    for row, record in zip(rows, batch.records, strict=True):
        cell = row["active_power_mw"]
        kilowatts = round(float(cell) * 1000) if cell else None
        assert (record.unit, record.time_utc_ms) == (row["unit"], int(row["time_utc_ms"]))
        assert record.values == (kilowatts, int(row["on_grid"]))
        assert record.qualities[0] == (Quality.GOOD if cell else Quality.SILENT)


def test_a_batch_after_a_kill_at_any_write_is_sealed_once_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = tmp_path / "r.csv"
    write_rows(records, rows_of(1, 40))
    monkeypatch.setattr(sender, "RECORDS_PER_BATCH", 16)
    whole_write = sender.write
    for last in range(1, 60, 2):
        writes = iter(range(last))

        def killed(path: Path, data: bytes, writes: object = writes) -> None:
            if next(writes, None) is None:  # type: ignore[call-overload]
                raise KeyboardInterrupt
            whole_write(path, data)

        folder = tmp_path / f"state{last}"
        with monkeypatch.context() as patch:
            patch.setattr(sender, "write", killed)
            try:
                sender.seal_file(sender.Outbox(folder, "P1", "g1", KEY), records)
            except KeyboardInterrupt:
                pass
            else:
                break
        outbox = sender.Outbox(folder, "P1", "g1", KEY)
        sender.seal_file(outbox, records)
        assert outbox.waiting() == [1, 2, 3, 4, 5]
        found = [wire.decode_batch(wire.open_envelope(outbox.payload(n) or b"")) for n in outbox.waiting()]
        assert sum(len(batch.records) for batch in found) == 80
    else:
        pytest.fail("it never came to its end")


def test_an_ask_is_answered_by_the_same_bytes_or_by_a_gap_record(tmp_path: Path) -> None:
    outbox = sender.Outbox(tmp_path, "P1", "g1", KEY)
    for start in (T, T + 60_000):
        rows = [{"unit": "U1", "time_utc_ms": str(start), "on_grid": "1"}]
        outbox.seal({"U1": rows}, ["on_grid"], [])
    first = outbox.payload(1)
    ack = {"store_id": "s", "epoch": outbox.epoch, "through": 2, "also": [], "refused": []}
    outbox.take_ack(ack)
    assert outbox.waiting() == []
    (tmp_path / "000000000002.acked").unlink()
    asked = {"epoch": outbox.epoch, "sequences": [[1, 2], [7, 9]]}
    assert list(sender.answer(outbox, asked)) == [1]
    assert outbox.payload(1) == first
    assert outbox.waiting() == [3]
    (gap,) = wire.decode_batch(wire.open_envelope(outbox.payload(3) or b"")).gaps
    assert (gap.reason, gap.from_seq, gap.to_seq, f"{gap.epoch:016x}") == ("unreadable", 2, 2, outbox.epoch)
    outbox.take_ack(ack | {"through": 3, "refused": [[3, "too_many_days"]]})
    assert outbox.waiting() == [3], "a curable refusal frees nothing"
    outbox.take_ack(ack | {"store_id": "restored", "through": 0})
    assert outbox.waiting() == [1, 3], "what a restored center does not name it does not have"


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def send(folder: Path, port: int, records: Path, plant_key: Path) -> str:
    command: list[str | Path] = [
        sys.executable, EXAMPLE, records, "--broker", f"127.0.0.1:{port}", "--plant", "P1", "--gateway", "g1",
        "--key", plant_key, "--center-key", folder / "center.pub", "--state", folder / "outbox",
    ]  # fmt: skip
    done: subprocess.CompletedProcess[str] = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_center_takes_its_records_once(tmp_path: Path) -> None:
    configured(tmp_path)
    port = free_port()
    records = tmp_path / "records.csv"
    rows = rows_of(3, 700)
    write_rows(records, rows)
    with running_broker(port):
        with running_center(tmp_path, port):
            assert send(tmp_path, port, records, tmp_path / "plant.pem") == "acknowledged: records.csv 1400\n"
            assert send(tmp_path, port, records, tmp_path / "plant.pem") == "acknowledged: records.csv 1400\n"
        assert stored(tmp_path) == (3, 1400, 3)
