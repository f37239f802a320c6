# SPDX-License-Identifier: GPL-3.0-or-later
"""Ancillary services of generating units, from a device reading to a line of the monthly statement.

One direction, ten steps, and the room of each:

 1 read       agent/device/          one driver a protocol; a failed read becomes a quality, never a value
 2 record     agent/record/          readings become one record per unit and tick, and one at every status change
 3 buffer     agent/buffer/          a durable queue on disk
 4 uplink     agent/uplink/          sealed batches (wire/) over MQTT until the center acknowledges
 5 receive    center/receive/        verify, journal, commit, acknowledge
 6 store      center/lake/           what arrived, exactly once; one Parquet file per plant and day
 7 measure    settlement/measure/    records become exact quantities with completeness and segments
 8 price      settlement/services/   one file per service, its article quoted; numbers in config/rules/
 9 allocate   settlement/price/      shares that sum exactly
10 statement  settlement/statement.py, report/   rows, totals, identities; CSV, XLSX, HTML

The rooms of the house. A room may import base, model, itself and what its third column names; in the maps inside a
room (agent, center, settlement …) also the rows above its own. tests/test_architecture.py reads these rows.

room        what it does                                        may import                                 tests/
base        errors, clock, configuration files, tasks           -                                          base
model       the nouns: quantity, record, interval, money        -                                          model
sheets      CSV, XLSX, E text as bounded grids of cells         -                                          tables
points      point tables and agent.toml: load, lint, diff       sheets                                      points
wire        batch, acknowledgement and ask, to and from bytes   -                                          wire
settlement  steps 7 to 10: pure, synchronous, no clock          -                                          settlement
tables      settlement tables and records into columns          sheets settlement                          tables
report      a statement as CSV, XLSX, HTML, PDF, Parquet        settlement                                 report
agent       steps 1 to 4: the plant side                        points wire                                agent
center      steps 5 to 10: the dispatch side                    sheets wire settlement tables report       center
verify      对点: session, judgement, the sheet to sign         points report agent                        verify
trial       child processes and the embedded broker             -                                          trial
accept      acceptance: a trial, and a report to sign           points wire agent center trial simulators  accept
cli         the verbs; errors into exit codes; all that prints  everything                                 cli
simulators  simulated devices and plants, with own codecs       points                                     simulators
"""

from typing import Final

# The one place a version is written (docs/release.md); pyproject.toml, packages, pages and manifests read it here.
__version__: Final = "0.2.0"
