# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages behind nginx, at its root and under a path: log-in, links, forms, scripts, downloads, redirects."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from simulators.plant.scenario import free_ports
from tests.center.web.web_browser import log_in, site, tab
from tests.center.web.web_world import JUNE, World
from tests.headless import chromium
from tests.patience import HANG_S, wait_until

CONFIG = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; proxy_max_temp_file_size 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  include /etc/nginx/mime.types;
  server {{
    listen 127.0.0.1:{port};
    location {path}/ {{
      proxy_pass {behind}/;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, behind: str, path: str) -> Iterator[str]:
    """The address of an nginx that passes `path` on to `behind`, without the path."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("no nginx is installed: the pages are not tried behind it")
    (port,) = free_ports(1)
    file = folder / "nginx.conf"
    file.write_text(CONFIG.format(folder=folder, port=port, path=path, behind=behind), "utf-8")
    with subprocess.Popen([program, "-c", str(file), "-p", str(folder)]) as process:
        address = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                return httpx.get(f"{address}{path}/login", timeout=HANG_S).status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_until(answers, address)
            yield address
        finally:
            process.terminate()


@pytest.mark.parametrize("path", ["", "/settlement/east"])
def test_every_address_of_a_page_leads_through_the_proxy(worked: World, tmp_path: Path, path: str) -> None:
    with (
        site(worked, base_path=path) as behind,
        nginx(tmp_path, behind, path) as address,
        chromium() as browser,
        tab(browser, address) as (page, seen),
    ):
        log_in(page, "olga", path)
        assert page.url.startswith(f"{address}{path}/")
        page.goto(f"{path}{JUNE}")
        page.locator("nav").get_by_role("link", name="数据完整率").click()
        page.wait_for_url(f"{address}{path}{JUNE}/completeness")
        page.locator(".bar select[name=month]").select_option("2026-07")
        page.wait_for_url(f"{address}{path}/months/2026-07/completeness")
        page.goto(f"{path}{JUNE}/runs/{worked.run_id}")
        expect(page.locator("#bars .main-svg").first).to_be_visible()
        with page.expect_download() as loaded:
            page.get_by_role("link", name="lines.csv").click()
        assert loaded.value.suggested_filename.endswith("lines.csv")
        addresses = page.evaluate(
            "[...document.querySelectorAll('[href],[src],[action]')].map(e => e.href || e.src || e.action)"
            ".filter(a => a.startsWith('http')).map(a => new URL(a).pathname)"
        )
        assert addresses
        assert [each for each in addresses if not each.startswith(f"{path}/")] == []
        page.get_by_role("button", name="退出").click()
        page.wait_for_url(f"{address}{path}/login*")
        assert seen.complaints == []
