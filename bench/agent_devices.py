# SPDX-License-Identifier: GPL-3.0-or-later
"""As many Modbus TCP devices as anybody asks for, in a process of their own: every loopback address is one.

`python -m bench.agent_devices PORT`: answers function 3 with registers that count; nothing else is known here.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

_HEAD = 12  # MBAP, function, address, count


class Slave(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not derived from it
        self._data = b""
        self._reads = 0

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._data += data
        while len(self._data) >= _HEAD:
            request, self._data = self._data[:_HEAD], self._data[_HEAD:]
            count = int.from_bytes(request[10:12], "big")
            self._reads += 1
            # Each value is two registers, high word first: it moves by one a read.
            body = (self._reads % 1000).to_bytes(4, "big") * ((count + 1) // 2)
            payload = body[: 2 * count]
            head = request[:4] + (3 + len(payload)).to_bytes(2, "big") + request[6:8] + bytes([len(payload)])
            self._transport.write(head + payload)


async def main(port: int) -> None:
    """Until killed."""
    server = await asyncio.get_running_loop().create_server(Slave, "0.0.0.0", port, backlog=1024)
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
