# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages and REST of the center. Knowledge of HTTP lives only here; what is shown or done is a function of the center.

app        puts the application together: routes, guards, headers, error pages
serve      granian in the center's own loop
session    who asks: the session cookie or a bearer token; the CSRF token of a form
guards     one guard: every route names its permission, and is refused without it
words      every text of the pages, Chinese and English
pages_*    pages, by subject; api_* the same as REST under /api/v1
"""
