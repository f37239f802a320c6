# SPDX-License-Identifier: GPL-3.0-or-later
"""All tables of the store: importing this module fills `metadata`."""

from __future__ import annotations

from collector.center.db import tables_inputs as tables_inputs
from collector.center.db import tables_month as tables_month
from collector.center.db import tables_people as tables_people
from collector.center.db import tables_quality as tables_quality
from collector.center.db import tables_results as tables_results
from collector.center.db.tables_receive import metadata as metadata
