# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of what waits for a person, and its REST."""
