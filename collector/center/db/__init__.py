# SPDX-License-Identifier: GPL-3.0-or-later
"""The transactional store: engines, the one writer, tables (one file per room), versions."""
