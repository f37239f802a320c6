# SPDX-License-Identifier: GPL-3.0-or-later
"""Serving of pages and REST: granian, static files, downloads, the OpenAPI description."""
