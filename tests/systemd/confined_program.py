# SPDX-License-Identifier: GPL-3.0-or-later
"""`python confined_program.py UNIT PROGRAM ARGUMENT…`: run a program as UNIT's seccomp settings would let it run.

System calls, address families, and no memory that is writable and executable: what systemd does with seccomp can be
done by anybody for himself. Users, mounts and device lists need root and stay with systemd.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | 1  # EPERM
_EQUAL: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_MDWE: Final = 65  # Linux 6.3; systemd does the same by seccomp
_FAMILIES: Final = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}


class _Argument(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def members(group: str) -> set[str]:
    """The system calls of a name: of a group such as @system-service, or the call itself."""
    if not group.startswith("@"):
        return {group}
    command = ["systemd-analyze", "syscall-filter", group]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    names = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return set().union(*(members(name) for name in names))


def allowed_calls(unit: str) -> set[str]:
    """What the lines SystemCallFilter= of a unit's text leave, in their order."""
    allowed = members("@default")
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        named = set().union(*(members(name) for name in line.lstrip("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


def confine(unit: str) -> None:
    """Bind this process, and what it starts, to the unit's settings.

    Raises:
        OSError: this kernel or this machine can't.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    allowed = allowed_calls(unit)
    if "\nMemoryDenyWriteExecute=yes\n" in unit and libc.prctl(_PR_SET_MDWE, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no PR_SET_MDWE")
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(_REFUSE)))
    (families,) = re.findall(r"^RestrictAddressFamilies=(.*)$", unit, re.MULTILINE)
    for name in sorted(allowed):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            continue  # of another architecture
        if name != "socket":
            seccomp.seccomp_rule_add(context, ctypes.c_uint32(_ALLOW), number, 0)
            continue
        for family in families.split():
            only = _Argument(0, _EQUAL, _FAMILIES[family], 0)
            seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(_ALLOW), number, 1, ctypes.byref(only))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or seccomp.seccomp_load(context):
        raise OSError(ctypes.get_errno(), "no seccomp here")


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text("utf-8"))
    os.execv(sys.argv[2], sys.argv[2:])
