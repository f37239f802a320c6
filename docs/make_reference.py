# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference pages, generated from the program: all verbs, and every key of agent.toml and center.toml.

`python -m docs.make_reference` writes them; a test holds them to the program. What a key means is the sentence beside
it in the sample, so that it stands once.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.main import get_command

from collector.center.settings import CenterSettings
from collector.cli.help_words import put_into_chinese
from collector.cli.main import app
from collector.points.agent_config import AgentSettings

DOCS: Final = Path(__file__).parent
SAMPLES: Final[dict[str, type[BaseModel]]] = {"agent.toml": AgentSettings, "center.toml": CenterSettings}
_LIMITS: Final = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


@dataclass(frozen=True, slots=True)
class Words:
    """What the pages say of themselves in one language."""

    suffix: str
    other: str
    verbs_title: str
    verbs_intro: str
    usage: str
    verb_heads: str
    needed: str
    keys_title: str
    keys_intro: str
    key_heads: str
    kinds: dict[str, str]
    meanings: dict[str, str]


ENGLISH: Final = Words(
    "", "[中文]({}.zh-CN.md)", "All verbs",
    "Generated from the program (`python -m docs.make_reference`); `--help` after a verb says the same on the terminal."
    " Exit codes: 0 good, 1 something was found or refused, 2 the command line is wrong.",
    "Usage: ", "| argument or option | meaning | default |", "needed",
    "Every key of agent.toml and center.toml",
    "Generated from the models that check the files (`python -m docs.make_reference`); what a key means is the sentence"
    " of the samples [config/agent.toml](../config/agent.toml) and [config/center.toml](../config/center.toml)."
    " An unknown key is refused, with the nearest known one named.",
    "| key | kind and limits | default | meaning |", {}, {},
)  # fmt: skip
CHINESE: Final = Words(
    ".zh-CN", "[English]({}.md)", "全部命令",
    "由程序生成（`python -m docs.make_reference`）；终端上在命令后加 `--help` 给出同样内容。"
    "退出码：0 正常，1 有发现或被拒绝，2 命令行有误。",
    "用法：", "| 参数或选项 | 含义 | 默认值 |", "必填",
    "agent.toml 和 center.toml 的全部键",
    "由检查文件的模型生成（`python -m docs.make_reference`）；含义与样例 [config/agent.toml](../config/agent.toml) 和"
    " [config/center.toml](../config/center.toml) 中的英文说明相同。未知的键会被拒绝，并指出最接近的键。",
    "| 键 | 类型和界限 | 默认值 | 含义 |",
    {"text": "文本", "whole number": "整数", "number": "数", "true / false": "true / false"},
    tomllib.loads((DOCS / "key_meanings.zh-CN.toml").read_text("utf-8")),
)  # fmt: skip


def pages() -> dict[str, str]:
    """File name in docs/ -> text."""
    made = {}
    for words in (ENGLISH, CHINESE):
        made[f"reference{words.suffix}.md"] = "\n".join(_verbs(words)) + "\n"
        made[f"configuration{words.suffix}.md"] = "\n".join(_keys(words)) + "\n"
    return made


def _verbs(words: Words) -> Iterator[str]:
    yield from (f"# {words.verbs_title}", "", words.other.format("reference"), "", words.verbs_intro, "")
    program = get_command(app)
    if words is CHINESE:
        put_into_chinese(program)
    for path, verb in _each_verb(program, ("collector",)):
        yield from (f"## {' '.join(path)}", "", _cell(verb.help or ""), "")
        yield f"{words.usage}`{' '.join([*path, *(_usage(p) for p in _shown(verb))])}`"
        yield ""
        if rows := [_row(parameter, words) for parameter in _shown(verb)]:
            yield from (words.verb_heads, "|---|---|---|", *rows, "")


