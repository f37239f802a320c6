# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages and REST of the center. Whatever a page shows the API gives as well, from the same function of the center.

A handler is a plain function that runs in a thread and takes the `Context`; no database is touched on the loop.
Features, one folder each, hold their pages and their REST; none imports another.

room         what it does                                           may import                tests/
months       which months there is something of                     -                         center/web
paging       lists: paged as JSON, whole as CSV and XLSX            report                    center/web
session      who is logged in; forms that came after its session    -                         center/web
guards       what a route needs of who asks                         -                         center/web
which_month  the month a page is about                              -                         center/web
code_words   codes of the center in words                           report                    center/web
render       templates, and how numbers and times are shown         report                    center/web
context      what every handler gets, and its ways to answer        -                         center/web
listing      lists on pages: sorted, filtered, exported              report                    center/web
routes       how a route is declared; a form is carried out once    -                         center/web
errors       refusals and what was not found, as pages and as JSON  -                         center/web
month_rules  what a page judges a month, and a file, by             settlement tables         center/web
shapes       shapes several features of REST take and give          -                         center/web
typed        instants and days as people type them                  -                         center/web
people/      log-in, accounts, users                                -                         center/web
inputs/      imports                                                report sheets tables      center/web
receive/     plants, gateways, quarantine, records, asks            -                         center/web
quality/     completeness, gaps, findings, alarms, substitutes      -                         center/web
tasks/       what waits for whom                                    -                         center/web
month/       board, steps, duties, filings, bills                   settlement                center/web
runs/        statement, unit days, comparison, what-if              report sheets settlement tables  center/web
reviews/     questions and reviews                                  report settlement         center/web
rulebook/    the rulebook beside the articles                       report settlement         center/web
audit/       audit log, decisions, supervision                      report                    center/web
server/      granian, static files, downloads, OpenAPI              -                         center/web
app          all routes put together                                -                         center/web
"""
