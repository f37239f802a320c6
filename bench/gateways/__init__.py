# SPDX-License-Identifier: GPL-3.0-or-later
"""Two gateways through the same script: ours and ThingsBoard Gateway, on the same registers and the same broker.

`registers.py` serves the Modbus devices and counts the blocks that it answered, `arrivals.py` counts what a subscriber
got of them, `script.py` runs a gateway: half a minute undisturbed, a SIGKILL, a broker that is away. `ours.py` and
`thingsboard.py` say how each is set up and what its messages carry.
"""
