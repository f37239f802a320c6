# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of the pages, Chinese and English, a file per group of pages."""
