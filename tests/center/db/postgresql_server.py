# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL server for the tests: started from Debian's programs in a temporary folder, and removed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_QUIET: Final[dict[str, Any]] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}


def find_programs() -> Path | None:
    """The newest server installed: Debian keeps its programs off the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    found = shutil.which("initdb")
    return Path(found).parent if found else debian[-1] if debian else None


def plain_url(url: str) -> str:
    """SQLAlchemy's address of a database as the driver itself takes it."""
    return url.replace("+psycopg", "", 1)


@contextlib.contextmanager
def running_server(programs: Path, *, socket_folder: str = "", also_at: str = "") -> Iterator[str]:
    """The address of an empty server without a database name, `postgresql+psycopg://…:PORT/`.

    With a folder it answers there too, and knows who asks by the system's user (`peer`), as Debian has it. `also_at`: a
    further address, whose network of 256 may come in.
    """
    # The server refuses to run as root, and its user can't enter the folders of root's tests.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="collector-pg-"))
    if as_user:
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    addresses = f"127.0.0.1,{also_at}" if also_at else "127.0.0.1"
    options = f"-p {port} -c listen_addresses={addresses} -c unix_socket_directories='{socket_folder}' -c fsync=off"
    control = [*as_user, str(programs / "pg_ctl"), "-D", str(folder / "pg"), "-w"]
    make = [*as_user, str(programs / "initdb"), "-D", str(folder / "pg"), "-A", "trust", "-U", "collector"]
    try:
        subprocess.run([*make, "--no-sync", "-E", "UTF8"], **_QUIET)
        if socket_folder:
            (folder / "pg" / "pg_hba.conf").write_text("local all all peer\nhost all all 127.0.0.1/32 trust\n")
        if also_at:
            with (folder / "pg" / "pg_hba.conf").open("a") as rights:
                rights.write(f"host all all {also_at}/24 trust\n")
        subprocess.run([*control, "-l", str(folder / "log"), "-o", options, "start"], **_QUIET)
        try:
            yield f"postgresql+psycopg://collector@127.0.0.1:{port}/"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **_QUIET)
    finally:
        shutil.rmtree(folder)
