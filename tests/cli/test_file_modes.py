# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verb writes is for the user who ran it and nobody else, even where the shell would let the world read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.patience import HANG_S
from tests.report.small_folder import HEADERS, REGISTER

# The shell of a careless machine, then a verb as anybody starts it.
CARELESS = [
    sys.executable,
    "-c",
    "import os, sys; os.umask(0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])",
]
PROGRAM = ["-m", "collector.cli.main"]


def test_nobody_else_may_read_what_any_verb_writes_but_a_public_key(tmp_path: Path) -> None:
    given, written = tmp_path / "given", tmp_path / "written"
    (given / "records").mkdir(parents=True)
    written.mkdir(mode=0o700)
    (given / "register.toml").write_text(REGISTER)
    (given / "records" / "all.csv").write_text("unit,time,active_power_mw,on_grid\n")
    (given / "password").write_text("correct horse battery\n")
    for name, content in HEADERS.items():
        (given / name).write_text(content)
    state = ["--state", str(written / "state")]
    for verb in (
        ["settle", "2026-03", "--data", str(given), "--out", str(written / "statement")],
        ["center", "user", "add", "li", "--role", "auditor", "--password-file", str(given / "password"), *state],
        ["center", "import", str(given / "revenue.csv"), "--kind", "revenue", *state],
        ["center", "backup", str(written / "backup"), *state],
        ["agent", "keygen", str(written / "P1")],
    ):
        done = subprocess.run([*CARELESS, *PROGRAM, *verb], capture_output=True, text=True, timeout=HANG_S)
        assert any(written.iterdir()), (verb, done.stderr)
    found = {path.relative_to(written): path.stat().st_mode & 0o077 for path in written.rglob("*")}
    assert {"state", "statement", "backup", "P1.key"} <= {path.parts[0] for path in found}
    # The public half of a key is for others: a service of another user, and whoever it is sent to.
    assert {str(path): oct(mode) for path, mode in found.items() if mode} == {"P1.pub": "0o44"}
