# SPDX-License-Identifier: GPL-3.0-or-later
"""The live page of a gateway, `agent run --page HOST:PORT`: the agent's state in a browser, in two languages.

Read-only like everything that looks at an agent: GET only, no button that changes anything. Off by default. Its code is
loaded and the page made on request; a page that is not in sight sends no requests.
"""
