# SPDX-License-Identifier: GPL-3.0-or-later
"""A maker's sheet into a proposed point table: what engineers have is the register list of a manual, as a spreadsheet.

`sheet` finds the table between cover, titles, notes and signatures · `words` what its headings and names mean ·
`cells` addresses, types, factors and units as makers write them · `propose` the rows for settlement, with why, what a
person must decide, and what was left out. Nothing is guessed silently: every guess says why, in the table itself.
"""
