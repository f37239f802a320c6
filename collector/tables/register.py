# SPDX-License-Identifier: GPL-3.0-or-later
"""register.toml → `Register`: areas, plants and units as dated states, every problem with line and key.

Numbers may be text or TOML numbers; both are read as exact decimals. Nothing that decides money has a default.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, Final, TypeVar

from collector.base.text import said_by, tr
from collector.model.register import (
    AreaState,
    DispatchMode,
    PlantState,
    Register,
    RegisteredUnit,
    RevenueBasis,
    UnitKind,
)
from collector.settlement.rulebook.catalogue import SERVICES
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings, nearest
from collector.tables.cells import one_of
from collector.tables.limits import AGC, LIMITS, TARIFF, InputRules, PowerLimits, decimal_of
from collector.tables.toml_values import (
    parse_analog_value,
    parse_choice_of,
    parse_day_value,
    parse_key,
    parse_not_negative,
    parse_positive,
    parse_rating,
    parse_ratio,
    parse_spans,
    parse_text,
    parse_texts,
    parse_truth,
)

S = TypeVar("S")
_UNIT_NUMBERS: Final = (
    "agc_lower_mw",
    "agc_upper_mw",
    "nominal_kv",
    "droop_ratio",
    "q_max_mvar",
    "q_min_mvar",
    "tariff_yuan_per_mwh",
)
_DATES: Final = ("from", "until")
_POLICY_NUMBERS: Final = (
    *("hold_limit_s", "min_coverage", "provisional_coverage", "settle_s", "at_limit_tolerance_mvar"),
    *("plausible_ratio", "min_stop_s", "order_min_ratio"),
    *LIMITS,
)
MAX_UNKNOWN_KEYS: Final = 100
# tomllib keeps every prefix of a dotted key: 40 GB for a key of 100 000 parts. Our keys have two at most.
DEEP_KEY: Final = re.compile(
    r"""(?<![\w"'-])(?:(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""", re.ASCII
)
DEEP_KEY_MESSAGE: Final = "a key has at most 64 parts between dots"
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "policy": (*_POLICY_NUMBERS, "ignore_columns"),
    "area": ("id", "name", "dispatch_mode", "valley_hours", "peak_hours", "hours_filing", "regulator", *_DATES),
    "plant": (
        *("id", "name", "area", "revenue_basis", "shares", "settles_with", "tax_number", "vat_rate", "bank"),
        *_DATES,
    ),
    "unit": (
        *("id", "plant", "kind", "rated_mw", "avc", "area", "evidence", "black_start", "black_start_document"),
        *("peak_group", *_UNIT_NUMBERS, *_DATES),
    ),
}


@dataclass(frozen=True, slots=True)
class RegisterFile:
    """The register as read: only the states without a finding.

    The ids are all those in the file, to check the other files against; None where the file is unreadable. `rules`: the
    rulebook's rules for inputs; None: they are not checked.
    """

    register: Register | None
    areas: frozenset[str] | None
    plants: frozenset[str] | None
    units: frozenset[str] | None
    rules: InputRules | None = None

    @property
    def services(self) -> Collection[str]:
        """The services that an exclusion may name: the rulebook's, or the built-in list without a rulebook."""
        return SERVICES if self.rules is None else self.rules.services

    @property
    def ignored(self) -> frozenset[str]:
        """Headings of columns that are ignored in every table."""
        return frozenset(self.register.ignore_columns) if self.register else frozenset()

    def power_limits(self, key: str) -> PowerLimits | None:
        """The limits for a kind of power; None where there is no rulebook or no register."""
        if self.rules is None or self.register is None:
            return None
        return PowerLimits.of(key, self.register.units, self.rules, self.register.policy)


