# SPDX-License-Identifier: GPL-3.0-or-later
"""Code that IEC 60870-5-101 and -104 share: messages (ASDUs), stations with their interrogations, values of points."""
