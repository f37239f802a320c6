# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector accept`: an installation proved, check by check, and a report to sign.

`plan` what is under test and the limits; `layout` the files of a trial installation; `stand` its processes and its
time; `before`, `phases`, `after` what is done and what it came to; `watch` a running agent looked at only; `report`
the papers. Nothing is judged here that is not read back from files, sockets or stores of real processes.
"""
