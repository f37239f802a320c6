# SPDX-License-Identifier: GPL-3.0-or-later
"""The site of the documentation (`make docs`) shows every page, and its pages need nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from docs.site_hooks import on_page_markdown, on_post_build, on_post_page

ROOT = Path(__file__).parents[2]
SITE: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))


def named(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for each in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from named(each)


def test_the_navigation_names_each_page_once_under_its_language() -> None:
    english, chinese = (list(named(part)) for part in SITE["nav"])
    # Each decision is reached from the list of them.
    there = {path.name for path in (ROOT / "docs").glob("*.md")} | {"decisions/README.md"}
    assert len(english) == len(set(english))
    assert len(chinese) == len(set(chinese))
    assert set(english) == {name for name in there if not name.endswith(".zh-CN.md")}
    assert set(chinese) == {name for name in there if name.endswith(".zh-CN.md")}


def test_the_site_is_strict_and_asks_nothing_of_the_network() -> None:
    assert SITE["strict"] is True
    assert SITE["theme"]["font"] is False
    assert "offline" in SITE["plugins"]
    page = '<script src="https://unpkg.com/iframe-worker/shim"></script>'
    assert on_post_page(page, page=SimpleNamespace(url="decisions/0001.html")) == (
        '<script src="../assets/frame-worker.js"></script>'
    )
    assert (ROOT / "docs/assets/frame-worker.js").exists()


def test_the_search_parts_words_of_both_languages() -> None:
    (search,) = (each["search"] for each in SITE["plugins"] if isinstance(each, dict))
    assert search["lang"] == ["en", "zh"]
    # As jieba leaves a Chinese sentence in the index; the browser parts it by this pattern.
    assert re.split(search["separator"], "向\u200b网关\u200b补召 record-period") == [
        "向",
        "网关",
        "补召",
        "record",
        "period",
    ]


def test_a_page_that_only_a_server_would_show_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "404.html").touch()
    (tmp_path / "index.html").touch()
    on_post_build(config=SimpleNamespace(site_dir=str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_link_out_of_the_pages_keeps_its_text_alone() -> None:
    text = (
        "[a sample](../config/agent.toml), [a driver](examples/driver/), [a page](settle.md#duties), ![](screens/x.png)"
    )
    assert on_page_markdown(text) == "a sample, a driver, [a page](settle.md#duties), ![](screens/x.png)"
