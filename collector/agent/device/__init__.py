# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 1 of the flow, read: the driver contract (`contract.py`), one folder per protocol, and code the drivers share.

Only reading functions exist here: Modbus 1 to 4; 104 start, test, interrogation and counter interrogation (without
freeze or reset); 101 the same interrogations, reset and status of the link, class 1 and 2 data, acknowledgements;
DL/T 645 read; DL/T 698.45 GET. A test walks the source for anything else.

room       what it does                                                  may import  tests/
contract   what every driver promises: open, close, read, collect        points      contract
registers  raw register values into stored integers                      points      agent/device
serial     serial lines; the only file that imports serialx              -           agent/device
deadlines  when many waits have lasted too long, on one timer       -           agent/device
turns      which request of a device comes next, how long one rests      -           agent/device
modbus/    planner, blocks, and the line with its slaves                 points      agent/device
iec60870/  messages, stations and values that 101 and 104 share          points      agent/device
iec104/    a link (the only file that imports c104), a driver            points log  agent/device
frames     frames in a byte stream                                       -           agent/device
iec101/    FT1.2 frames, a line, links, a driver                         points log  agent/device
meter_line  one exchange at a time with meters, on any line              -           agent/device
meter      what the drivers of meters share: guards, failures, clock     points      agent/device
dlt645/    frames and numbers, a line, a meter                           points      agent/device
dlt698/    frames, GET and data, a line, a meter                         points      agent/device
factory    configuration into channels of devices                        points      agent/device
"""
