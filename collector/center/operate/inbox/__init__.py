# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits for whom: the tasks of each role, and their digest by mail and webhook."""
