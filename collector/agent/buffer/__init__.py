# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 3, buffer: the durable queue on disk, sealed batches, and the salvage of a damaged file."""
