# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of cells as people deliver them (CSV, XLSX, E text): bounded grids, and one kind of finding about them.

Settlement tables and point tables share these readers; the rooms tables and points give the cells their meaning.

`files` bytes of a regular file, text, rows of a CSV · `xlsx` worksheets as rows of text · `efile`, `efile_words` tables
of E text, written by `efile_writer` · `grid` a header and its rows, from any of them · `findings` all problems of a
file, each once · `messages` why a file can't be read, in both languages
"""
