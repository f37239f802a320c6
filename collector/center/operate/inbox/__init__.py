# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting tasks: the tasks of each role, and their digest by mail and webhook."""
