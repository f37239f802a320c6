# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs of `collector`, one module each; `main.py` puts them together. The only place that prints."""
