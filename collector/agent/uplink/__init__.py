# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 4, uplink: sends sealed batches over MQTT until the center itself has acknowledged them."""