def _each_verb(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, verb in sorted(command.commands.items()):
        if hasattr(verb, "commands"):
            yield from _each_verb(verb, (*path, name))
        elif not getattr(verb, "hidden", False):
            yield (*path, name), verb


def _shown(verb: Any) -> list[Any]:
    return [p for p in verb.params if not getattr(p, "hidden", False) and "--help" not in p.opts]


def _is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def _named(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _usage(parameter: Any) -> str:
    if _is_option(parameter):
        flag = max(parameter.opts, key=len)
        text = flag if getattr(parameter, "is_flag", False) else f"{flag} {_named(parameter)}"
    else:
        named = _named(parameter)
        # A metavar of several words, or with dots of its own, says itself how often.
        text = f"{named} …" if parameter.nargs == -1 and not re.search("[ …]", named) else named
    return text if parameter.required else f"[{text}]"


def _row(parameter: Any, words: Words) -> str:
    name = ", ".join(f"`{opt}`" for opt in parameter.opts) if _is_option(parameter) else f"`{_named(parameter)}`"
    default = parameter.default
    if parameter.required:
        shown = words.needed
    elif default is None or callable(default) or default in ("", False) or default == ():
        shown = ""
    else:
        shown = f"`{getattr(default, 'value', default)}`"
    return f"| {name} | {_cell(parameter.help or '')} | {shown} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _keys(words: Words) -> Iterator[str]:
    yield from (f"# {words.keys_title}", "", words.other.format("configuration"), "", words.keys_intro, "")
    for name, model in SAMPLES.items():
        meanings = meanings_of(name)
        yield from (f"## {name}", "")
        loose = {key: field for key, field in model.model_fields.items() if _inner(field.annotation) is None}
        yield from (words.key_heads, "|---|---|---|---|")
        yield from (_key(field.alias or key, "", field, meanings, words) for key, field in loose.items())
        yield ""
        for key, field in model.model_fields.items():
            if key not in loose:
                yield from _section(key, field.annotation, meanings, words)


def _section(path: str, annotation: Any, meanings: dict[str, str], words: Words) -> Iterator[str]:
    inner = _inner(annotation)
    assert inner is not None
    many = get_origin(annotation) is list
    yield from (f"### {'[[' if many else '['}{path}{']]' if many else ']'}", "")
    plain = {key: field for key, field in inner.model_fields.items() if _inner(field.annotation) is None}
    if plain:
        yield from (words.key_heads, "|---|---|---|---|")
        last = path.rpartition(".")[2]
        yield from (_key(field.alias or key, last, field, meanings, words) for key, field in plain.items())
        yield ""
    for key, field in inner.model_fields.items():
        if key not in plain:
            yield from _section(f"{path}.{key}", field.annotation, meanings, words)


def _inner(annotation: Any) -> type[BaseModel] | None:
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _key(name: str, section: str, field: Any, meanings: dict[str, str], words: Words) -> str:
    default = field.default
    if default is PydanticUndefined:
        shown = "" if field.default_factory is None else f"`{field.default_factory()!r}`"
    else:
        shown = "" if default is None else f"`{_toml(default)}`"
    kind = kind_of(field.annotation, field.metadata)
    for english, said in words.kinds.items():
        kind = re.sub(rf"\b{english}\b", said, kind)
    meaning = meanings.get(f"{section}.{name}".strip("."), "")
    return f"| `{name}` | {_cell(kind)} | {_cell(shown)} | {_cell(words.meanings.get(meaning, meaning))} |"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def kind_of(annotation: Any, metadata: Any = ()) -> str:
    """The kind of a value as a person writes it, with its limits."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(inner[0], (*metadata, *(m for part in inner[1:] for m in getattr(part, "metadata", (part,)))))
    if origin in (Union, UnionType):
        return " / ".join(kind_of(kind) for kind in inner if kind is not NoneType) + _limits(metadata)
    if origin is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in inner)
    if origin in (list, tuple):
        return f"[{kind_of(inner[0])}]" if inner else "[]"
    names = {str: "text", int: "whole number", float: "number", bool: "true / false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)).lower()) + _limits(metadata)


def _limits(metadata: Any) -> str:
    found = [
        f"{sign} {getattr(part, name)}"
        for part in metadata
        for name, sign in _LIMITS.items()
        if getattr(part, name, None) is not None
    ]
    return f", {' '.join(found)}" if found else ""


def meanings_of(name: str) -> dict[str, str]:
    """`section.key` -> the sentence beside it in the sample; the first where it stands several times."""
    text = (DOCS.parent / "config" / name).read_text("utf-8")
    tomllib.loads(text)
    section, last, found = "", "", dict[str, str]()
    for line in text.splitlines():
        if header := re.match(r"(?:# )?\[\[?(?:\w+\.)*(\w+)\]\]?", line):
            section, last = header[1], ""
        elif key := re.match(r"(?:# )?(\w+) = (?:\"[^\"]*\"|[^#\"]|\"[^\"]*\")*?\s*#\s*(.*)$", line):
            last = f"{section}.{key[1]}".strip(".")
            found.setdefault(last, key[2].strip())
        elif last and (more := re.match(r"\s{10,}#\s*(.*)$", line)):
            found[last] += " " + more[1].strip()
        else:
            last = ""
    return found


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
