# SPDX-License-Identifier: GPL-3.0-or-later
"""The reading of a settlement folder under the name by which the verbs, benchmarks and tests know it."""

from __future__ import annotations

from collector.folder import TABLES as TABLES
from collector.folder import load_folder as load_folder
