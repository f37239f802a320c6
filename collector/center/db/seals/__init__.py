# SPDX-License-Identifier: GPL-3.0-or-later
"""What shows that a row of the store is as this program wrote it: a chain of hashes, each under a key of the store."""
