# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a month: its transitions, duties and deadlines, questions, reviews and decisions."""
