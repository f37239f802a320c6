# SPDX-License-Identifier: GPL-3.0-or-later
"""A controlled station by lib60870 (through c104's server), in a process of its own: `PORT`.

Common addresses 1 and 2, each with a breaker (type 30) at 1, an AGC status (1) at 2, a power (short, 36) at 10, a
voltage (scaled, 11) at 11 and a counter (37) at 20. A line on stdin changes a point of a station and reports it as
spontaneous: `STATION ADDRESS VALUE [QUALITY]`, quality as c104 names it.
"""

import sys

import c104

TYPES = {
    1: c104.Type.M_SP_TB_1, 2: c104.Type.M_SP_NA_1, 10: c104.Type.M_ME_TF_1, 11: c104.Type.M_ME_NB_1,
    20: c104.Type.M_IT_TB_1,
}  # fmt: skip


def information(address: int, value: str, quality: c104.Quality) -> c104.Information:
    """What a point of that type carries."""
    if address in (1, 2):
        return c104.SingleInfo(on=value == "1", quality=quality)
    if address == 10:
        return c104.ShortInfo(actual=float(value), quality=quality)
    if address == 11:
        return c104.ScaledInfo(actual=c104.Int16(int(value)), quality=quality)
    return c104.BinaryCounterInfo(counter=int(value), sequence=c104.UInt5(1), quality=c104.BinaryCounterQuality())


def main() -> None:
    """Serve until stdin ends."""
    server = c104.Server(ip="127.0.0.1", port=int(sys.argv[1]), tick_rate_ms=50)
    points = {}
    for common_address in (1, 2):
        station = server.add_station(common_address=common_address)
        assert station is not None
        for address, kind in TYPES.items():
            point = station.add_point(io_address=address, type=kind)
            assert point is not None
            points[common_address, address] = point
        start = {1: "1", 2: "0", 10: f"{common_address}80.5", 11: "2204", 20: f"{common_address}000"}
        for address, text in start.items():
            points[common_address, address].info = information(address, text, c104.Quality())
    server.start()
    print("ready", flush=True)
    for line in sys.stdin:
        where, what, value, *names = line.split()
        quality = c104.Quality()
        for name in names:
            quality |= getattr(c104.Quality, name)
        point = points[int(where), int(what)]
        point.info = information(int(what), value, quality)
        point.transmit(cause=c104.Cot.SPONTANEOUS)
    server.stop()


if __name__ == "__main__":
    main()
