# SPDX-License-Identifier: GPL-3.0-or-later
"""What came in, looked at: plausibility, validation, substituted values, gaps, completeness."""
