# SPDX-License-Identifier: GPL-3.0-or-later
"""A maker's sheet into a proposed point table: engineers have the register list of a manual, as a spreadsheet.

`sheet` finds the table between cover, titles, notes and signatures · `words` the meaning of its headings and names ·
`cells` addresses, types, factors and units as makers write them · `propose` the rows for settlement with their reasons,
the decisions left to a person, and the rows left out. Nothing is guessed silently: the table itself gives the reason of
every guess.
"""
