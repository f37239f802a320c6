# SPDX-License-Identifier: GPL-3.0-or-later
"""Every text for people is translated, no translation is left over, and the compiled catalogue is the written one."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterable, Iterator
from typing import Final

from collector.base import errors
from collector.base.text import Text, catalogue
from tests.base.catalogue import HOUSE, translated, written_out

HAN: Final = re.compile("[\u4e00-\u9fff]")


def names(text: str) -> set[str]:
    """Those of the values in a text; none where its braces mean themselves."""
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError:
        return set()


def test_every_text_has_a_translation_and_no_translation_is_left_over() -> None:
    wanted, known = written_out(), translated()
    assert {key: place for key, place in wanted.items() if not known.get(key)} == {}, "run `make texts`, translate"
    assert known.keys() - wanted.keys() == set(), "run `make texts`"


def test_both_languages_take_the_same_values() -> None:
    assert [text for (_, text), chinese in translated().items() if names(text) != names(chinese)] == []


def test_the_compiled_catalogue_says_what_the_written_one_says() -> None:
    for (context, text), chinese in translated().items():
        said = catalogue().pgettext(context, text) if context else catalogue().gettext(text)
        assert said == chinese, "run `make texts`"
        assert context or Text(text, {}).into("zh") == chinese


def test_no_translation_is_an_english_sentence() -> None:
    said = {text: re.sub("`[^`]*`", "", chinese) for text, chinese in translated().items()}  # but for commands
    left = [text for text, chinese in said.items() if re.search(r"(?:\b[A-Za-z]{2,}\b[ ,;]+){4}", chinese)]
    assert left == []


def test_marks_beside_chinese_are_full_width() -> None:
    han = HAN.pattern.replace("]", "\u3001-\u303f\uff00-\uffef]")
    half = re.compile(f"{han}[,;:?!(]|[,;:?!]{han}|\\([^()]*{han}[^()]*\\)")
    assert half.search("电厂, 机组")
    assert half.search("余额 (元)")
    assert {text: chinese for (_, text), chinese in translated().items() if half.search(chinese)} == {}


def test_nothing_told_to_people_is_written_in_english_alone() -> None:
    """A message of an error, a problem or an alarm, a line or a head on a terminal: `tr`, or both languages in it."""
    told = {name for name, of in vars(errors).items() if isinstance(of, type) and issubclass(of, Exception)}
    told |= {"Problem", "Alarm", "print", "echo", "BadParameter", "print_table", "show_rows", "add_column"}
    left = []
    for path in sorted(HOUSE.rglob("*.py")):
        is_terminal = path.relative_to(HOUSE).parts[0] == "cli"
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and name_of(node) in told and path.parent.name not in ("versions", "trial"):
                left += [f"{path}:{node.lineno}: {text}" for text in english_in(node.args, is_terminal=is_terminal)]
    assert left == [], "write tr(…), and its Chinese in zh.po"


def name_of(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def english_in(nodes: Iterable[ast.AST], *, is_terminal: bool) -> Iterator[str]:
    """Literals with words of English and none of Chinese; on a terminal one word is enough, else it may be a code."""
    for node in nodes:
        if isinstance(node, ast.Call):
            passes = name_of(node) in ("join", "say", "filter", "escape")
            yield from english_in(node.args if passes else (), is_terminal=is_terminal)
        elif isinstance(node, ast.Constant | ast.JoinedStr):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(p.value if isinstance(p, ast.Constant) and isinstance(p.value, str) else "{}" for p in parts)
            bare = re.sub(r"\[[^]]*]|`[^`]*`|--[a-z-]+|\S*[/._{]\S*|\bcollector\b.*", "", text)
            if re.search(r"[a-z]{3}" if is_terminal else r"[a-z]{2,}\s+[a-z]{2,}", bare) and not HAN.search(text):
                yield text
        elif not isinstance(node, ast.Compare | ast.Subscript):
            yield from english_in(ast.iter_child_nodes(node), is_terminal=is_terminal)


def test_english_alone_would_be_found() -> None:
    def found(call: str) -> list[str]:
        node = ast.parse(call, mode="eval").body
        assert isinstance(node, ast.Call)
        return list(english_in(node.args, is_terminal=True))

    assert found('print(f"{n} lines")') == ["{} lines"]
    assert found('print(say("a" if x else "never"))') == ["never"]
    assert found('print(tr("never"), f"{n} 条 lines", "collector center run", "--who")') == []
