# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulators' fixtures for every test, and the check that no device ever received anything but reading requests."""

import os
import signal

from hypothesis import HealthCheck, settings

from tests.size import sized

# What programs print is compared with English, whatever the language of who runs the tests.
os.environ["COLLECTOR_LANGUAGE"] = "en"

pytest_plugins = ["simulators.run.pytest_plugin", "tests.skips"]

# How long an example takes, or its making, says something of the machine and nothing of the program.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=sized(40, 100)
)
settings.load_profile("any machine")

# What a shell runs in its background ignores interrupts, and so would every child that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
