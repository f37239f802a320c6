# SPDX-License-Identifier: GPL-3.0-or-later
"""The uplink by files, where an isolation device stands between gateway and center.

Each batch is one file in `folder`/out until the device takes it; acknowledgements and asks arrive in `folder`/in. A
batch is freed as over a broker: by the center's own signed acknowledgement.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import aiomqtt

from collector.points.agent_config import AgentConfig
from collector.wire.spool import FolderClient


class FolderConnector:
    """Opens the folder in the way `Connector` opens connections."""

    def __init__(self, config: AgentConfig) -> None:
        self._folder = config.resolve(config.settings.uplink.folder).absolute()
        self.place = str(self._folder)

    @asynccontextmanager
    async def connected(
        self, will: aiomqtt.Will, farewell: Callable[[FolderClient], Awaitable[None]]
    ) -> AsyncIterator[FolderClient]:
        """The folder as a client, within a block. It has no will: nobody would notice that this side is gone.

        Raises:
            OSError: the folder can't be used.
        """
        del will
        async with FolderClient(self._folder / "in", self._folder / "out") as client:
            try:
                yield client
            finally:
                with suppress(OSError):
                    await farewell(client)
