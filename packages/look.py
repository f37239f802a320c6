# SPDX-License-Identifier: GPL-3.0-or-later
"""A center's page for somebody who logs in: look.py ADDRESS NAME PASSWORD prints its words."""

from __future__ import annotations

import html
import re
import sys
from urllib.parse import urljoin

import httpx


def look(address: str, name: str, password: str) -> str:
    """The page's words.

    Raises:
        httpx.HTTPError: nobody answers there, or not with a page.
    """
    with httpx.Client(follow_redirects=True, trust_env=False) as client:
        form = client.get(urljoin(address, "/login")).raise_for_status().text
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))
        entered = hidden | {"name": name, "password": password}
        client.post(urljoin(address, "/login"), data=entered).raise_for_status()
        page = client.get(address).raise_for_status().text
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


if __name__ == "__main__":
    print(look(*sys.argv[1:]))
