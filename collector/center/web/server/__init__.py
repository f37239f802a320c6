# SPDX-License-Identifier: GPL-3.0-or-later
"""How pages and REST are served: granian, static files, downloads, the OpenAPI description."""
