# SPDX-License-Identifier: GPL-3.0-or-later
"""A `Statement` as files (formats.md, a statement folder): CSV for programs, XLSX and HTML for people, a manifest.

    folder.py     the folder appears whole or not at all
    tables.py     lines.csv, plants.csv, determinants.csv, primary_frequency.csv, ledger.csv
    segments.py   segments.csv, and the minutes that were not paid, in one pass
    manifest.py   what a run was made of
    page.py       statement.html, printable on A4
    workbook.py   statement.xlsx
    pdf.py        statement.pdf, where the typst extra and a Chinese font are
    saved.py      a statement folder read back
    numbers.py    exact numbers as text; words.py codes in the regulation's words
    explained.py  an explanation as text for a terminal; timeline.py, _svg, _page: drawn
    compare.py    two statement folders: lines that differ, and why
    quarter.py    three months by service: 补偿, 占比, 分摊

Nothing here computes money; rounding for the eye is done once, in numbers.py. No timestamp enters a file: the same
statement gives the same bytes.
"""