def load_register(delivered: Delivered, findings: Findings, rules: InputRules | None = None) -> RegisterFile:
    """Parse and check register.toml. `rules`: the rulebook's rules for inputs; None: they are not checked."""
    try:
        text = delivered.data.decode("utf-8-sig")
        if deep := DEEP_KEY.search(text):
            findings.add(delivered.name, text.count("\n", 0, deep.start()) + 1, "", DEEP_KEY_MESSAGE)
            return RegisterFile(None, None, None, None)
        data = tomllib.loads(text, parse_float=Decimal)
    except UnicodeDecodeError:
        findings.add(delivered.name, 0, "", tr("is not UTF-8; TOML always is"))
        return RegisterFile(None, None, None, None)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        line = re.search(r"at line (\d+)", str(error))
        findings.add(delivered.name, int(line[1]) if line else 0, "", tr("is not TOML: {error}", error=error))
        return RegisterFile(None, None, None, None)
    unknown = sorted(data.keys() - _KEYS.keys())
    for key in unknown[:MAX_UNKNOWN_KEYS]:
        findings.add(delivered.name, _line_of(text, key), key, tr("unknown key{hint}", hint=nearest(key, _KEYS)))
    if more := len(unknown[MAX_UNKNOWN_KEYS:]):
        findings.add(delivered.name, 0, "", tr("and {more} more unknown keys", more=more))
    tables = {name: _tables(delivered.name, text, data, name, findings) for name in ("area", "plant", "unit")}
    policy, ignored = _policy(delivered.name, text, data.get("policy", {}), findings)
    known = _Known(rules, policy)
    register = Register(
        policy,
        _states(tables["area"], partial(_area, known=known)),
        _states(tables["plant"], partial(_plant, known=known)),
        _states(tables["unit"], partial(_unit, known=known)),
        ignored,
    )
    _check_references(tables, None if rules is None else rules.areas)
    for rows in tables.values():
        _check_dates(rows)
    _check_groups(tables["unit"])
    ids = {name: frozenset(t.data["id"] for t in tables[name] if isinstance(t.data.get("id"), str)) for name in tables}
    return RegisterFile(register, ids["area"], ids["plant"], ids["unit"], rules)


def _states(tables: Iterable[_RegisterTable], build: Callable[[_RegisterTable], S | None]) -> tuple[S, ...]:
    return tuple(state for table in tables if (state := build(table)) is not None)


# ---- one [[table]] -------------------------------------------------------------------------------------------------


