# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages and REST of reviews, and of questions before the disclosure."""
