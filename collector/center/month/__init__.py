# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a month: runs and what they are made of, disclosure, reviews, filing, bills, corrections.

Here, and in `collector.center.web`, the store meets the settlement; what receives and stores knows nothing of either.
"""
