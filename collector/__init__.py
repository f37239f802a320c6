# SPDX-License-Identifier: GPL-3.0-or-later
"""Ancillary services of generating units, from a device reading to a line of the monthly statement.

One direction, ten steps, and where each lives:

 1 read       agent/device/          one driver per protocol; agent/poll.py asks, a failed read becomes a quality
 2 record     agent/recorder.py      readings become one record per unit and tick, and one at every status change
 3 buffer     agent/buffer.py        a durable queue on disk
 4 uplink     agent/uplink.py        sealed batches (wire/) over MQTT until the center acknowledges
 5 receive    center/receiver.py     verify, journal, commit, acknowledge
 6 store      center/journal.py, center/lake.py   what arrived, exactly once; one Parquet file per plant and day
 7 measure    settlement/measure.py  records become exact quantities with completeness and segments
 8 price      settlement/services/   one file per service, its article quoted; numbers in config/rules/
 9 allocate   settlement/allocate.py shares that sum exactly
10 statement  settlement/statement.py, report/   rows, totals, identities; CSV, XLSX, HTML
"""
