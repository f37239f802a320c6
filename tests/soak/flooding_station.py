# SPDX-License-Identifier: GPL-3.0-or-later
"""A 104 station in a process of its own that reports changes as fast as its window of 12 lets it: `PORT MESSAGES`.

Common address 1: powers (36) from 10 on, 16 in a message, that count up from message to message; a breaker at 1. Both
are answered without time tag when interrogated. It goes on with the next client where the one before left.
"""

import socket
import struct
import sys

TAG = bytes.fromhex("e7031e0a170b1a")
WINDOW = 12
NUMBERS = 32_768
POWERS = 16


class Talk:
    """One connection: its sequence numbers, and what has come of the next APDU."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer, self._rest = peer, b""
        self.sent = self.received = self.acknowledged = 0
        self.started = False

    def send(self, *asdus: bytes) -> None:
        """I frames, in one go."""
        frames = b""
        for asdu in asdus:
            numbers = (self.sent << 1).to_bytes(2, "little") + (self.received << 1).to_bytes(2, "little")
            frames += bytes([0x68, len(asdu) + 4]) + numbers + asdu
            self.sent = (self.sent + 1) % NUMBERS
        self._peer.sendall(frames)

    def hear(self, value: float) -> bool:
        """Whatever has come, at least something; False: the client has gone."""
        data = self._peer.recv(65_536)
        self._rest += data
        while len(self._rest) >= 2 and len(self._rest) >= self._rest[1] + 2:
            apdu, self._rest = self._rest[: self._rest[1] + 2], self._rest[self._rest[1] + 2 :]
            self._answer(apdu, value)
        return bool(data)

    def _answer(self, apdu: bytes, value: float) -> None:
        if apdu[2] == 0x07:
            self.started = True
            self._peer.sendall(bytes.fromhex("68040b000000"))
        elif apdu[2] == 0x43:
            self._peer.sendall(bytes.fromhex("680483000000"))
        elif apdu[2] & 3 != 3:
            self.acknowledged = int.from_bytes(apdu[4:6], "little") >> 1
        if not apdu[2] & 1:
            self.received += 1
            asdu = apdu[6:]
            breaker = bytes([1, 1, 20, 0, 1, 0, 1, 0, 0, 1])
            confirmed, ended = (asdu[:2] + cause + asdu[3:] for cause in (b"\x07", b"\x0a"))
            self.send(confirmed, breaker, power(13, 20, value), ended)


def power(kind: int, cause: int, value: float) -> bytes:
    """One message with all powers."""
    state = struct.pack("<f", value) + b"\0" + (TAG if kind == 36 else b"")
    objects = b"".join(bytes([10 + number, 0, 0]) + state for number in range(POWERS))
    return bytes([kind, POWERS, cause, 0, 1, 0]) + objects


def main() -> None:
    """Serve for ever."""
    port, messages = int(sys.argv[1]), int(sys.argv[2])
    listener = socket.create_server(("127.0.0.1", port))
    print("ready", flush=True)
    value = 0
    while True:
        peer, _ = listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk = Talk(peer)
        while talk.hear(value):
            while talk.started and value < messages and (talk.sent - talk.acknowledged) % NUMBERS < WINDOW:
                value += 1
                talk.send(power(36, 3, value))


if __name__ == "__main__":
    main()
