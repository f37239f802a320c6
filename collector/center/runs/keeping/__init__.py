# SPDX-License-Identifier: GPL-3.0-or-later
"""The lifetime of a run's files: files of a disclosed run are its own and kept for good, others expire."""
