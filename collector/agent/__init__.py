# SPDX-License-Identifier: GPL-3.0-or-later
"""The plant side: what a gateway beside governors, AVC controllers and meters runs. Steps 1 to 4 of the flow.

One process, `app`, one TaskGroup, every task named: a worker per channel polls its devices (`device`), the recorder
turns readings into records of units (`record`), the buffer keeps them on disk (`buffer`), the uplink sends sealed
batches until the center has acknowledged them (`uplink`). Polling never waits for sending: only the buffer joins the
two.
People look in through `operate`. Nothing here can write to a device.

room      what it does                                           may import   tests/
log       the line format of the log: channel, device, request   -            agent
paths     where the agent's own files lie                        points       agent
device/   1 read: one folder a protocol, what they share beside  points       agent/device
buffer/   3 buffer: the durable queue, sealed batches, salvage   points wire  agent/buffer
record/   2 record: poll on a schedule, records of units         points wire  agent/record
uplink/   4 uplink: send until the center acknowledges           points wire  agent/uplink
operate/  status, health, doctor, check, read once, reload       points wire  agent/operate
app       the process: wires the rooms together                  points       agent
"""