def _line_of(text: str, key: str) -> int:
    """The line of the first occurrence of a top-level key or table."""
    found = re.search(rf"^\s*(\[+\s*)?[\"']?{re.escape(key)}[\"']?\s*(=|\]|\.)", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + text[found.start() : found.end()].count("\n") + 1 if found else 0


@dataclass(slots=True)
class _RegisterTable:
    """One [[area]], [[plant]], [[unit]] or [policy]: its keys, their lines, and its findings."""

    file: str
    name: str
    line: int
    data: Mapping[str, Any]
    findings: Findings
    lines: Mapping[str, int] = field(default_factory=dict)
    good: bool = True

    def wrong(self, key: str, message: str) -> None:
        """Note a problem at the line of the key, or of the table."""
        identity = self.data.get("id")
        label = f"{self.name}[{identity}]" if isinstance(identity, str) and identity else self.name
        self.findings.add(self.file, self.lines.get(key, self.line), f"{label}.{key}", message)
        self.good = False

    def read(self, key: str, parse: Callable[[Any], Any], *, needed: bool = False) -> Any:
        """The parsed value of a key; None where it is absent, empty or wrong."""
        raw = self.data.get(key)
        if raw is None or raw == "":
            if needed:
                self.wrong(key, tr("is missing") if raw is None else tr("is empty"))
            return None
        try:
            return parse(raw)
        except ValueError as error:
            self.wrong(key, said_by(error))
            return None


def _tables(file: str, text: str, data: Mapping[str, Any], name: str, findings: Findings) -> list[_RegisterTable]:
    """The [[name]] tables in order; unknown keys become findings."""
    raw = data.get(name, [])
    if not isinstance(raw, list) or not all(isinstance(row, dict) for row in raw):
        findings.add(file, _line_of(text, name), name, tr("is written as [[{name}]]", name=name))
        return []
    if not raw:
        findings.add(file, 0, name, tr("at least one [[{name}]] is needed", name=name))
    lines = text.split("\n")
    heads = [number for number, line in enumerate(lines, 1) if re.match(rf"\s*\[\[\s*{name}\s*\]\]", line)]
    if len(heads) != len(raw):
        heads = [0] * len(raw)  # an inline table has no line of its own
    pairs = zip(heads, raw, strict=True)
    tables = [_RegisterTable(file, name, head, row, findings, _key_lines(lines, head)) for head, row in pairs]
    for table in tables:
        _check_keys(table)
    return tables


def _key_lines(lines: Sequence[str], head: int) -> dict[str, int]:
    """Key → line, below the header on line `head` up to the next header."""
    places: dict[str, int] = {}
    for number in range(head + 1, len(lines) + 1) if head else ():
        line = lines[number - 1]
        if re.match(r"\s*\[", line):
            break
        if found := re.match(r"\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*=", line):
            places.setdefault(found[1], number)
    return places


def _check_keys(table: _RegisterTable) -> None:
    known = _KEYS[table.name]
    for key in table.data:
        if key not in known:
            table.wrong(key, tr("unknown key{hint}", hint=nearest(key, known)))


# ---- states --------------------------------------------------------------------------------------------------------


def _policy(file: str, text: str, raw: Any, findings: Findings) -> tuple[dict[str, Decimal], tuple[str, ...]]:
    """The numbers of [policy], and the headings to be ignored."""
    if not isinstance(raw, dict):
        findings.add(file, _line_of(text, "policy"), "policy", tr("is written as [policy]"))
        return {}, ()
    head = _line_of(text, "policy")
    table = _RegisterTable(file, "policy", head, raw, findings, _key_lines(text.split("\n"), head))
    _check_keys(table)
    parsers = {"hold_limit_s": parse_positive, "plausible_ratio": parse_positive}
    parsers |= {"min_coverage": parse_ratio, "provisional_coverage": parse_ratio}
    values = {key: table.read(key, parsers.get(key, parse_not_negative)) for key in _POLICY_NUMBERS}
    for key in ("hold_limit_s", "settle_s", "min_stop_s"):
        if values[key] is not None and (values[key] * 1000 % 1 or values[key] > 366 * 86_400):
            table.wrong(key, tr("expected seconds, at most a year, no finer than a millisecond"))
    ignored = table.read("ignore_columns", parse_texts) or ()
    return {key: value for key, value in values.items() if value is not None}, ignored


def _dates(table: _RegisterTable) -> tuple[date | None, date | None]:
    first, until = table.read("from", parse_day_value), table.read("until", parse_day_value)
    if first and until and first >= until:
        table.wrong("until", tr("is not after from"))
    return first, until


@dataclass(frozen=True, slots=True)
class _Known:
    """The rules that states are checked against: the rulebook, where there is one, and the register's own [policy]."""

    rules: InputRules | None
    policy: Mapping[str, Decimal]

    def area_id(self, raw: Any) -> str:
        """Parse the id of a settlement area: one of the rulebook's (Art. 6(2), 21)."""
        identity = parse_key(raw)
        return identity if self.rules is None else one_of(self.rules.areas)(identity)


def _area(table: _RegisterTable, known: _Known) -> AreaState | None:
    identity = table.read("id", known.area_id, needed=True)
    mode = table.read("dispatch_mode", parse_choice_of(DispatchMode), needed=True)
    valley = table.read("valley_hours", parse_spans, needed=True)
    peak = table.read("peak_hours", parse_spans, needed=True)
    name, filing, regulator = (table.read(key, parse_text) for key in ("name", "hours_filing", "regulator"))
    days = _dates(table)
    if not table.good:
        return None
    return AreaState(identity, name or identity, mode, valley, peak, filing, regulator or "", *days)


def _plant(table: _RegisterTable, known: _Known) -> PlantState | None:
    identity = table.read("id", parse_key, needed=True)
    area = table.read("area", known.area_id, needed=True)
    basis = table.read("revenue_basis", parse_choice_of(RevenueBasis), needed=True)
    shares = table.read("shares", parse_truth, needed=True)
    name = table.read("name", parse_text)
    words = {key: table.read(key, parse_text) or "" for key in ("settles_with", "tax_number", "bank")}
    vat_rate = table.read("vat_rate", parse_ratio)
    days = _dates(table)
    if not table.good:
        return None
    return PlantState(
        identity, name or identity, area, basis, shares, vat_rate=vat_rate, **words,
        from_day=days[0], until_day=days[1],
    )  # fmt: skip


def _unit(table: _RegisterTable, known: _Known) -> RegisteredUnit | None:
    identity = table.read("id", parse_key, needed=True)
    plant = table.read("plant", parse_key, needed=True)
    kind = table.read("kind", parse_choice_of(UnitKind), needed=True)
    rated = table.read("rated_mw", parse_rating, needed=True)
    parsers = {"nominal_kv": parse_rating, "droop_ratio": parse_positive}
    numbers = {key: table.read(key, parsers.get(key, parse_analog_value)) for key in _UNIT_NUMBERS}
    words = {key: table.read(key, parse_text) for key in ("evidence", "black_start_document", "peak_group")}
    area = table.read("area", known.area_id)
    avc, black_start = bool(table.read("avc", parse_truth)), bool(table.read("black_start", parse_truth))
    days = _dates(table)
    _check_limits(table, numbers, avc=avc)
    _check_bounds(table, rated, numbers, days, known)
    if not table.good:
        return None
    return RegisteredUnit(
        identity, plant, kind, rated, avc=avc, area=area, black_start=black_start, **numbers, **words,
        from_day=days[0], until_day=days[1],
    )  # fmt: skip


def _check_bounds(
    table: _RegisterTable,
    rated_mw: Decimal | None,
    numbers: Mapping[str, Decimal | None],
    days: tuple[date | None, date | None],
    known: _Known,
) -> None:
    """Check that no AGC limit lies beyond a ratio of P_N, and no tariff beyond its limit (formats.md)."""
    if known.rules is None:
        return
    ratio, highest = (known.rules.smallest(key, known.policy, *days) for key in (AGC, TARIFF))
    for key in ("agc_lower_mw", "agc_upper_mw"):
        value = numbers[key]
        if value is not None and rated_mw is not None and ratio is not None and abs(value) > ratio * Fraction(rated_mw):
            limit = decimal_of(ratio * Fraction(rated_mw))
            message = tr(
                "{value} MW can't be: at most {limit} MW ({key} × P_N); is it kW?", value=value, limit=limit, key=AGC
            )
            table.wrong(key, message)
    tariff = numbers["tariff_yuan_per_mwh"]
    if tariff is not None and highest is not None and not 0 <= tariff <= highest:
        message = tr(
            "{value} yuan/MWh can't be: 0 to {limit} ({key}); is it yuan/kWh or 10 000 yuan?",
            value=tariff, limit=decimal_of(highest), key=TARIFF,
        )  # fmt: skip
        table.wrong("tariff_yuan_per_mwh", message)


def _check_limits(table: _RegisterTable, numbers: Mapping[str, Decimal | None], *, avc: bool) -> None:
    """Check limits that belong together: both AGC limits or none, low not above high, a nominal voltage for AVC."""
    for low, high in (("agc_lower_mw", "agc_upper_mw"), ("q_min_mvar", "q_max_mvar")):
        lower, upper = numbers[low], numbers[high]
        if lower is not None and upper is not None and lower > upper:
            table.wrong(low, tr("is above {high}", high=high))
    given = [key for key in ("agc_lower_mw", "agc_upper_mw") if table.data.get(key, "") != ""]
    if len(given) == 1:
        other = "agc_upper_mw" if given[0] == "agc_lower_mw" else "agc_lower_mw"
        table.wrong(other, tr("is missing: {given} is given, and AGC limits go together", given=given[0]))
    if avc and table.data.get("nominal_kv", "") == "":
        table.wrong("nominal_kv", tr("is missing: needed where avc = true"))


# ---- across tables -------------------------------------------------------------------------------------------------


def _check_references(tables: Mapping[str, Iterable[_RegisterTable]], areas: frozenset[str] | None) -> None:
    ids = {name: {t.data["id"] for t in rows if isinstance(t.data.get("id"), str)} for name, rows in tables.items()}
    for name, key, target in (("plant", "area", "area"), ("unit", "plant", "plant"), ("unit", "area", "area")):
        for table in tables[name]:
            value = table.data.get(key)
            if not isinstance(value, str) or not value or value in ids[target]:
                continue
            if target == "area" and areas is not None and (value not in areas or ids["area"] - areas):
                continue  # has a finding already: no such area exists, or its [[area]] has a misspelt id
            table.wrong(
                key,
                tr(
                    "no [[{target}]] has id {value!r}{hint}",
                    target=target,
                    value=value,
                    hint=nearest(value, ids[target]),
                ),
            )


def _check_dates(tables: Iterable[_RegisterTable]) -> None:
    """Check that states of one id do not overlap; a state whose own dates are wrong is not compared.

    A unit may pass from one plant to another; at one time it is a unit of one.
    """
    by_id: dict[str, list[tuple[date, date, _RegisterTable]]] = defaultdict(list)
    for table in tables:
        try:
            first = parse_day_value(table.data.get("from") or date.min)
            until = parse_day_value(table.data.get("until") or date.max)
        except ValueError:
            continue
        if isinstance(table.data.get("id"), str) and first < until:
            by_id[table.data["id"]].append((first, until, table))
    for spans in by_id.values():
        spans.sort(key=lambda span: span[:2])
        for (_, until, before), (first, _, table) in itertools.pairwise(spans):
            plant = before.data.get("plant")
            if first < until and plant != table.data.get("plant"):
                table.wrong("id", tr("is also a unit of {plants}; unit ids are unique over all plants", plants=plant))
            elif first < until:
                where = tr("the one on line {line}", line=before.line) if before.line else tr("another")
                table.wrong("from", tr("overlaps {where} with the same id; give from and until", where=where))


def _check_groups(tables: Iterable[_RegisterTable]) -> None:
    """Check that all units of a peak group belong to one plant (rules.md section 2)."""
    plants: dict[str, str] = {}
    for table in tables:
        group, plant = table.data.get("peak_group"), table.data.get("plant")
        if isinstance(group, str) and group and isinstance(plant, str) and plants.setdefault(group, plant) != plant:
            table.wrong(
                "peak_group",
                tr(
                    "{group!r} is also a group of {plants}; a group lies inside one plant",
                    group=group,
                    plants=plants[group],
                ),
            )
