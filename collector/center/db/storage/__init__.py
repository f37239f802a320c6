# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the files of the lake are: in a folder, or in an object store."""
