# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages and REST of the center. Whatever a page shows the API gives as well, from the same function of the center.

A handler is a plain function that runs in a thread and takes the `Context`; no database is touched on the loop.
Features, one folder each, hold their pages and their REST; none imports another.

room         what it does                                           may import                tests/
months       which months there is something of                     -                         center/web
paging       lists: paged as JSON, whole as CSV and XLSX            report                    center/web
session      who is logged in: cookies and tokens                   -                         center/web
guards       what a route needs of who asks                         -                         center/web
code_words   codes of the center in words                           -                         center/web
render       templates, and how numbers and times are shown         report                    center/web
context      what every handler gets, and its ways to answer        -                         center/web
routes       how a route is declared                                -                         center/web
errors       refusals and what was not found, as pages and as JSON  -                         center/web
month_rules  working days and hold limit a page judges a month by   settlement                center/web
shapes       shapes several features of REST take and give          -                         center/web
typed        instants and days as people type them                  -                         center/web
which_month  the month a page is about                              -                         center/web
people/      log-in, accounts, users                                -                         center/web
inputs/      imports                                                settlement                center/web
receive/     plants, gateways, quarantine, records, asks            -                         center/web
quality/     completeness, gaps, findings, alarms, substitutes      -                         center/web
month/       board, steps, duties, filings, bills                   settlement                center/web
runs/        statement, unit days, comparison, what-if              report settlement tables  center/web
reviews/     reviews                                                report                    center/web
rulebook/    the rulebook beside the articles                       settlement                center/web
audit/       audit log, decisions, supervision                      -                         center/web
server/      granian, static files, downloads, OpenAPI              -                         center/web
app          all routes put together                                -                         center/web
"""
