# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes and the embedded broker, for the demo, acceptance and tests."""
