# SPDX-License-Identifier: GPL-3.0-or-later
"""What README and docs say is what the program does: commands, links, keys, codes; and both languages say the same."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.main import get_command

from collector.center.month.review_log import ReviewState
from collector.center.runs.month_state import MonthStage
from collector.center.settings import CenterSettings
from collector.cli.main import app
from collector.model.record import Quality
from collector.points.agent_config import AgentSettings
from collector.report.words import REASONS
from collector.settlement.rulebook.catalogue import SERVICES
from collector.settlement.statement import LineStatus, MonthStatus
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.tables.register import load_register
from simulators.faults.faults import KINDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NAMES = (
    "install-gateway",
    "simulate",
    "verify",
    "accept",
    "center",
    "brokers",
    "month",
    "settle",
    "extend",
    "point-tables",
    "wire",
    "security",
    "index",
    "architecture",
    "troubleshooting",
    "faq",
    "containers",
    "fifteen-minutes",
    "pages",
    "scaling",
)
TWINS = [(ROOT / "README.md", ROOT / "README.zh-CN.md")] + [(DOCS / f"{n}.md", DOCS / f"{n}.zh-CN.md") for n in NAMES]
PAGES = [page for twin in TWINS for page in twin]
EVERY = [*PAGES, *sorted((DOCS / "decisions").glob("*.md"))]

# What a place of development leaves in a text: numbers of its tracker, folders of its people.
TRACES = re.compile(r"(?i:\bissues? ?#?\d{1,3}\b)|/home/[a-z]\w*/|/Users/|[A-Z]:\\Users|/workspaces?/")
TEXTS = {
    ".md",
    ".py",
    ".toml",
    ".csv",
    ".sh",
    ".yml",
    ".yaml",
    ".html",
    ".txt",
    ".service",
    ".timer",
    ".conf",
    ".po",
    ".json",
}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
both = ("en", "zh-CN")
each_language = pytest.mark.parametrize("language", both)


def page_of(name: str, language: str) -> str:
    return (DOCS / f"{name}{'' if language == 'en' else '.zh-CN'}.md").read_text("utf-8")


def blocks(text: str, kind: str = r"\w*") -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def first_column(text: str, heading: str) -> list[list[str]]:
    """The codes in the first column of every table below a heading, table by table."""
    section = re.split(rf"^## {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    section = re.split(r"^## ", section, flags=re.MULTILINE)[0]
    tables = re.split(r"^\|[-|]+\|$", section, flags=re.MULTILINE)[1:]
    return [codes(table) for table in tables]


def codes(table: str) -> list[str]:
    cells = re.findall(r"^\| ((?:`[\w.]+`(?:, |、)?)+) \|", table, re.MULTILINE)
    return [code for cell in cells for code in re.findall(r"`([\w.]+)`", cell)]


def find_command(words: list[str]) -> tuple[Any, list[str]]:
    """The verb that words lead to, and what is left of them; fails on an unknown verb."""
    command: Any = get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("--"):
        assert words[0] in command.commands, f"no verb {words[0]!r}; there are {sorted(command.commands)}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def parse(words: list[str]) -> None:
    """Parse a command line as the program would, without running it."""
    if words == ["--version"]:
        return
    command, rest = find_command(words)
    if not hasattr(command, "commands"):
        command.make_context("collector", rest)


def shell_commands(text: str) -> Iterator[list[str]]:
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for index, word in enumerate(words):
                if (word == "collector" and index == 0) or word.endswith("/bin/collector"):
                    yield words[index + 1 :]


def test_nothing_names_the_place_where_it_was_developed() -> None:
    folders = ("bench", "collector", "config", "docs", "packages", "requirements", "simulators", "systemd", "tests")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    texts = [path for path in [*files, *ROOT.glob("*")] if path.suffix in TEXTS and path.is_file()]
    assert len(texts) > 1000
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in texts
        for match in TRACES.finditer(path.read_text("utf-8", errors="replace"))
        if path != Path(__file__)
    ]
    assert found == []


@each_page
def test_every_command_in_a_block_parses(page: Path) -> None:
    for words in shell_commands(page.read_text("utf-8")):
        parse(words)


@each_page
def test_every_command_in_running_text_exists(page: Path) -> None:
    command: Any = get_command(app)
    groups = {name for name, verb in command.commands.items() if hasattr(verb, "commands")}
    for code in re.findall(r"`([^`\n]+)`", without_blocks(page.read_text("utf-8"))):
        words = code.split()
        if "collector" in (words[0], Path(words[0]).name) or any(w.endswith("/bin/collector") for w in words):
            start = next(i for i, w in enumerate(words) if Path(w).name == "collector" and words[i - 1] != "-u")
            words = words[start + 1 :]
        elif not (words[0] in groups and len(words) > 1):
            continue
        found, rest = find_command(words)
        known = {option for parameter in found.params for option in parameter.opts} | {"--help"}
        assert {word for word in rest if word.startswith("--")} <= known, code


def test_the_commands_named_are_many() -> None:
    found = [words for page in PAGES for words in shell_commands(page.read_text("utf-8"))]
    assert len(found) > 50  # the pattern that finds them has not gone blind


def test_every_verb_stands_in_a_page_of_both_languages() -> None:
    root: Any = get_command(app)
    for language in both:
        text = "\n".join(page_of(name, language) for name in NAMES) + (ROOT / "README.md").read_text("utf-8")
        for name, verb in root.commands.items():
            names = [f"{name} {each}" for each in verb.commands] if hasattr(verb, "commands") else [f"collector {name}"]
            for each in names:
                assert each in text or f"make {name}" in text, f"{each} is in no page ({language})"


@pytest.mark.parametrize("page", EVERY, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page.read_text("utf-8"))):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", without_blocks(file.read_text("utf-8")), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, target


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin[0].name)
def test_both_languages_have_the_same_shape(twin: tuple[Path, Path]) -> None:
    english, chinese = (page.read_text("utf-8") for page in twin)
    levels = [re.findall(r"^(#+) ", without_blocks(text), re.MULTILINE) for text in (english, chinese)]
    assert levels[0] == levels[1]
    rows = [len(re.findall(r"^\|", without_blocks(text), re.MULTILINE)) for text in (english, chinese)]
    assert rows[0] == rows[1]
    for text, other in ((english, twin[1]), (chinese, twin[0])):
        assert f"]({other.name})" in text[:400]


@pytest.mark.parametrize("name", [n for n in NAMES if n != "point-tables"])
def test_both_languages_show_the_same_blocks(name: str) -> None:
    english, chinese = (page_of(name, language) for language in both)
    assert blocks(english) == blocks(chinese)
    # Each Chinese page leads to Chinese pages where there are any.
    assert not re.findall(rf"\]\((?:{'|'.join(n for n in NAMES if n != name)})\.md[#)]", chinese)


def fields_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a configuration as `section.key`."""
    for name, field in model.model_fields.items():
        inner = next((t for t in (field.annotation, *getattr(field.annotation, "__args__", ())) if _is_model(t)), None)
        if inner is None:
            yield f"{prefix}{field.alias or name}"
        else:
            yield from fields_of(inner, f"{name}.")


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def keys_of(text: str) -> set[str]:
    """Every `section.key` of a TOML text, also those that are commented out."""
    section, found = "", set()
    for line in text.splitlines():
        if header := re.match(r"(?:# )?\[\[?(?:\w+\.)?(\w+)\]\]?\s*(#.*)?$", line):
            section = f"{header[1]}."
        elif key := re.match(r"(?:# )?(\w+) = ", line):
            found.add(section + key[1])
    return found


