# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded MQTT broker for demo and tests, in a process of its own: `python -m collector.trial.broker --listen …`.

amqtt in memory, anonymous, MQTT 3.1.1 only: it loses its queues when it stops, and the queue of an anonymous session
when the client disconnects. Our own delivery does not rely on a broker's memory, so this broker is a good test of it;
in production use Mosquitto.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path


async def serve(listen: str, tls: Path | None = None) -> None:
    """Run a broker on HOST:PORT until SIGTERM or SIGINT; prints `listening HOST:PORT` once it accepts connections.

    `tls`: a folder with ca.pem, broker.pem and broker.key; then in TLS only, and a certificate shown must be the CA's.
    """
    from amqtt.broker import Broker

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": listen} | (_tls_files(tls) if tls else {})},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    print(f"listening {listen}", flush=True)
    await stop.wait()
    # Clients that never answer must not keep the process alive: amqtt holds nothing that must be saved.
    try:
        await asyncio.wait_for(broker.shutdown(), 5)
    except (TimeoutError, Exception) as error:
        logging.getLogger("collector.broker").info("broker ended roughly: %r", error)


def _tls_files(folder: Path) -> dict[str, object]:
    names = {"cafile": "ca.pem", "certfile": "broker.pem", "keyfile": "broker.key"}
    return {"ssl": True} | {key: str(folder / name) for key, name in names.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="collector-broker", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:1883", metavar="HOST:PORT")
    parser.add_argument("--tls", type=Path, metavar="DIR", help="ca.pem, broker.pem and broker.key")
    parser.add_argument("--mosquitto", metavar="PROGRAM", help="run this one in place of the embedded broker")
    parser.add_argument("--config", metavar="FILE", help="its configuration")
    options = parser.parse_args(arguments)
    if options.mosquitto:
        os.execv(options.mosquitto, [options.mosquitto, "-c", options.config])
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    # amqtt logs every lost connection as an error with its traceback; the other end of each one logs it already.
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # amqtt leaves exceptions of half-open connections to it
    asyncio.run(serve(options.listen, options.tls))


if __name__ == "__main__":
    main()
