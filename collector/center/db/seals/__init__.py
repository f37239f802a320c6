# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof that a row of the store is as this program wrote it: a chain of hashes, sealed with a key of the store."""
