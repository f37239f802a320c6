# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs. Errors become exit codes here (0 good, 1 findings or refused, 2 usage); nothing else prints.

room       what it does                           may import  tests/
language   the language of a terminal             everything  cli
login      who sits at the command line           everything  cli
table      tables for terminals, files and pipes  everything  cli
accept     `collector accept`                     everything  accept
agent/     `collector agent …`                    everything  cli
compare    `collector compare`, `quarter`         everything  cli
points     `collector points …`                   everything  points
points_convert  `collector points convert`        everything  points
rulebook   `collector rulebook …`                 everything  cli
calendar   `collector calendar`                   everything  cli
explain    `collector explain`                    everything  cli
settle/    `collector settle`, over the cores     everything  cli
simulate/  `collector simulate`                   everything  simulators
verify/    `collector verify`                     everything  verify
center/    `collector center …`                   everything  cli
quickstart/  `collector quickstart`                everything  cli
demo/      `collector demo`                       everything  e2e
version    `collector --version`                  everything  cli
panels     the groups of verbs in the help        everything  cli
verbs      a group that looks for a verb when asked  everything  cli
help_words  the help in Chinese                    everything  cli
main       the verbs put together                 everything  cli
"""
