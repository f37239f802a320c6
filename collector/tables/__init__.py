# SPDX-License-Identifier: GPL-3.0-or-later
"""CSV, XLSX, E text and Parquet → checked columns and rows, for `settle` and `center import` (a settlement folder).

Files become grids of text in `collector/sheets`. Every reader here takes a file, a `Findings` list and the ids of the
register; it returns the valid rows and adds a finding for every other, with file, row, column and remedy. The caller
refuses the whole folder if there is any finding: nothing is skipped, defaulted or repaired. An absent file is None
(*not delivered*), a header without rows is empty.

    folder.py           a whole settlement folder
    cells.py            one cell: text → value
    read_long_table.py  long tables (records, plan, voltage band), mostly without Python per row
    read_by_arrow.py    their fast reader; read_by_cell.py: the slow one, for unusual blocks
    columns.py          their columns; rounding.py: decimals and floats → stored integers
    parquet.py          records as Parquet, also the day files of the lake
    records.py          records/: all files together, (unit, time) unique; record_parts.py: files that share units
    schedules.py        plan.csv, voltage_band.csv
    dispatch.py         the short tables, row by row
    register.py         register.toml; its values in toml_values.py
"""
