# SPDX-License-Identifier: GPL-3.0-or-later
"""What the center stored for a verdict: which record it is, from a file or over HTTP, and what a difference does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from collector.model.interval import format_time
from collector.verify.session import load_session
from simulators.run.pytest_plugin import ServedDevices
from tests.verify.verify_world import config_of, run, states

Serve = Callable[..., ServedDevices]
TABLE = (
    "name,quantity,area,type,address,raw_unit,backup\n"
    "p,active_power_mw,holding,int32,0,kW,\nb,active_power_mw,holding,int32,2,kW,1\n"
)


@pytest.fixture
def config(modbus_device: Serve) -> Path:
    """p, and its backup, passed at 380."""
    device = modbus_device(TABLE)
    path = config_of(device)
    device.show("active_power_mw", "380")
    for name in ("p", "b"):
        assert run(path, "--point", name, "--expect", "380", "--who", "Z").code == 0
    return path


def read_ms(config: Path) -> int:
    return load_session(config.parent / "agent.verify.jsonl", "g").verdicts[0].read_utc_ms


def listing(config: Path, *rows: tuple[int, str, str]) -> Path:
    """Records of U1 as the center gives them: (ms after the reading, value, quality)."""
    at = read_ms(config)
    path = config.parent / "records.csv"
    lines = [f"P,U1,active_power_mw,{format_time(at + ms)},{value},{quality}" for ms, value, quality in rows]
    path.write_text("\n".join(["plant,unit,quantity,time,value,quality", *lines, ""]), "utf-8-sig")
    return path


@pytest.mark.parametrize(
    ("rows", "stored", "state"),
    [
        # The first record at or after the reading counts: not the one before, not a later one.
        ([(-1, "1", "good"), (0, "380", "good"), (1000, "2", "good")], "380", "passed"),
        ([(999, "380", "good"), (1500, "2", "good")], "380", "passed"),
        ([(500, "381", "good")], "381", "center_differs"),
        ([(500, "380", "suspect")], "", "center_differs"),
        ([(500, "", "silent")], "", "center_differs"),
        # Three periods later it is another story.
        ([(3000, "380", "good")], None, "passed"),
        ([(-1, "380", "good")], None, "passed"),
    ],
)
def test_the_first_record_at_or_after_the_reading_is_compared(
    config: Path, rows: list[tuple[int, str, str]], stored: str | None, state: str
) -> None:
    said = run(config, "--center", str(listing(config, *rows)), "--json")
    assert said.data["center"] == {"verdicts": 2, "stored": 0 if stored is None else 1}
    found = load_session(config.parent / "agent.verify.jsonl", "g").stored
    assert [line.value for line in found.values()] == ([] if stored is None else [stored])
    assert states(config) == {("p", "值"): state, ("b", "值"): "passed"}  # a backup's value is not stored


def test_a_later_look_corrects_an_earlier_one(config: Path) -> None:
    run(config, "--center", str(listing(config, (5, "1", "good"))))
    assert states(config)["p", "值"] == "center_differs"
    run(config, "--center", str(listing(config, (5, "380", "good"))))
    assert states(config)["p", "值"] == "passed"


@pytest.mark.parametrize(
    "text", ["", "unit,time\nU1,x\n", "{", '{"items": [{}]}', "unit,quantity,time,value,quality\nU1,q,1,2,nice\n"]
)
def test_what_is_no_list_of_records_is_refused(config: Path, text: str) -> None:
    path = config.parent / "records.csv"
    path.write_text(text, "utf-8")
    assert "no list of stored records" in run(config, "--center", str(path)).error
    assert "can't be read" in run(config, "--center", str(path) + "x").error


class Center(BaseHTTPRequestHandler):
    """Answers as the REST interface does, to one token."""

    asked: list[str] = []
    at = 0

    def do_GET(self) -> None:
        if self.headers["Authorization"] == "Bearer elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            return
        good = self.headers["Authorization"] == "Bearer secret"
        self.asked.append(self.path)
        row = {"unit": "U1", "quantity": "active_power_mw", "time_ms": self.at + 7, "value": "380", "quality": "good"}
        body = json.dumps({"items": [row]} if good else {"message": "no such token"}).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


@contextmanager
def center(at: int) -> Iterator[str]:
    Center.asked, Center.at = [], at
    with HTTPServer(("127.0.0.1", 0), Center) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_running_center_is_asked_for_the_moment_with_the_token_of_a_file(config: Path, tmp_path: Path) -> None:
    token, at = tmp_path / "token", read_ms(config)
    with center(at) as url:
        token.write_text("secret\n", "utf-8")
        assert run(config, "--center", url, "--token-file", str(token)).code == 0
        assert Center.asked == [
            f"/api/v1/plants/P/units/U1/records?from_ms={at}&to_ms={at + 3000}&quantity=active_power_mw"
        ]
        (row, _) = run(config, "--list", "--json").data["steps"]
        assert (row["stored"], row["stored_at"]) == ("380", format_time(at + 7))
        token.write_text("wrong\n", "utf-8")
        assert "401" in run(config, "--center", url, "--token-file", str(token)).error
        token.write_text("elsewhere\n", "utf-8")
        assert "302" in run(config, "--center", url, "--token-file", str(token)).error
    assert "does not answer" in run(config, "--center", url, "--token-file", str(token)).error
    assert "can't be read" in run(config, "--center", url, "--token-file", str(tmp_path / "none")).error
