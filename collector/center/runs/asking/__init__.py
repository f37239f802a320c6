# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a run from the request to its end: one queue for pages, REST, command line and timers of all processes."""
