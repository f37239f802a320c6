# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps 8 and 9: lines priced and cited, plants and areas, allocation to the fen."""
