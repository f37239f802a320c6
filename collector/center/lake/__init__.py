# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 6, store: one immutable day file per plant and local day, sealed from the journal, and its readers."""
