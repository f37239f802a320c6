# SPDX-License-Identifier: GPL-3.0-or-later
"""One file per revision, `r<number>_<what>.py`; Alembic finds them here. What was released is never changed again."""
