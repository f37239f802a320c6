# SPDX-License-Identifier: GPL-3.0-or-later
"""The Chinese catalogue and the sources it belongs to: what is written out in them, what is translated.

`python -m tests.base.catalogue` (make texts) brings `zh.po` up to date (new texts without a translation, old ones
gone) and compiles it to `zh.mo`.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import jinja2
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from typer.main import get_command

import collector
from collector.base.text import CATALOGUE
from collector.cli.help_words import every_text
from collector.cli.main import app

PO: Final = CATALOGUE.with_suffix(".po")
HOUSE: Final = Path(collector.__file__).parent
# Each with its context; empty where there is none.
Key = tuple[str, str]
_CALLS: Final = ("tr", "tr_in", "print_text", "heads")
_UNDATED: Final = datetime(2026, 1, 1, tzinfo=UTC)
_HEADER: Final = r"""# SPDX-License-Identifier: GPL-3.0-or-later
# Chinese texts of the collector; `make texts` keeps this file.
msgid ""
msgstr ""
"Language: zh\n"
"Content-Type: text/plain; charset=utf-8\n"

"""


def written_out() -> dict[Key, str]:
    """Every text in code and templates, with the file that has it.

    Raises:
        ValueError: a call whose text is not written out where it is called, so that nobody can collect it.
    """
    found: dict[Key, str] = {}
    for path in sorted(HOUSE.rglob("*.py")):
        if path.name not in ("text.py", "language.py"):
            found |= dict.fromkeys(_of_module(path), str(path.relative_to(HOUSE)))
    for path in sorted(HOUSE.rglob("templates/*.html")):
        found |= dict.fromkeys(_of_template(path), path.name)
    return found | {("", text): "--help" for text in every_text(get_command(app))}


def _of_module(path: Path) -> Iterator[Key]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS):
            continue
        said = [text.value for text in node.args if isinstance(text, ast.Constant) and isinstance(text.value, str)]
        if len(said) != len(node.args):
            raise ValueError(f"{path}:{node.lineno}: the text is not written out")
        if node.func.id == "heads":
            yield from (("", text) for text in said)
            continue
        if len(said) != (2 if node.func.id == "tr_in" else 1):
            raise ValueError(f"{path}:{node.lineno}: a text and its values by name")
        yield said[0] if len(said) > 1 else "", said[-1]


def _of_template(path: Path) -> Iterator[Key]:
    for call in jinja2.Environment().parse(path.read_text("utf-8")).find_all(jinja2.nodes.Call):
        if isinstance(call.node, jinja2.nodes.Name) and call.node.name in ("t", "t_in"):
            said = [text.value for text in call.args if isinstance(text, jinja2.nodes.Const)]
            if len(said) != (2 if call.node.name == "t_in" else 1):
                raise ValueError(f"{path}:{call.lineno}: the text is not written out")
            yield said[0] if len(said) > 1 else "", said[-1]


def translated() -> dict[Key, str]:
    """Every text of zh.po with its Chinese."""
    with PO.open("rb") as file:
        entries = read_po(file, locale="zh")
    return {(entry.context or "", str(entry.id)): str(entry.string) for entry in entries if entry.id}


def bring_up_to_date() -> None:
    """Rewrites zh.po and zh.mo; says which texts have no translation."""
    known, wanted = translated() if PO.exists() else {}, written_out()
    made = Catalog(locale="zh", creation_date=_UNDATED, revision_date=_UNDATED, fuzzy=False)
    # Sorted, and without places: two branches that add texts merge, and a text may move.
    for context, text in sorted(wanted, key=lambda key: key[::-1]):
        made.add(text, known.get((context, text), ""), context=context or None)
        if not known.get((context, text)):
            print(f"{wanted[context, text]}: {context and f'[{context}] '}{text}")
    written = io.BytesIO()
    write_po(written, made, width=0, omit_header=True)
    PO.write_text(_HEADER + written.getvalue().decode(), "utf-8")
    with CATALOGUE.open("wb") as file:
        write_mo(file, made)


if __name__ == "__main__":
    bring_up_to_date()
