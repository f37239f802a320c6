# SPDX-License-Identifier: GPL-3.0-or-later
"""A `Statement` as files (formats.md, a statement folder): CSV for programs, XLSX and HTML for people, a manifest.

    folder.py           writes the folder, whole or not at all
    tables.py           lines.csv, plants.csv, determinants.csv, primary_frequency.csv, ledger.csv
    segments.py         segments.csv and, in the same pass, the unpaid time
    unpaid.py           not_paid.csv: unpaid time inside and outside the scopes
    manifest.py         manifest.json: the inputs and versions of a run
    page.py             statement.html, printable on A4
    workbook.py         statement.xlsx; sheets.py: its cells and formats
    pdf.py              statement.pdf, if the typst extra and a Chinese font are installed
    saved_statement.py  reads a statement folder back
    numbers.py          exact numbers as text; words.py: codes in the regulation's words
    explained.py        an explanation as text for a terminal; timeline/: as a drawing
    compare.py          two statement folders: lines that differ, and possible causes
    quarter.py          several months by service: 补偿, 占比, 分摊

Nothing here computes money; numbers are rounded for display once, in numbers.py. No timestamp enters a file: the same
statement gives the same bytes.
"""
