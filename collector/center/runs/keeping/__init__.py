# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a run's files: those of a disclosed run are its own for good, others go after their days."""
