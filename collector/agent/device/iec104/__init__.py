# SPDX-License-Identifier: GPL-3.0-or-later
"""IEC 60870-5-104: a controlled station read by interrogation and spontaneous events."""
