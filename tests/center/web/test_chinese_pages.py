# SPDX-License-Identifier: GPL-3.0-or-later
"""A Chinese page shows no English sentence and no option of the command line, also where something is refused."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from collector.base.text import into
from collector.center.kept_words import in_words
from collector.center.web.render import TEMPLATES
from tests.center.web.busy_world import Busy, busy_world
from tests.center.web.web_world import JUNE, PASSWORD, PEOPLE, World, world

OTHERS = ["/months/1999-77", f"{JUNE}/compare?a=7&b=8"]
WORD = r"[A-Za-z][a-z']+"
SENTENCE = re.compile(rf"(?:{WORD}[ ]){{3}}{WORD}")


def english_in(page: str) -> list[str]:
    """What of a page is an English sentence or an option; codes, what people typed and files are left out."""
    shown = re.sub(r"(?s)<(script|style|code|pre|textarea|option)\b.*?</\1>", "|", page)
    text = html.unescape(re.sub(r"<[^>]+>", "|", shown))
    return [*(found[0] for found in SENTENCE.finditer(text)), *re.findall(r"(?<!-)--[a-z][a-z-]*", text)]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    with busy_world(tmp_path_factory.mktemp("busy")) as made:
        yield made


@pytest.fixture(scope="module")
def read(busy: Busy) -> Callable[[str], dict[str, str]]:
    """The pages that somebody may open, in Chinese, by their addresses.

    All but the reference of the REST interface, which is for programmers and in English.
    """

    @functools.cache
    def read(who: str) -> dict[str, str]:
        with busy.world.browser(who, "zh") as browser:
            answers = {each: browser.get(each) for each in [*busy.pages(), *OTHERS] if not each.startswith("/api/")}
        html_of = {each: answer.text for each, answer in answers.items() if is_html(answer)}
        assert len(html_of) > 20
        return html_of

    return read


def is_html(answer: httpx.Response) -> bool:
    return str(answer.headers.get("content-type", "")).startswith("text/html")


def test_an_english_sentence_would_be_found() -> None:
    assert english_in("<p>编号 7：the run has no such line</p>") == ["the run has no"]
    assert english_in("<p>冲突;--replace !</p>") == ["--replace"]
    assert english_in("<p>电厂 P1 机组 U1 active_power_mw</p><code>one two three four</code>") == []


def test_templates_leave_the_marks_between_two_texts_to_the_language() -> None:
    """`{{ colon }}`, `{{ comma }}`: what is written out would be half width on a Chinese page."""
    written = re.compile(r"\}\}(?:</\w+>)?[:,;] ")
    assert [path.name for path in sorted(TEMPLATES.glob("*.html")) if written.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("who", ["olga", "anna", "aldo", "rita", "paul", "admin"])
def test_no_page_of_a_worked_month_shows_english(read: Callable[[str], dict[str, str]], who: str) -> None:
    assert {address: found for address, page in read(who).items() if (found := english_in(page))} == {}


HALF_WIDTH = re.compile(r"[\u4e00-\u9fff][(),;:]|[),;:(] ?[\u4e00-\u9fff]")


def half_width_in(page: str) -> set[str]:
    """Half-width marks beside Chinese in what is read on a page, with what stands around them."""
    shown = re.sub(r"(?s)<(script|style|code|pre|textarea)\b.*?</\1>", "|", page)
    text = html.unescape(re.sub(r"<[^>]+>", "|", shown))
    return {text[max(found.start() - 12, 0) : found.end() + 12] for found in HALF_WIDTH.finditer(text)}


def test_a_half_width_mark_beside_chinese_would_be_found() -> None:
    assert len(half_width_in("<p>启停调峰(燃煤)，电厂 P0, P1；条款 13(1)-(3)</p>")) == 2
    assert half_width_in("<p>共 3 行，13(1)、14(2)：说明 (MW)</p>") == set()


@pytest.mark.parametrize("who", ["olga", "paul"])
def test_marks_beside_chinese_are_full_width(read: Callable[[str], dict[str, str]], who: str) -> None:
    assert {address: found for address, page in read(who).items() if (found := half_width_in(page))} == {}


# What a page may show in Latin letters: names of people, plants, units and files, hashes, signs of units and formulas.
NAMES = {*PEOPLE, *(name.title() for name in PEOPLE), "collector", "test", "li", "English"}
ALLOWED = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}|[0-9.]*P_N|tC|[A-Z]{1,6}[0-9_]*|[A-Z0-9]{4}|[A-Z]-[A-Z]\d|MWh|Mvarh?|kV|MW/min|SHA-256|[0-9a-f]{6,}|[PU]\d(/[PU]\d)?|[A-Zt]_[A-Z]\w*|tan|arccos"
    r"|[\w-]+\.(csv|txt|e|xlsx|toml|html|json|pdf)|\*\.toml|o\d+|G-P\d|I-\d\w*|v\d"
)


def words_in(page: str) -> list[str]:
    """Every English word or code that a reader of a Chinese page meets, also in titles, labels and choices."""
    shown = re.sub(r"(?s)<(script|style|textarea)\b.*?</\1>|<code class=.hash.>.*?</code>", "|", page)
    said = re.findall(r'(?:title|aria-label|placeholder|alt)="([^"]*)"', shown)
    text = html.unescape(re.sub(r"<[^>]+>", "|", shown) + "|".join(said))
    text = re.sub(r"/(api|months|imports|reviews|filings|runs)[\w/.{}:-]*", "", text)  # addresses
    found = re.findall(r"[A-Za-z0-9_*][\w.*/'-]*[A-Za-z]\w*", text, re.ASCII)
    return sorted({each for each in found if each not in NAMES and not ALLOWED.fullmatch(each)})


def test_an_english_word_or_code_would_be_found() -> None:
    assert words_in("<td>own_fault</td><td title='x' aria-label=\"Unit\">数 yuan</td>") == ["Unit", "own_fault", "yuan"]
    assert words_in("<p>P1 的 lines.csv，AGC 12 MWh，olga</p><code class='hash'>be11abcd</code>") == []


@pytest.mark.parametrize("who", PEOPLE)
def test_no_page_of_a_worked_month_shows_an_english_word_or_code(
    read: Callable[[str], dict[str, str]], who: str
) -> None:
    wrong: dict[str, list[str]] = {}
    for address, page in read(who).items():
        own = page
        if "/pending/" in address:  # headings and cells of the file itself, as they stand in it
            own = re.sub(r"(?s)<table>.*?</table>", "", own)
        if address.endswith("/rulebook"):  # a row of the rulebook is found in its file by its id
            own = re.sub(r"<code>[\w.]+</code>", "", own)
        if found := words_in(own):
            wrong[address] = found
    assert wrong == {}


REFUSED = [
    ("/users", {"name": "x", "full_name": "X", "role": "plant", "password": "correct horse battery"}, "admin"),
    ("/users", {"name": "somebody", "full_name": "X", "role": "auditor", "password": "short"}, "admin"),
    ("/plants/keys", {"plant": "P1", "pem": "no key"}, "admin"),
    ("/account/password", {"current": "wrong", "new": "a", "again": "b"}, "olga"),
    ("/asks", {"unit": "U9", "from": "2026-06-01T00:00", "to": "2026-06-01T01:00"}, "olga"),
    ("/substitutions", {"unit": "U9", "quantity": "x", "from": "", "to": ""}, "olga"),
    ("/imports/999999/undo", {"reason": "x"}, "olga"),
    ("/proposals/999999/decide", {"decision": "approve"}, "anna"),
    (f"{JUNE}/step", {"to": "published", "run": "1"}, "olga"),
    (f"{JUNE}/step", {"to": "nowhere", "run": "x"}, "olga"),
]


@pytest.mark.parametrize(("path", "form", "who"), REFUSED)
def test_no_refusal_is_told_in_english(worked: World, path: str, form: dict[str, str], who: str) -> None:
    with worked.browser(who, "zh") as browser:
        answer = browser.post(path, data=form | {"csrf": worked.csrf_of(who)})
    assert answer.status_code >= 400
    assert english_in(answer.text) == []


@pytest.mark.parametrize(
    ("path", "form", "who", "said"),
    [
        ("/asks", {"unit": "U2", "from": "x", "to": "y"}, "olga", "时间："),
        ("/account/tokens", {"name": "", "days": "7"}, "olga", "访问令牌："),
        ("/users", {"name": "nina", "full_name": "N", "role": "chief", "password": PASSWORD}, "admin", "角色："),
        ("/account/password", {"current": PASSWORD, "new": "short", "again": "short"}, "olga", "密码："),
    ],
)
def test_what_a_refusal_is_about_is_named_in_chinese(
    worked: World, path: str, form: dict[str, str], who: str, said: str
) -> None:
    with worked.browser(who, "zh") as browser:
        answer = browser.post(path, data=form | {"csrf": worked.csrf_of(who)})
        unsigned = browser.post(path, data=form)
    assert answer.status_code >= 400
    assert said in answer.text
    assert "此表单：已过期或来自其他网站" in unsigned.text


def test_the_findings_of_a_refused_file_are_told_in_chinese(worked: World) -> None:
    for name, text in (
        ("orders.csv", "unit,kind,start,end\nU9,agc,2026-06-01,x\n"),
        ("revenue.csv", "plant,month,kind,amount\nP9,2026-6,z,1e3\n"),
        ("plan.csv", "a,b\n1\n"),
        ("plan.xlsx", "no workbook"),
        ("register.toml", "x = 1\n[[unit]]\nid = 1\n"),
        ("records.csv", "unit,time\nU1,yesterday\n"),
    ):
        form = {"csrf": worked.csrf_of("olga"), "kind": Path(name).stem}
        with worked.browser("olga", "zh") as browser:
            answer = browser.post("/imports", data=form, files={"file": (name, text.encode())})
        assert answer.status_code == 422, name
        assert english_in(answer.text) == [], name


def test_rest_tells_an_error_in_the_language_that_was_asked_for(tmp_path: Path) -> None:
    with world(tmp_path) as made, made.browser() as client:
        told = {
            language: client.get(
                "/api/v1/runs/7", headers=made.token_of("olga") | ({"accept-language": language} if language else {})
            ).json()["message"]
            for language in ("", "en", "zh-CN,zh;q=0.9")
        }
    assert told[""] == told["en"] == "run 7: no such run that you may see"
    assert told["zh-CN,zh;q=0.9"] == "运行 7: 没有可供查看的此运行"


def test_findings_in_the_data_are_told_in_chinese() -> None:
    """As `plausibility` keeps them, in English."""
    told = {
        "5 stretches; the first: 3 MW to 9 MW in 2 s": "共 5 段；首段：2 s 内由 3 MW 到 9 MW",
        "at most 0.5 a second": "每秒至多 0.5",
        "220 kV for 900 s": "220 kV 持续 900 s",
        "telemetry 1.5 MWh": "遥测积分 1.5 MWh",
        "never less": "只增不减",
    }
    assert {found: into(in_words(found), "zh") for found in told} == told
