# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 1 of the flow, read: the Device protocol (`base.py`), its drivers, and the pure parts they share.

`base` what every driver promises · `plan` points into few requests · `registers` raw values into stored integers ·
`modbus`, `iec104`, `dlt645` the drivers, each the only file that imports its protocol library · `asdu` the contents of
104 messages · `serial` serial lines · `factory` configuration into channels of devices.

Only reading functions exist here: Modbus 1 to 4; 104 start, test, interrogation and counter interrogation (without
freeze or reset); DL/T 645 read. A test walks the source for anything else.
"""
