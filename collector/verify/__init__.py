# SPDX-License-Identifier: GPL-3.0-or-later
"""对点: each point of a plant's tables is compared with its real value; results are recorded and signed.

    items.py         the points, how each is read, and the steps that verify it
    expectations.py  the sheet of steps and expected values, and an empty one to fill in
    judge.py         expected values and tolerances; whether a value meets them
    judgement.py     whether a step may pass, and the verdict a person gives
    hints.py         other meanings of the same bytes, where a value does not fit
    observe.py       the present value of a point: from the device, or from the running agent
    session.py       the verdicts, by whom and when: an append-only file
    sheet.py         the session against today's tables: steps open, passed, failed, or to be repeated
    stored.py        the values the center stored at those moments
    export.py        the content of the sheet for signature, and sheet.csv; workbook.py: sheet.xlsx; page.py: sheet.html
    files.py         writes the three files into a folder

Nothing here can write to a device: it uses the agent's drivers, which only read.
"""
