# SPDX-License-Identifier: GPL-3.0-or-later
"""对点: each point of a plant's tables against what is really there, step by step, kept in a file, signed.

    items.py         which points there are, how each is read, and the steps it takes
    expectations.py  a sheet of steps and expected values, and an empty one to fill in
    judge.py         expected values and tolerances; whether a value meets them
    hints.py         what else the same bytes could mean, where it does not
    observe.py       a point now: from the device, or from the running agent that holds it
    session.py       what was found, by whom and when: a file that only grows
    sheet.py         the session against today's tables: what is open, good, wrong, or to be done again
    stored.py        what the center stored at those moments
    export.py        what the sheet for signature says; as sheet.csv, workbook.py sheet.xlsx, page.py sheet.html
    files.py         the three in a folder

Nothing here can write to a device: it has the agent's drivers, which only read.
"""
