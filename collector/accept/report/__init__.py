# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of an acceptance, to be signed."""
