# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs that watch what comes in: findings, substitutions, keys, alarms, gaps, asks, doctor."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from collector.center.lake.seal import enrol, seal_month_of
from collector.center.operate.alarms import Alarm, apply_alarms
from collector.cli.main import app
from collector.model.interval import Month
from tests.center.center_batches import NOON, deliver, minutes, new_signer, new_store, payload_of, record
from tests.center.quality.validated_days import take_register

FROM, TO = "2026-03-10T12:00:00+08:00", "2026-03-10T12:02:00+08:00"


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["center", *words])
    return result.exit_code, result.output or str(result.exception)


def rows(*words: str) -> list[dict[str, Any]]:
    code, said = run(*words, "--json")
    assert code in (0, 1), said
    found = json.loads(said)
    assert isinstance(found, list)
    return found


@pytest.fixture
def broker() -> Iterator[int]:
    """Somebody who listens where the broker should be."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def config(tmp_path: Path, broker: int) -> str:
    """A center.toml with a signed plant, and its store with five minutes of U1, the fourth at 800 MW."""
    new_signer(tmp_path, "plant")
    new_signer(tmp_path, "center")
    text = f"""schema = 1
[center]
state_dir = "state"
listen = ""  # where it is not asked: at the usual port another test's center may stand
signing_key_file = "center.pem"
shared_login = true
[mqtt]
port = {broker}
[alarms]
disk_free_ratio = 0.000001
[[plant]]
id = "P1"
units = ["U1"]
public_key_files = ["plant.pub"]
"""
    (tmp_path / "center.toml").write_text(text, "utf-8")
    with new_store(tmp_path / "state") as store:
        store.write(lambda c: enrol(c, {"P1": (["U1"], [])})).result()
        take_register(store)
        records = minutes("U1", NOON, 5)
        records[3] = record("U1", NOON + 180_000, 800_000)
        deliver(store, [payload_of(1, records)])
        seal_month_of(store, Month(2026, 3))
    return str(tmp_path / "center.toml")


def test_findings_are_looked_for_and_listed(config: str) -> None:
    found = rows("findings", "--month", "2026-03", "--config", config)
    assert {(row["code"], row["found"]) for row in found} >= {("out_of_range", "800 MW")}
    code, said = run("findings", "--unit", "U1", "--config", config)
    assert code == 0
    assert "U1  2026-03-10T12:03:00+08:00  2026-03-10T12:04:00+08:00  out_of_range" in said
    assert run("findings", "--month", "March", "--config", config)[0] == 2


def test_a_value_is_proposed_approved_by_another_and_withdrawn(config: str) -> None:
    words = ("U1", "active_power_mw", FROM, TO, "250", "--method", "report", "--reason", "failed")
    code, said = run("substitute", "propose", *words, "--config", config, "--who", "li")
    assert (code, "substitution 1 is proposed" in said) == (0, True)
    code, said = run("substitute", "approve", "1", "--config", config, "--who", "li")
    assert (code, "another person must" in said) == (1, True)
    assert run("substitute", "approve", "1", "--config", config, "--who", "wang")[0] == 0
    assert [row["state"] for row in rows("substitute", "list", "--month", "2026-03", "--config", config)] == [
        "in_force"
    ]
    back = ("substitute", "withdraw", "1", "--config", config)
    assert run(*back, "--who", "li")[0] == 2
    assert run(*back, "--reason", "wrong", "--who", "li")[0] == 0
    assert "li proposes to take it back: wrong" in run("substitute", "list", "--unit", "U1", "--config", config)[1]
    assert run(*back, "--approve", "--who", "li")[0] == 1
    assert run(*back, "--approve", "--who", "wang")[0] == 0
    code, said = run("substitute", "list", "--unit", "U1", "--config", config)
    assert f"1  withdrawn  U1  active_power_mw = 250  {FROM}/{TO}  (li, wang): report; failed" in said


def test_keys_are_listed_enrolled_and_revoked(config: str, tmp_path: Path) -> None:
    second = new_signer(tmp_path, "second")
    code, said = run("key", "enroll", "P1", str(tmp_path / "second.pub"), "--config", config)
    assert (code, second.key_id in said) == (0, True)
    listed = rows("key", "list", config)
    assert sorted(row["source"] for row in listed) == ["center.toml", "store"]
    code, said = run("key", "revoke", second.key_id, "--reason", "lost", "--config", config)
    assert (code, said.strip()) == (0, f"P1: key {second.key_id} is revoked")
    assert {row["key_id"]: row["state"] for row in rows("key", "list", config)}[second.key_id] == "revoked"
    assert run("key", "revoke", "0" * 16, "--reason", "x", "--config", config)[0] == 2


def test_gaps_of_a_day_are_listed_with_their_reason(config: str) -> None:
    found = rows("gaps", "U1", "2026-03-10", "--config", config)
    assert [(row["quantity"], row["reason"]) for row in found] == [("", "no_record"), ("", "no_record")]
    assert run("gaps", "U1", "10 March", "--config", config)[0] == 2


def test_an_ask_that_reaches_no_broker_is_not_listed_as_asked(config: str) -> None:
    code, _ = run("ask", config, "U1", FROM, TO, "--broker", "127.0.0.1:1")
    assert code == 1
    assert rows("asks", "--unit", "U1", "--config", config) == []


def test_no_alarm_stands_before_one_was_raised(config: str) -> None:
    assert run("alarms", "--config", config) == (0, "no alarm stands\n")


def complaints(config: str, *words: str) -> dict[str, str]:
    """Subject and message of what the doctor says."""
    return {row["subject"]: row["message"] for row in rows("doctor", config, *words)}


def test_the_doctor_says_what_is_wrong_and_what_to_do(config: str, tmp_path: Path) -> None:
    found = complaints(config, "--backups", str(tmp_path / "none"))
    assert found["P1"].startswith("plant_silent")
    assert found["records"] == "1 sealed days were never validated"
    assert found[str(tmp_path / "none")] == "holds no backup"
    assert not [subject for subject in found if "broker" in subject]
    run("findings", "--config", config)
    assert "open findings" in complaints(config)["records"]
    code, said = run("doctor", config)
    assert code == 1
    assert said.startswith("error: ")  # the worst first


def test_the_doctor_finds_files_brokers_and_units_that_do_not_fit(config: str, tmp_path: Path) -> None:
    path = tmp_path / "center.toml"
    text = path.read_text("utf-8").replace('units = ["U1"]', 'units = ["U9"]').replace("center.pem", "gone.pem")
    port = text.split("port = ")[1].split("\n")[0]
    path.write_text(text.replace(f"port = {port}", "port = 1"), "utf-8")
    found = complaints(config)
    assert found["broker 127.0.0.1:1"].startswith("can't be reached")
    assert found["U1"] == "registered with P1 and not enrolled: its records are refused as foreign_unit"
    assert found["U9"] == "enrolled with P1 and not registered: its records settle nothing"
    assert found[str(tmp_path / "gone.pem")].startswith("can't be read")


def test_the_doctor_finds_a_secret_that_others_can_read(config: str, tmp_path: Path) -> None:
    (tmp_path / "center.pem").chmod(0o644)
    assert complaints(config)[str(tmp_path / "center.pem")] == "others may use it (mode 644)"


def test_alarms_and_check_are_told_in_chinese_too(config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "sends more than its share: held back 50 of the last 60 s, 9 messages taken, 0 let go"
    with new_store(tmp_path / "state") as store:
        standing = [
            Alarm("plant_flooding", each, words) for each in ("P1", "plants that are not enrolled, or not vouched for")
        ]
        store.write(lambda c: apply_alarms(c, standing, now_ms=NOON)).result()
    with sqlite3.connect(tmp_path / "state" / "center.sqlite") as database:
        database.execute("DELETE FROM plant_key")
        database.execute("UPDATE enrolled SET units = '[]'")
    database.close()
    told = {
        "alarms": ("held back 50 of the last 60 s", "发送超出份额：最近 60 秒中有 50 秒被延缓"),
        "doctor": ("held back 50 of the last 60 s", "最近 60 秒中有 50 秒被延缓"),
        "check": ('enrolled "P1": is not as it was written at', 'enrolled "P1"：不是'),
    }
    for place, language in enumerate(("en", "zh")):
        monkeypatch.setenv("COLLECTOR_LANGUAGE", language)
        for verb, sentences in told.items():
            _, said = run(verb, "--config", config)
            assert sentences[place] in said, (verb, language)


# What each verb that lists something prints of a store with something in it.
LISTS = ("status", "doctor", "alarms", "findings", "imports", "runs", "log", "user list", "token list", "quarantine",
         "asks", "gaps U1 2026-03-10", "substitutions", "key list", "check")  # fmt: skip


@pytest.mark.parametrize("verb", LISTS)
def test_no_verb_prints_an_english_sentence_on_a_chinese_terminal(
    config: str, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        "user",
        "add",
        "li",
        "--role",
        "plant",
        "--plant",
        "P1",
        "--password-file",
        _password(tmp_path),
        "--config",
        config,
    )
    run("token", "add", "li", "cron", "--scope", "read", "--config", config)
    run("user", "disable", "li", "--config", config)
    monkeypatch.setenv("COLLECTOR_LANGUAGE", "zh")
    _, said = run(*verb.split(), "--config", config)
    bare = re.sub(r"`[^`]*`|\S*[/._]\S*", "", said)
    assert re.findall(r"(?:\b[a-z]{2,}\b[ ,;]+){4}", bare) == [], said


def _password(folder: Path) -> str:
    (folder / "password").write_text("correct horse battery", "utf-8")
    return str(folder / "password")
