# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP requests that go to the address a person configured, and to no other."""

from __future__ import annotations

import urllib.request
from typing import Any


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: a token or an alarm is not carried to another address than the configured one."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None
