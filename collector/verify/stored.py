# SPDX-License-Identifier: GPL-3.0-or-later
"""The values the center stored, from its REST interface or from a file exported there.

The record of a verdict is the first one at or after the reading: a tick record carries the values read by then. While
no agent was running there is no record to compare. The value of a backup point is stored only while its primary point
fails, so it is not compared.
"""

from __future__ import annotations

import csv
import io
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from collector.base.errors import ConfigError, LinkError, Problem
from collector.base.redirects import NoRedirect
from collector.base.text import tr
from collector.model.interval import parse_time_ms
from collector.model.record import Quality
from collector.verify.session import CenterValue
from collector.verify.sheet import StepRow

_TIMEOUT_S: Final = 30.0
_MOST_BYTES: Final = 64 * 1024**2
_PERIODS: Final = 3  # record periods after a reading within which its record must exist
_LONGEST_MS: Final = 7_200_000  # the longest interval the center answers per request
_NEEDED: Final = ("unit", "quantity", "time", "value", "quality")

Ask = Callable[[str, str, int, int, str], Iterable["Value"]]


@dataclass(frozen=True, slots=True)
class Value:
    """One quantity of one stored record."""

    unit: str
    quantity: str
    time_utc_ms: int
    value: str
    quality: str


def match_stored(
    rows: Sequence[StepRow], ask: Ask, *, record_period_ms: int, source: str, now_utc_ms: int
) -> list[CenterValue]:
    """The stored value of each verdict that counts; verdicts without a record are left out."""
    found = []
    for row in rows:
        if row.verdict is None or row.reasons or row.item.point.backup:
            continue
        start_ms = row.verdict.read_utc_ms
        end_ms = start_ms + min(_PERIODS * record_period_ms, _LONGEST_MS)
        quantity = row.item.point.quantity
        values = [
            value
            for value in ask(row.item.plant, row.item.unit, start_ms, end_ms, quantity)
            if (value.unit, value.quantity) == (row.item.unit, quantity) and start_ms <= value.time_utc_ms < end_ms
        ]
        first = min(values, key=lambda value: value.time_utc_ms, default=None)
        if first is not None:
            usable = Quality[first.quality.upper()].usable
            value = first.value if usable else ""
            found.append(CenterValue(row.number, value, first.quality, first.time_utc_ms, source, now_utc_ms))
    return found


def from_file(path: Path) -> Ask:
    """Take stored values from a file: the answer of `/api/v1/plants/PLANT/units/UNIT/records`, CSV or JSON.

    Raises:
        ConfigError: the file can't be read or holds no such answer.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
        values = list(_of_json(json.loads(text)) if text.lstrip().startswith("{") else _of_csv(text))
    except OSError as error:
        raise ConfigError(
            [Problem(str(path), 0, "", tr("can't be read: {strerror}", strerror=error.strerror))]
        ) from error
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, csv.Error) as error:
        message = tr("is no list of stored records as the center gives it ({error})", error=error)
        raise ConfigError([Problem(str(path), 0, "", message)]) from error

    def ask(plant: str, unit: str, from_ms: int, to_ms: int, quantity: str) -> Iterable[Value]:
        del plant, from_ms, to_ms
        return [value for value in values if (value.unit, value.quantity) == (unit, quantity)]

    return ask


def from_center(url: str, token: str, ca_file: Path | None = None) -> Ask:
    """Take stored values from a running center, with a token that may read the plant.

    Raises:
        ConfigError: `url` is no address of a center, or `ca_file` no certificate.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(
            [Problem("", 0, "--center", tr("expected http(s)://HOST:PORT or a file, got {url!r}", url=url))]
        )
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([Problem(str(ca_file), 0, "", tr("is no certificate: {error}", error=error))]) from error
    opener = urllib.request.build_opener(NoRedirect, urllib.request.HTTPSHandler(context=context))

    def ask(plant: str, unit: str, from_ms: int, to_ms: int, quantity: str) -> Iterable[Value]:
        path = f"/api/v1/plants/{urllib.parse.quote(plant, safe='')}/units/{urllib.parse.quote(unit, safe='')}/records"
        query = urllib.parse.urlencode({"from_ms": from_ms, "to_ms": to_ms, "quantity": quantity})
        request = urllib.request.Request(
            f"{url.rstrip('/')}{path}?{query}", headers={"Authorization": f"Bearer {token}"}
        )
        return list(_of_json(_fetch(opener, request, url)))

    return ask


def _fetch(opener: urllib.request.OpenerDirector, request: urllib.request.Request, url: str) -> Any:
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            return json.loads(answer.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(2000).decode("utf-8", "replace")
        raise LinkError(tr("the center refuses: {code} {said}", code=error.code, said=said), subject=url) from error
    except (OSError, HTTPException, ValueError) as error:
        raise LinkError(tr("the center does not answer: {error}", error=error), subject=url) from error


def _of_json(data: Any) -> Iterator[Value]:
    for row in data["items"]:
        yield Value(row["unit"], row["quantity"], int(row["time_ms"]), row["value"] or "", _quality(row["quality"]))


def _of_csv(text: str) -> Iterator[Value]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(tr("columns missing: {names}", names=", ".join(missing)))
    for row in reader:
        time_ms = parse_time_ms(row["time"])
        yield Value(row["unit"], row["quantity"], time_ms, row["value"] or "", _quality(row["quality"]))


def _quality(name: str) -> str:
    if name.upper() not in Quality.__members__:
        raise ValueError(tr("no quality {name!r}", name=name))
    return name
