# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks: each module measures figures against a floor or peer in the same run (`make bench OUT=FILE`)."""
