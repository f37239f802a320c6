# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 1 of the flow, read: the Device protocol (`base.py`), its drivers, and the pure parts they share.

`base` what every driver promises · `factory` configuration into channels of devices · `serial` serial lines.
Modbus: `plan` points into few requests · `registers` raw values into stored integers · `block` a whole answer at once ·
`modbus` the line and its slaves. IEC 104: `asdu` the contents of messages · `iec104` a link, the only file that imports
c104 · `iec104_device` its stations. DL/T 645: `dlt645_codec` frames and numbers · `dlt645_line` one exchange at a time
· `dlt645` a meter.

Only reading functions exist here: Modbus 1 to 4; 104 start, test, interrogation and counter interrogation (without
freeze or reset); DL/T 645 read. A test walks the source for anything else.
"""
