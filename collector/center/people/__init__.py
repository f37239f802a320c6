# SPDX-License-Identifier: GPL-3.0-or-later
"""People and their rights: accounts, permissions, decisions of two people, the audit log."""
