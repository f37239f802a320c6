# SPDX-License-Identifier: GPL-3.0-or-later
"""A sitting of `collector verify`: configuration, session, and the actions on the whole session."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from collector.base.errors import ConfigError, Problem, StoreError
from collector.base.text import tr
from collector.cli.language import say
from collector.cli.table import print_table
from collector.points.agent_config import AgentConfig
from collector.verify.expectations import empty_sheet, load_expectations
from collector.verify.export import STATES, make_document, row_texts
from collector.verify.files import write_sheet
from collector.verify.items import items_of
from collector.verify.observe import now_utc_ms
from collector.verify.session import Session, load_session, open_session
from collector.verify.sheet import StepRow, StepState, count_states, is_done, make_sheet
from collector.verify.stored import from_center, from_file, match_stored


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of one call: the points to verify, and the values given."""

    device: str
    point: str
    step: str
    expect: str
    tolerance: str
    verdict: str  # pass, fail, or empty: by the tolerance
    who: str
    note: str
    max_age_s: float


class Sitting:
    """A configuration and its session. `said`: data to print as JSON; `ok`: no problem was found so far."""

    def __init__(self, config: AgentConfig, path: Path, said: dict[str, Any]) -> None:
        self.config = config
        self.path = path
        self.said = said
        self.ok = True
        self.items = items_of(config)
        self.gateway = config.settings.gateway.id

    def now_utc_ms(self) -> int:
        """The time of the devices' clock, UTC ms."""
        return asyncio.run(now_utc_ms(self.config))

    def load(self) -> Session:
        """The session as it is on the disk."""
        return load_session(self.path, self.gateway)

    def rows(self) -> list[StepRow]:
        """Every step with its state."""
        return make_sheet(self.items, self.load())

    def write_template(self, path: Path, device: str) -> None:
        """An empty sheet of expectations."""
        data = empty_sheet([item for item in self.items if device in ("", item.device)])
        try:
            path.write_bytes(data)
        except OSError as error:
            raise StoreError(tr("can't be written: {strerror}", strerror=error.strerror), subject=str(path)) from error
        self.said["template"] = str(path)
        typer.echo(f"期望值表 an empty sheet: {path}", err=True)

    def take_sheet(self, path: Path) -> None:
        """Take a sheet of expectations into the session."""
        now_ms = self.now_utc_ms()
        taken = load_expectations(path, self.items, now_ms)
        with open_session(self.path, self.gateway, now_ms) as pen:
            pen.write(taken)
        self.said["sheet"] = {"file": str(path), "steps": len(taken.rows)}
        typer.echo(f"期望值表 taken: {path}, {len(taken.rows)} 步 steps", err=True)

    def merge_center(self, place: str, token_file: Path | None, ca_file: Path | None) -> None:
        """Take the values that a center stored for the valid verdicts, from the center itself or from a file."""
        if place.startswith(("http://", "https://")):
            if token_file is None:
                raise typer.BadParameter(say(tr("a center asks for a token")), param_hint="--token-file")
            try:
                token = token_file.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    [Problem(str(token_file), 0, "", tr("can't be read: {error}", error=error))]
                ) from error
            ask = from_center(place, token, ca_file)
        else:
            ask = from_file(Path(place))
        rows = self.rows()
        period_ms = self.config.settings.gateway.record_period_ms
        found = match_stored(rows, ask, record_period_ms=period_ms, source=place, now_utc_ms=self.now_utc_ms())
        with open_session(self.path, self.gateway, self.now_utc_ms()) as pen:
            for line in found:
                if pen.session.stored.get(line.of) is None or pen.session.stored[line.of].value != line.value:
                    pen.write(line)
        judged = sum(row.verdict is not None and not row.reasons for row in rows)
        self.said["center"] = {"verdicts": judged, "stored": len(found)}
        typer.echo(f"主站存储值 stored at the center: {len(found)} of {judged} verdicts", err=True)

    def list_steps(self, device: str, *, open_only: bool, as_json: bool) -> None:
        """Every step, or those that have not passed."""
        rows = [row for row in self.rows() if device in ("", row.item.device)]
        self.ok &= is_done(rows)
        self.said["counts"] = self.counts(rows)
        shown = [row_texts(row) for row in rows if not open_only or row.state is not StepState.PASSED]
        self.said["steps"] = shown
        if as_json:
            return
        names = (
            "point",
            "step",
            "expected",
            "value",
            "value_unit",
            "quality",
            "stored",
            "verdict",
            "reasons",
            "who",
            "note",
        )
        for each in dict.fromkeys(row["device"] for row in shown):
            cells = [[row[name] for name in names] for row in shown if row["device"] == each]
            headings = ("点名", "步骤", "期望值", "实测值", "单位", "品质", "主站", "结论", "原因", "对点人", "备注")
            print_table(each, headings, cells)
        print(self.counts_text(rows))

    def export(self, folder: Path) -> None:
        """Write the sheet for signature."""
        rows = self.rows()
        written = write_sheet(folder, make_document(self.config, rows, self.load()))
        self.ok &= is_done(rows)
        self.said["written"] = [str(path) for path in written]
        self.said["counts"] = self.counts(rows)
        typer.echo(f"{', '.join(map(str, written))}: {self.counts_text(rows)}", err=True)

    @staticmethod
    def counts(rows: Sequence[StepRow]) -> dict[str, int]:
        """Steps in each state."""
        found = count_states(rows)
        return {state.value: found[state] for state in StepState}

    @staticmethod
    def counts_text(rows: Sequence[StepRow]) -> str:
        """The counts in words."""
        found = count_states(rows)
        parts = [f"{zh} {en} {found[state]}" for state, (zh, en) in STATES.items() if found[state]]
        return f"{len({row.item.key for row in rows})} 点 points, {len(rows)} 步 steps: " + ", ".join(parts)
