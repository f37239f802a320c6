# SPDX-License-Identifier: GPL-3.0-or-later
"""The operating system's user at the command line: recorded beside the name that `--who` claims.

The kernel keeps the user who logged in across `su`, `sudo` and `runuser` (the audit login uid); where nobody logged in
(a timer, a container) it is the user of the process. Environment variables are not used: anybody can set them.
"""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path
from typing import Final

LOGIN_UID: Final = Path("/proc/self/loginuid")
UNSET: Final = 2**32 - 1


def system_user(login_uid: Path = LOGIN_UID) -> str:
    """The name of the system's user; its number where it has no name."""
    try:
        uid = int(login_uid.read_text("ascii"))
    except (OSError, ValueError):
        uid = UNSET
    if uid == UNSET:
        uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def system_login() -> str:
    """User and machine, `root@host`."""
    return f"{system_user()}@{socket.gethostname()}"
