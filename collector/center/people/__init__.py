# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: accounts, permissions, decisions of two people, the audit log."""
