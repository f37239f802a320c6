# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector accept`, the acceptance of an installation: checks on real processes, and a report to sign.

`plan`: the agent under test and the limits; `layout`: the files of a trial installation; `trial_plant`: its processes
and its time; `before_start`, `phases`, `after_end`: the checks; `running_agent`: checks of an agent that runs already;
`report/`: the report. Every judgement uses only files, sockets and stores of real processes.
"""
