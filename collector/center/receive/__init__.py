# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 5, receive: batches verified, journalled and acknowledged; quarantine; asks (补召)."""
