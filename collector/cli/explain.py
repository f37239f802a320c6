# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector explain`: one line with its formula, rulebook rows, readings, segments and records; or as a drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from collector.base.resources import config_path
from collector.base.text import said_by, tr
from collector.cli.language import print_text, say
from collector.report.words import Lang

RULEBOOK = "rules/east-china-trial"
LangOption = Annotated[Lang, typer.Option(help="The language of the text. 中文、英文或并列。")]


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command("explain")
    def explain_command(
        month: Annotated[str, typer.Argument(help="The month, YYYY-MM.")],
        data: Annotated[Path, typer.Option(help="The settlement folder.")],
        unit: Annotated[str, typer.Option(help="The unit.")],
        service: Annotated[str, typer.Option(help="The service, e.g. deep_peak.")],
        rulebook: Annotated[Path | None, typer.Option(help="A rulebook directory; default: the one shipped.")] = None,
        segments: Annotated[int, typer.Option(help="At most so many segments.", min=0)] = 40,
        records: Annotated[
            str | None, typer.Option(help="Also the records of an interval: START/END, ISO 8601 with offset.")
        ] = None,
        segment: Annotated[
            int | None, typer.Option(help="Also the records of this segment, by its number.", min=1)
        ] = None,
        html: Annotated[
            Path | None,
            typer.Option(help="Also a page here that draws the unit's month: power, plan, limits, segments."),
        ] = None,
        lang: LangOption = Lang.BOTH,
    ) -> None:
        """Explain one line of a statement. 说明一笔费用的来历。"""
        from collector.model.interval import Month, parse_time_ms
        from collector.report.explained import explanation_text, records_heading
        from collector.settlement.explain import explain_parts, records_of
        from collector.settlement.rulebook.load import load_rulebook
        from collector.settlement.settle import settle
        from collector.tables.folder import load_folder

        try:
            wanted = Month.parse(month)
            span = [parse_time_ms(text) for text in records.split("/")] if records else []
            if len(span) not in (0, 2):
                raise ValueError(tr("an interval is START/END, got {records!r}", records=records))
        except ValueError as error:
            raise typer.BadParameter(say(said_by(error))) from error
        book = load_rulebook(rulebook or config_path(RULEBOOK))
        inputs = load_folder(data, book)
        statement = settle(wanted, inputs, book)
        explanation, *others = explain_parts(statement, unit, service)
        for each in (explanation, *others):
            for text in explanation_text(each, segments=segments, lang=lang):
                print(text)
        if segment is not None:
            span = _segment_span(explanation.segments.to_pylist(), segment)
        if span:
            print(records_heading(lang))
            for row in records_of(inputs, unit, span[0], span[1]):
                cells = ", ".join(
                    f"{name} {'-' if cell is None else cell}" for name, cell in row.items() if name != "time"
                )
                print(f"  {row['time']}  {cells}")
        if html is not None:
            from collector.report.timeline.page import timeline_html

            html.write_bytes(timeline_html(explanation, statement, inputs, book))
            print_text("drawn: {path}", path=html.absolute())


def _segment_span(rows: list[dict[str, Any]], number: int) -> list[int]:
    if number > len(rows):
        raise typer.BadParameter(say(tr("there are {count} segments", count=len(rows))), param_hint="--segment")
    return [rows[number - 1]["start"], rows[number - 1]["end"]]
