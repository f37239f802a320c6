# SPDX-License-Identifier: GPL-3.0-or-later
"""The live page of a gateway, `agent run --page HOST:PORT`: what the agent knows, in a browser, in two languages.

Read-only as everything that looks at an agent: GET alone, nothing to press that changes anything. Off by default. Made
when somebody asks, loaded then as well; a page that is not in sight asks nothing.
"""
