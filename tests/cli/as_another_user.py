# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs verbs as `nobody`: python as_another_user.py, a JSON list of verbs on stdin; exit codes and words on stdout.

Python itself may lie where only root can read, so each verb runs as root first, for a copy of the files (`root` in
its arguments), which loads every module; then the same as nobody for those that nobody can't use.
"""

import contextlib
import io
import json
import os
import pwd
import sys

from collector.cli.main import main


def run(arguments: list[str]) -> tuple[int, str]:
    words, sys.argv = io.StringIO(), ["collector", *arguments]
    with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0), words.getvalue()
    return 0, words.getvalue()


verbs = json.load(sys.stdin)
run(["no-such-verb"])  # loads what shows a mistake of usage
for verb in verbs:
    run([word.replace("/wrong/", "/root/") for word in verb])
nobody = pwd.getpwnam("nobody").pw_uid
os.setresuid(nobody, nobody, 0)
print(json.dumps([run(verb) for verb in verbs]))
