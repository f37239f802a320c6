# SPDX-License-Identifier: GPL-3.0-or-later
"""All tables of the store: importing this is what fills `metadata`."""

from __future__ import annotations

from collector.center import import_schema as import_schema
from collector.center import measured_schema as measured_schema
from collector.center import month_schema as month_schema
from collector.center import people_schema as people_schema
from collector.center import watch_schema as watch_schema
from collector.center.schema import metadata as metadata
