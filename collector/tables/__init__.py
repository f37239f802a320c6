# SPDX-License-Identifier: GPL-3.0-or-later
"""CSV, XLSX, E text and Parquet → checked columns and rows, for `settle` and `center import` (a settlement folder).

Every reader takes bytes or a file, a `Findings` list and the ids the register knows; it returns what is good and adds
what is not, with file, row, column and remedy. The caller refuses the whole folder if anything was found: nothing is
skipped, defaulted or repaired. An absent file is None (*not delivered*), a header without rows is empty.

    cells.py      one cell: text → value
    long.py       long tables (records, plan, voltage band) without Python per row: quick.py, and careful.py for the odd
    columns.py    their columns; exact.py: decimals and floats as stored integers
    parquet.py    records as Parquet, also the day files of the lake
    records.py    records/: all files together, (unit, time) unique; record_parts.py: which share their units
    schedules.py  plan.csv, voltage_band.csv
    dispatch.py   the short tables, row by row
    register.py   register.toml; its values in toml_values.py
"""
