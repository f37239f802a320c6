# SPDX-License-Identifier: GPL-3.0-or-later
"""A `Statement` as files (formats.md, a statement folder): CSV for programs, XLSX and HTML for people, a manifest.

    folder.py           writes the folder, whole or not at all
    tables.py           lines.csv, plants.csv, determinants.csv, not_paid.csv, ledger.csv
    segments.py         segments.csv, evidence found while measuring and, in the same pass, the unpaid time
    evidence.py         every other file of evidence; all of them for the workbook and the page
    manifest.py         manifest.json: the inputs and versions of a run
    page.py             statement.html, printable on A4
    workbook.py         statement.xlsx; sheets.py: its cells and formats
    pdf.py              statement.pdf, if the typst extra and a Chinese font are installed
    saved_statement.py  reads a statement folder back
    numbers.py          exact numbers as text; words.py: codes in the regulation's words
    explained.py        an explanation as text for a terminal; timeline/: as a drawing
    compare.py          two statement folders: lines that differ, and possible causes
    summary.py          months, quarters and years by service: 补偿, 分摊, 占比

Nothing here computes money; numbers are rounded for display once, in numbers.py. No timestamp enters a file: the same
statement gives the same bytes.
"""
