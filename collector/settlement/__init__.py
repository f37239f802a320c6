# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps 7 to 10: from checked inputs to a statement. Pure and synchronous: no clock, no files besides the rulebook.

room           what it does                                               may import  tests/
inputs         everything a month is computed from, already checked       -           settlement
evidence       tables of single events found while measuring              -           settlement
units          units in both languages                                     -           settlement
statement      the rows of a statement                                    -           settlement
rulebook/      the regulation as dated data: rules, readings, calendar    -           settlement
measure/       7: records and dispatch inputs on a timeline, in integers  -           settlement
outside_scope  time outside a determinant's scope, and why                -           settlement
explain        one line down to formula, determinants, segments           -           settlement
services/      7, 8: one file per service, its article quoted             -           settlement
measure_units  7: some units over some days, measured in one pass         -           settlement
meter_days     the meter check of a unit's month, day by day              -           settlement
reserves       reserve planned, the least of an area, when it came        -           settlement
price/         8, 9: lines priced and cited, allocation to the fen        -           settlement
findings       what a reader must know of the inputs                       -           settlement
close_units    8: some units with all their days joined and priced        -           settlement
running        a month that is not over: its cut, yesterday, revenue       -           settlement
settle         a month from inputs to statement                           -           settlement
"""