@pytest.mark.parametrize(("name", "model"), [("agent.toml", AgentSettings), ("center.toml", CenterSettings)])
def test_a_sample_shows_every_key_and_no_other(name: str, model: type[BaseModel]) -> None:
    shown, known = keys_of((ROOT / "config" / name).read_text("utf-8")), set(fields_of(model))
    assert shown - known == set()
    # What takes the place of another key in the samples' devices: the meter's address, the other kinds of line.
    assert known - shown <= {"device.address"}


@each_language
@pytest.mark.parametrize(("name", "model"), [("install-gateway", AgentSettings), ("center", CenterSettings)])
def test_every_key_a_page_shows_exists(name: str, model: type[BaseModel], language: str) -> None:
    text, known = page_of(name, language), set(fields_of(model))
    for block in blocks(text, "toml"):
        tomllib.loads(block)
        assert keys_of(block) <= known
    sections = {key.split(".")[0] for key in known if "." in key}
    named = re.findall(rf"`((?:{'|'.join(sorted(sections))})\.\w+)`", text)
    assert named
    assert {key for key in named if not key.endswith((".toml", ".py", ".key", ".pub"))} <= known


@each_language
def test_the_register_shown_is_a_register(language: str) -> None:
    (shown,) = blocks(page_of("settle", language), "toml")
    findings = Findings()
    loaded = load_register(Delivered("register.toml", shown.encode(), ""), findings)
    findings.refuse_if_any()
    assert loaded.register is not None
    assert [unit.id for unit in loaded.register.units] == ["U1"]


