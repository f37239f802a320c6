# SPDX-License-Identifier: GPL-3.0-or-later
"""Our style sheet and scripts, and plotly's bundled one: everything a page loads comes from here, nothing from outside.

Only named files are served. Their addresses carry a hash of the content, so browsers keep them for good.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Final

from litestar import Response
from litestar.params import FromPath

from collector.base.errors import Missing
from collector.base.text import tr
from collector.center.web.guards import Open
from collector.center.web.render import STATIC
from collector.center.web.routes import page

PLOTLY: Final = "plotly.min.js"
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@functools.cache
def read_static(name: str) -> bytes:
    """A file that pages may load.

    Raises:
        Missing: there is none of this name.
    """
    own = {path.name: path for path in STATIC.iterdir() if path.suffix in _TYPES}
    path = _plotly() if name == PLOTLY else own.get(name)
    if path is None:
        raise Missing(tr("no such file"), subject=name)
    return path.read_bytes()


def _plotly() -> Path | None:
    # Found, not imported: the library itself is big and does nothing here.
    spec = importlib.util.find_spec("plotly")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "package_data" / PLOTLY


@page("/static/{name:str}", Open.PUBLIC)
def static_file(name: FromPath[str]) -> Response[bytes]:
    """A style sheet or script."""
    content = read_static(name)
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(content, media_type=_TYPES[Path(name).suffix], headers=headers)


ROUTES: Final = [static_file]
