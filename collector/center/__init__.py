# SPDX-License-Identifier: GPL-3.0-or-later
"""The dispatch side: receives the records of all plants, keeps them exactly once, settles, shows and explains months.

`collector center run` is one process, `app`: receiver, sealing, measuring, pages and REST in one loop. The
database is never touched on the loop: one writer thread owns the only writing connection, readers run in threads.
On PostgreSQL several processes may share the parts out (`center.parts`).

The rooms, lowest first: each may import the rows above its own, never one below.

room      what it does                                               may import                       tests/
settings  center.toml                                                -                                center
kept_words  sentences stored in English, for either language         -                                center
db/       the store: engines, one writer, tables, migrations         -                                center/db
people/   accounts, permissions, four eyes, the audit log            -                                center/people
receive/  5 receive: journal, acknowledge; keys, quarantine, asks    wire                             center/receive
lake/     6 store: day files sealed from the journal, their readers  wire                             center/lake
inputs/   what people import: versions, conflicts, undo              sheets tables wire               center/inputs
quality/  plausibility, validation, substitutes, gaps, completeness  sheets tables                    center/quality
runs/     7-10: a month settled as a run; read, compared, packed     sheets tables settlement report  center/runs
papers/   filings, bills, corrections, and their documents           sheets settlement report         center/papers
month/    transitions, duties and deadlines, reviews, decisions      sheets tables settlement report  center/month
operate/  status, alarms, doctor, integrity, backup, loops           wire settlement                  center/operate
web/      pages and REST, one folder a feature                       sheets tables settlement report  center/web
app       the process: wires the rooms together                      wire                             center
"""
