# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 3, buffer: the durable queue on disk, sealed batches, and what is done when the file is damaged."""
