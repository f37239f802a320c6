# SPDX-License-Identifier: GPL-3.0-or-later
"""From asking for a run to its end: one queue for pages, REST, command line and timers, whatever process they are."""
