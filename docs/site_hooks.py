# SPDX-License-Identifier: GPL-3.0-or-later
"""What MkDocs does not do by itself so that the site can be read from a folder, without a network.

Links of the pages to files of the tree (samples, examples, READMEs) have nowhere to lead on the site: their text stays.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, Final

_OUTSIDE: Final = re.compile(r"\[([^\]\[]+)\]\((?:\.\./(?!decisions)|examples/)[^)\s]*\)")
_SHIM: Final = "https://unpkg.com/iframe-worker/shim"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs with each page's text."""
    return _OUTSIDE.sub(lambda found: found[1], markdown)


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Called by MkDocs with each finished page: the search's helper is the one shipped."""
    return output.replace(_SHIM, "../" * page.url.count("/") + "assets/frame-worker.js")


def on_post_build(*, config: Any, **_: Any) -> None:
    """Called by MkDocs last: links of the 404 page begin at the root of a server; in a folder nobody sees it."""
    (Path(config.site_dir) / "404.html").unlink(missing_ok=True)


def on_config(config: Any) -> Any:
    """Called by MkDocs first: anchors keep Chinese headings, as the pages' own links have them."""
    slugs = importlib.import_module("pymdownx.slugs")
    config.mdx_configs["toc"] = {**config.mdx_configs.get("toc", {}), "slugify": slugs.slugify(case="lower")}
    return config
