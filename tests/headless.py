# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Chromium without a screen, for tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

# Debian's build for programs draws the same pages for half the work of the whole browser, which does as well.
PROGRAMS: Final = ("chromium-headless-shell", "chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, until the block ends; a test that wants one is skipped, and says so, where none is installed."""
    path = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if path is None:
        pytest.skip("no chromium is installed: the pages are not looked at in a browser")
    with sync_playwright() as playwright:
        # Containers run as root, where Chromium's own sandbox can't; it only loads pages of this machine.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
