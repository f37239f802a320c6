# SPDX-License-Identifier: GPL-3.0-or-later
"""What the regulator does of itself."""
