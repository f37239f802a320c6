# SPDX-License-Identifier: GPL-3.0-or-later
"""`make screens`: the pages most used as small pictures in docs/screens/, out of a month made for tests.

A picture has at most 256 colours, so that ten of them weigh less than half a megabyte; made-up plants, no person.
"""

from __future__ import annotations

import base64
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from playwright.sync_api import Page

from tests.center.web.conftest import june_world
from tests.center.web.web_browser import log_in, site, tab
from tests.headless import chromium

TARGET: Final = Path(__file__).parents[3] / "docs" / "screens"
WIDTH, HEIGHT = 1120, 660
MOST_BYTES: Final = 60_000
# file -> who, address below the month where it does not begin with /, width
SCREENS: Final = {
    "statement-of-a-plant": ("petra", "runs/{run}", WIDTH),
    "review": ("petra", "reviews/new?run={run}&unit=U0&service=deep_peak&day=2026-06-03", WIDTH),
    "board": ("olga", "", WIDTH),
    "run": ("olga", "runs/{run}", WIDTH),
    "lines": ("olga", "runs/{run}/lines?sort=-amount_yuan&is.status=paid", WIDTH),
    "line": ("olga", "runs/{run}/lines/U1/deep_peak?day=2026-06-03", WIDTH),
    "day-of-a-unit": ("olga", "runs/{run}/days/U0/2026-06-03", WIDTH),
    "completeness": ("olga", "completeness", WIDTH),
    "imports": ("olga", "/imports", WIDTH),
    "phone": ("petra", "runs/{run}", 480),
}
_PIXELS: Final = """async (source) => {
  const image = new Image(); image.src = source; await image.decode();
  const canvas = document.createElement("canvas"); canvas.width = image.width; canvas.height = image.height;
  const context = canvas.getContext("2d"); context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, image.width, image.height).data; let text = "";
  for (let at = 0; at < data.length; at += 32768) text += String.fromCharCode(...data.subarray(at, at + 32768));
  return [image.width, image.height, btoa(text)];
}"""


def main() -> None:
    """Make every picture anew."""
    TARGET.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as work,
        june_world(Path(work)) as made,
        site(made) as address,
        chromium() as eye,
    ):
        for name, (who, path, width) in SCREENS.items():
            with tab(eye, address, width=width) as (page, _):
                page.set_viewport_size({"width": width, "height": HEIGHT})
                log_in(page, who)
                below = path.format(run=made.run_id)
                page.goto(below if path.startswith("/") else f"/months/2026-06/{below}".rstrip("/"))
                page.wait_for_load_state("networkidle")
                shot = page.screenshot()
                page.goto("about:blank")
                data = smaller(page, shot)
            assert len(data) < MOST_BYTES, (name, len(data))
            (TARGET / f"{name}.png").write_bytes(data)
            print(f"{name}.png: {len(data)} bytes")


def smaller(page: Page, shot: bytes) -> bytes:
    """A picture with at most 256 colours: channels rounded until there are no more and it is small."""
    width, height, text = page.evaluate(_PIXELS, "data:image/png;base64," + base64.b64encode(shot).decode())
    pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height * width, 4)[:, :3].astype(np.int64)
    made = b""
    for step in (8, 12, 16, 24, 32, 48, 64):
        rounded = np.minimum((pixels + step // 2) // step * step, 255)
        colours, indices = np.unique(rounded @ np.array([65536, 256, 1]), return_inverse=True)
        if len(colours) <= 256:
            made = _png(width, height, colours, indices)
            if len(made) < MOST_BYTES:
                break
    return made


def _png(width: int, height: int, colours: np.ndarray[Any, Any], indices: np.ndarray[Any, Any]) -> bytes:
    """A PNG with a palette."""
    rows = indices.astype(np.uint8).reshape(height, width)
    raw = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()
    palette = b"".join(int(colour).to_bytes(3, "big") for colour in colours)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


if __name__ == "__main__":
    main()
