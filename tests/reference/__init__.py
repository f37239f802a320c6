# SPDX-License-Identifier: GPL-3.0-or-later
"""An independent, slow settlement of one month, written from the rules alone, to be compared with the fast kernel.

It shares no line of code with the product: standard library, exact fractions, one elementary stretch of time after the
other. Read it in this order:

    regulation.py   the numbers of the regulation, with their articles (an own transcription of rules.md, section 1)
    exact.py        rounding, and truth with a third value, "missing"
    times.py        UTC ms and local days
    model.py        what a settlement folder holds
    folder.py       reading one (valid folders only: nothing is refused here)
    register.py     which unit, plant and area state is in force when
    slices.py       a month of a unit cut at every instant at which anything changes
    plausible.py    values that can't be are missing
    measured.py     scope, known time, and what measuring hands to pricing
    services.py     one function per determinant that is a conjunction over slices
    deep_peak.py    deep peak shaving, single units and peak groups
    edges.py        start-stop occurrences and condenser starts
    avc.py          the pass rate of automatic voltage control
    lines.py        from what was measured to a line: gates, status, reason, amount
    plants.py       compensation, allocation and net of every plant
    settle.py       settle_reference() and the command line
    evidence.py     primary frequency, unpaid
    meters.py       the check of power by the energy meter, day by day
    order_rows.py   what became of each AVC order and start-stop order
    agc_rows.py     AGC by quarter hours and by commands
    left.py         what a reason cost a line (left on the table)
    reserves.py     planned reserve beside the least, and calls
    filled.py       the same folder with its missing time filled by something admissible, to hold the bounds

Tests: test_reference.py (rules.md, section 5), test_measure.py, test_services.py, test_plants.py, on folders made by
build.py; tests/settlement compares it with the program on folders made at random, file by file. OPEN.md lists every
place where the specification left a choice.
"""
