# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulators' fixtures for every test, and the check that no device ever received anything but reading requests."""

pytest_plugins = ["simulators.pytest_plugin"]
