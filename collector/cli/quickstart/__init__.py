# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector quickstart`: from nothing to the first record on the center's page, on this machine or for two."""