@each_language
def test_the_rulebook_row_shown_has_the_keys_of_rows(language: str) -> None:
    (shown,) = blocks(page_of("extend", language), "toml")
    (row,) = tomllib.loads(shown)["value"]["row"]
    shipped = tomllib.loads((ROOT / "config/rules/east-china-trial/article-14.toml").read_text("utf-8"))
    rows = [row for value in shipped["value"] for row in value["row"]]
    assert set(row) <= set().union(*rows)


@each_language
def test_qualities_faults_and_scenarios_are_those_there_are(language: str) -> None:
    install, simulate = page_of("install-gateway", language), page_of("simulate", language)
    qualities = {
        code for table in re.split(r"\n\n", install) for code in codes(table) if code.upper() in Quality.__members__
    }
    # What a reading can't show: a substituted value is the device's own word for good, a late tag needs a record.
    assert qualities == {q.name.lower() for q in Quality} - {"substituted", "late_tag"}
    (faults,) = [t for t in (codes(table) for table in simulate.split("\n\n")) if "silence" in t]
    assert faults == list(dict.fromkeys(faults))
    assert set(faults) == set(KINDS)
    scenarios = {path.name for path in (ROOT / "config/scenarios").glob("*.toml")} - {"bad_month_faults.toml"}
    (shown,) = [t for t in (codes(table) for table in simulate.split("\n\n")) if "agc_drops.toml" in t]
    assert set(shown) == scenarios


@each_language
def test_refusals_of_the_center_are_those_there_are(language: str) -> None:
    sources = [*(ROOT / "collector/wire").glob("*.py"), *(ROOT / "collector/center").rglob("*.py")]
    known = {c for path in sources for c in re.findall(r'\bcode="(\w+)"', path.read_text("utf-8"))} | {"malformed"}
    (shown,) = [
        t for t in (codes(table) for table in page_of("center", language).split("\n\n")) if "epoch_conflict" in t
    ]
    assert set(shown) == known


@each_language
def test_states_of_months_and_reviews_are_those_there_are(language: str) -> None:
    text = page_of("month", language)
    months, reviews = {"en": ("The states", "Reviews"), "zh-CN": ("状态", "复核申请")}[language]
    assert first_column(text, months) == [[str(state) for state in MonthStage]]
    assert first_column(text, reviews) == [[str(state) for state in ReviewState]]


def settlement_texts() -> set[str]:
    """Every text in the settlement's code but the table of reasons itself."""
    found: set[str] = set()
    for path in (ROOT / "collector/settlement").rglob("*.py"):
        if path.name != "results.py":
            nodes = ast.walk(ast.parse(path.read_text("utf-8")))
            found |= {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found


def finding_codes() -> set[str]:
    """The first argument of every `Finding(…)` and `finding(…)` that is a plain text."""
    found: set[str] = set()
    for path in (ROOT / "collector/settlement").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").lower() == "finding" and node.args:
                first = node.args[0]
                found |= {first.value} if isinstance(first, ast.Constant) and isinstance(first.value, str) else set()
    return found


HEADINGS = {
    "en": ("The statement", "Reasons, and what to do", "Why is it this number?"),
    "zh-CN": ("结算单", "原因与对策", "为什么是这个数？"),
}


@each_language
def test_statuses_reasons_findings_and_services_are_those_there_are(language: str) -> None:
    text = page_of("settle", language)
    statement, reasons, explain = HEADINGS[language]
    _, lines, months = first_column(text, statement)
    assert (set(lines), set(months)) == ({str(s) for s in LineStatus}, {str(s) for s in MonthStatus})
    *tables, findings = first_column(text, reasons)
    shown = [code for table in tables for code in table]
    assert len(shown) == len(set(shown))
    texts = settlement_texts()
    # Every reason the computation gives is explained; no page explains one that has no words in the program.
    # `not_delivered` is a finding.
    assert {reason for reason in REASONS if reason in texts} - {"not_delivered"} <= set(shown) <= set(REASONS)
    # A line without an amount is a finding by its status; an uncertain edge is told by the line's reason too.
    blocked_area = {"no_revenue", "negative_revenue", "zero_revenue"}  # reasons of an area, told as findings too
    assert set(findings) == finding_codes() | {"pending", "blocked"} | blocked_area
    section = text.split(f"## {explain}")[1].split("\n## ")[0]
    assert set(re.findall(r"\b[a-z]+(?:_[a-z]+)*\b", section)) >= set(SERVICES) - {"primary_frequency"}


@each_language
def test_every_promise_of_the_page_on_security_names_tests_that_exist(language: str) -> None:
    rows = re.findall(r"^\| .+ \| .+ \| (`tests/.+) \|$", page_of("security", language), re.MULTILINE)
    assert len(rows) >= 15
    for place in (place for row in rows for place in re.findall(r"`([^`]+)`", row)):
        assert (ROOT / place).exists(), place
