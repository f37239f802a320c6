# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of 101 stations where the other end hangs up before anything can be written."""

from __future__ import annotations

import pytest

from collector.agent.device.iec101.ft12 import LinkFrame, LinkPlace, encode_status_request
from collector.agent.device.iec101.line import LinkLine
from collector.base.errors import Silent
from tests.contract.hanging_up import RunOn, hanging_up, on_both_loops
from tests.patience import HANG_S, until

PLACE = LinkPlace()


class _SlowToWrite(LinkLine):
    """Comes to writing only when the connection that it opened is closed again, as on a busy machine."""

    async def open(self, timeout_s: float) -> bool:
        is_fresh = await super().open(timeout_s)
        await until(lambda: not self.is_open)
        return is_fresh


def none(_frame: LinkFrame) -> bool:
    return False


@on_both_loops
def test_a_connection_that_is_closed_before_the_request_is_written_is_a_silence(run_on: RunOn) -> None:
    async def scenario() -> None:
        async with hanging_up() as port:
            line = _SlowToWrite("line", PLACE.octets, host="127.0.0.1", port=port)
            with pytest.raises(Silent, match="the connection was lost"):
                await line.exchange(encode_status_request(PLACE), none, none, HANG_S, "station")
            line.drop()

    run_on(scenario)
