# SPDX-License-Identifier: GPL-3.0-or-later
"""Serial lines, through serialx: the only asyncio serial library we know that opens a pty with even parity.

serialx locks a line and releases it some time after `close` or `abort`, on a thread: until then the line is in use.
It is loaded when a line is opened first: 2 MB that gateways without serial lines do without.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from collector.base.errors import Silent
from collector.base.text import join, said_by, tr

if TYPE_CHECKING:
    from serialx import BaseSerialTransport

_REMEDIES: Final = {
    errno.ENOENT: tr("is the adapter plugged in? ls -l /dev/serial/by-id"),
    errno.EACCES: tr("add the service's user to the line's group, usually dialout"),
    errno.EBUSY: tr("another program uses the line: fuser -v names it"),
    errno.EAGAIN: tr("another program uses the line: fuser -v names it"),
    errno.ENOTTY: tr("this is no serial line"),
    errno.EINVAL: tr("the line does not take this baud rate or parity"),
}


def reason_of(error: OSError) -> str:
    """The system's reason in its own words, which asyncio replaces by "Connect call failed"."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else said_by(error)


def _explained(error: OSError) -> OSError:
    remedy = _REMEDIES.get(error.errno or 0, "")
    return OSError(join("; ", filter(None, (reason_of(error), remedy))))


class SerialLine:
    """One line, 1 stop bit."""

    def __init__(self, path: str, baud: int, parity: Literal["none", "even", "odd"], data_bits: int = 8) -> None:
        """`path`: e.g. /dev/ttyS1; `baud`: bits per second; `data_bits`: 7 or 8."""
        self.path, self.baud, self.parity, self.data_bits = path, baud, parity, data_bits
        self._newest: BaseSerialTransport | None = None

    @property
    def bits_per_byte(self) -> int:
        """Bits on the wire for one byte: start, data, parity, stop."""
        return self.data_bits + (2 if self.parity == "none" else 3)

    async def connect(
        self, protocol_factory: Callable[[], asyncio.Protocol]
    ) -> tuple[BaseSerialTransport, asyncio.Protocol]:
        """Open the line for a protocol as soon as its last user has released it; the caller sets the timeout.

        Raises:
            OSError: there is no such line, it is in use, or it refuses these settings.
        """
        from serialx import Parity, SerialException, create_serial_connection

        parities = {"none": Parity.NONE, "even": Parity.EVEN, "odd": Parity.ODD}
        if self._newest is not None and self._newest.is_closing():
            # Shielded from cancellation: the future belongs to the library, others may wait for it later.
            await asyncio.shield(self._newest.wait_closed())
        try:
            transport, protocol = await create_serial_connection(
                asyncio.get_running_loop(),
                protocol_factory,
                self.path,
                self.baud,
                parities[self.parity],
                byte_size=self.data_bits,
            )
        except SerialException as error:
            cause = error.__cause__ or error.__context__
            raise _explained(cause if isinstance(cause, OSError) else OSError(str(error))) from error
        except OSError as error:
            raise _explained(error) from error
        self._newest = transport
        return transport, protocol


async def open_line(
    protocol: asyncio.Protocol, place: SerialLine | tuple[str, int], timeout_s: float, name: str
) -> asyncio.Transport:
    """Connect a protocol with a serial line, or with a serial server (host, port). `name`: of the line, in errors.

    Returns the transport, which the protocol was told already, unless it failed just then: the loop only logs that.

    Raises:
        Silent: the serial server does not answer, or the serial line can't be opened.
    """
    try:
        async with asyncio.timeout(timeout_s):
            if isinstance(place, tuple):
                return (await asyncio.get_running_loop().create_connection(lambda: protocol, *place))[0]
            return (await place.connect(lambda: protocol))[0]
    except TimeoutError as error:
        raise Silent(tr("no connection within {timeout_s} s", timeout_s=timeout_s), subject=name) from error
    except OSError as error:
        raise Silent(tr("no connection: {reason}", reason=reason_of(error)), subject=name) from error
