# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: the files of a run: of the whole statement for staff, of its own rows for a plant's user."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import Response
from litestar.params import FromPath

from collector.base.errors import Missing
from collector.base.text import tr
from collector.center.people.access import Permission
from collector.center.web.context import Ctx
from collector.center.web.paging import attachment
from collector.center.web.routes import api_get
from collector.center.web.runs.api_runs import Number, opened
from collector.center.web.runs.own_statement import own_bill, own_bills, own_file, own_files
from collector.center.web.runs.pages_run import file_of_statement, files_of_statement

_BYTES: Final = "application/octet-stream"


class FilesOut(msgspec.Struct, frozen=True):
    """Names of the files one may take of a run: `own/NAME` for a plant's user, `files/NAME` for staff."""

    run_id: int
    names: list[str]


@api_get("/runs/{number:int}/files", Permission.SEE_OWN, own=True)
def files_of(ctx: Ctx, number: Number) -> FilesOut:
    """The files one may take of a run."""
    run = opened(ctx, number)
    if ctx.actor.may(Permission.SEE_ALL):
        return FilesOut(number, files_of_statement(run))
    bills = ["bill.csv", "bill.xlsx"] if own_bills(ctx, run.month, ctx.actor.plant or "") else []
    return FilesOut(number, [*own_files(run), *bills])


@api_get("/runs/{number:int}/files/{name:str}", Permission.SEE_ALL, media_type=_BYTES)
def statement_file(ctx: Ctx, number: Number, name: FromPath[str]) -> Response[bytes]:
    """A file of the statement."""
    run = opened(ctx, number)
    data, media_type = file_of_statement(run, name)
    return attachment(data, f"{run.facts.month}-run{number}-{name}", media_type)


@api_get("/runs/{number:int}/own/{name:str}", Permission.SEE_OWN, own=True, media_type=_BYTES)
def own_statement_file(ctx: Ctx, number: Number, name: FromPath[str]) -> Response[bytes]:
    """A file of a plant's own rows: of the statement, its evidence, the inputs behind them, or the bill."""
    run = opened(ctx, number)
    plant = ctx.actor.plant
    if plant is None:
        raise Missing(tr("only a plant's user has files of its own"), subject=name[:64])
    data, media_type = own_bill(ctx, run, plant, name) or own_file(ctx, run, plant, name)
    return attachment(data, f"{run.facts.month}-run{number}-{plant}-{name}", media_type)


ROUTES: Final = [files_of, statement_file, own_statement_file]
