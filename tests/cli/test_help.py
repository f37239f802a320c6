# SPDX-License-Identifier: GPL-3.0-or-later
"""Help in groups, completion in the shell, and the center's status on a console of 80 columns and in a pipe."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click import Context
from typer.main import get_command
from typer.testing import CliRunner

from collector.center.operate.status import CenterStatus, GatewayStatus, UnitStatus
from collector.cli.center.operate import _print_status
from collector.cli.main import app
from collector.cli.panels import AGENT_PANELS, CENTER_PANELS, ROOT_PANELS
from collector.model.interval import Month
from tests.patience import HANG_S


@pytest.mark.parametrize(
    ("words", "panels"),
    [((), ROOT_PANELS), (("agent",), AGENT_PANELS), (("center",), CENTER_PANELS)],
)
def test_every_verb_stands_in_one_panel_in_the_order_of_the_work(words: tuple[str, ...], panels: Any) -> None:
    command: Any = get_command(app)
    for word in words:
        command = command.commands[word]
    listed = [verb for verbs in panels.values() for verb in verbs]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(command.commands)
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).output
    places = [shown.index(panel.partition(" · ")[0]) for panel in panels]
    assert places == sorted(places)
    assert "Examples" in shown


def test_an_argument_that_may_be_left_out_stands_in_one_pair_of_brackets() -> None:
    def usages(command: Any, name: str) -> Iterator[str]:
        yield command.get_usage(Context(command, info_name=name))
        for verb, below in getattr(command, "commands", {}).items():
            yield from usages(below, f"{name} {verb}")

    said = list(usages(get_command(app), "collector"))
    assert "Usage: collector quickstart [OPTIONS] [DIR]" in said
    assert [usage for usage in said if "[[" in usage] == []


def test_a_chinese_terminal_is_helped_in_chinese_and_no_verb_is_cut_short() -> None:
    environment = os.environ | {"COLLECTOR_LANGUAGE": "zh", "COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    program = [str(Path(sys.executable).with_name("collector")), "center"]
    listed, verb = (
        subprocess.run([*program, *words], env=environment, capture_output=True, text=True, timeout=HANG_S).stdout
        for words in (["--help"], ["settle", "--help"])
    )
    assert "按数据库现有的内容结算一个月" in listed
    assert "示例" in listed
    assert listed.startswith("用法：")
    assert [panel.partition(" · ")[2] for panel in CENTER_PANELS] == re.findall(r"^(\S+)：$", listed, re.MULTILINE)[1:]
    assert [word for word in ("Usage", "Options", "Arguments", "[default", "[required") if word in listed + verb] == []
    assert "[必填]" in verb
    assert "..." not in listed.partition("\n")[2]
    told = [line for line in verb.splitlines() if line.startswith("  --") and "center.toml" not in line]
    assert len(told) > 5
    assert [line for line in told if not re.search("[\u4e00-\u9fff]", line)] == []


@pytest.mark.parametrize("words", [(), ("center",), ("agent",), ("center", "review")])
def test_a_list_of_verbs_cuts_none_short_on_a_console(words: tuple[str, ...]) -> None:
    environment = os.environ | {"COLLECTOR_LANGUAGE": "en", "COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    program = [str(Path(sys.executable).with_name("collector")), *words, "--help"]
    shown = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=HANG_S).stdout
    verbs = shown.partition("Options:")[2]
    assert len(verbs.splitlines()) > 5
    assert "..." not in verbs
    assert verbs.count("(") == verbs.count(")")  # "(Art. 24)" is no end of a sentence
    assert max(map(len, shown.splitlines())) <= 80


def test_the_shell_completes_verbs() -> None:
    environment = os.environ | {"_COLLECTOR_COMPLETE": "complete_bash", "COMP_WORDS": "collector center sta",
                                "COMP_CWORD": "2"}  # fmt: skip
    program = Path(sys.executable).with_name("collector")
    done = subprocess.run([str(program)], env=environment, capture_output=True, text=True, timeout=HANG_S)
    assert done.stdout.split() == ["status"]


def test_status_is_no_wider_than_a_console_and_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    last_ms = int(datetime(2026, 3, 31, 15, 59, 58, tzinfo=UTC).timestamp() * 1000)
    unit = UnitStatus(plant="nanhe", unit="coal-unit-12", last_record_ms=last_ms, received=2_678_400, known_min=44_582,
                      elapsed_min=44_640, gaps=14)  # fmt: skip
    counts = {"pending": 12, "pending_records": 534, "evicted_records": 7, "oldest_pending_ms": last_ms,
              "used_bytes": 3_140_000, "sealed": 44_640, "handed": 0}  # fmt: skip
    buffer = {"online": True, "buffer": counts}
    gateway = GatewayStatus(plant="nanhe", gateway="gateway-1-standby", epochs=1, batches=44_640, records=2_678_400,
                            repeats=3, missing_sequences=0, last_received_ms=last_ms, state=buffer,
                            state_received_ms=last_ms)  # fmt: skip
    month = Month.parse("2026-03")
    _print_status(CenterStatus(month=month, units=(unit,), gateways=(gateway,), quarantined={}, unsealed_days=3))
    shown = capsys.readouterr().out
    tables = shown[: shown.index("buffers")].splitlines()
    assert max(len(line.rstrip()) for line in tables) <= 80
    told = "online, waiting: 12 batches, 534 records, since 2026-03-31 23:59:58, lost: 7 records, 3.1 MB in use"
    for whole in ("2026-03-31 23:59:58", "gateway-1-standby", "coal-unit-12", "99.87%", told):
        assert whole in shown
    assert "…" not in shown


def test_help_loads_nothing_that_only_a_verb_at_work_needs() -> None:
    heavy = {"asyncio", "cryptography", "numpy", "pyarrow", "pydantic", "rich", "sqlalchemy", "uvloop"}
    code = f"import sys, collector.cli.main; print(sorted({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "words", [(), ("center",), ("center", "run"), ("agent", "run"), ("settle",), ("center", "review", "submit")]
)
def test_help_loads_neither_the_other_verbs_nor_what_checks_values(words: tuple[str, ...]) -> None:
    """It takes five times as long otherwise; what is loaded is no matter of the machine's speed, as seconds are."""
    script = """
import sys
from collector.cli.main import main
try:
    main()
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, *words, "--help"], capture_output=True, text=True, timeout=HANG_S
    )
    loaded = set(done.stderr.split())
    assert "Usage" in done.stdout
    assert not loaded & {"pydantic", "numpy", "pyarrow", "sqlalchemy", "rich.console", "asyncio"}
    if words == ("settle",):
        assert not {name for name in loaded if name.startswith(("collector.cli.center", "collector.cli.agent"))}


def test_a_verb_with_texts_paths_and_flags_starts_without_what_checks_values(tmp_path: Path) -> None:
    script = """
import sys
from collector.cli.main import main
try:
    main()
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""
    words = ["settle", "2026-06", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out"), "--strict"]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 1
    assert f"{tmp_path}/none: is no folder" in done.stderr
    assert "pydantic" not in done.stderr.split()
