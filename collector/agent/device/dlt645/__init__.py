# SPDX-License-Identifier: GPL-3.0-or-later
"""DL/T 645-2007 meters on serial lines and serial servers."""
