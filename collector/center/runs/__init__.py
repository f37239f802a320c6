# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps 7 to 10 on the center's store: a month settled as a run, its inputs pinned; read, compared, packed.

Store and settlement meet here (docs/decisions/0012): what receives knows nothing of what is computed.

room           what it does                                          may import                       tests/
data_policy    the data policy in force for a month                  settlement                       center/runs
rulebooks      the rulebook the center settles by                    settlement tables                center/runs
run_list       runs as the store lists them                          -                                center/runs
asking/        a run asked for, queued, under way, ended or lost     -                                center/runs
row_groups     some row groups of a large file, hashed at each use   -                                center/runs
run_rows       a statement's rows as typed values beside a run       report settlement                center/runs
segment_file   segments by unit beside a run                         settlement                       center/runs
kept_files     what is derived from inputs and kept between runs     -                                center/runs
plan_file      a run's plan as columns by unit                       sheets tables                    center/runs
input_folder   a month's inputs as a settlement folder               -                                center/runs
month_state    where a month stands; which run a person may see      -                                center/month
run_statement  the statement files of a stored run                   report sheets tables             center/runs
measuring/     days measured once, their results kept                settlement sheets tables         center/runs
settle_month   a run: settled, written, listed; whole or not at all  report settlement                center/runs
stored_run     a run opened for reading                              report settlement sheets tables  center/runs
compare        two runs, line by line                                report settlement                center/runs
package        a run as one file to hand out                         -                                center/runs
keeping/       own files of the disclosed; packages; expiry    report settlement sheets tables  center/runs
variants/      runs that are never disclosed: what-if, running month  report settlement sheets tables  center/runs
"""
