# SPDX-License-Identifier: GPL-3.0-or-later
"""A slave by libmodbus, in a process of its own: `tcp PORT`, or `rtu PATH BAUD`, even parity, slave 1.

Registers (holding and input alike): 0-1 the int32 -120 500 high word first, 2-3 the float32 380.25 low word first,
4 the uint16 65 535; there are eight. Coils and inputs: 0 set, 1 clear, 2 set; there are three.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import struct
import sys

REGISTERS = (*struct.unpack(">2H", struct.pack(">i", -120_500)),
             *reversed(struct.unpack(">2H", struct.pack(">f", 380.25))), 65_535, 0, 0, 0)  # fmt: skip
BITS = (1, 0, 1)
_LONGEST_REQUEST = 260


class _Mapping(ctypes.Structure):
    """modbus_mapping_t of libmodbus 3.1."""

    _fields_ = (
        *((name, ctypes.c_int) for name in (
            "nb_bits", "start_bits", "nb_input_bits", "start_input_bits", "nb_input_registers",
            "start_input_registers", "nb_registers", "start_registers",
        )),
        *((name, ctypes.POINTER(ctypes.c_uint8)) for name in ("tab_bits", "tab_input_bits")),
        *((name, ctypes.POINTER(ctypes.c_uint16)) for name in ("tab_input_registers", "tab_registers")),
    )  # fmt: skip


def main() -> None:
    """Serve until killed; says `ready` once a master may speak."""
    library = ctypes.CDLL(ctypes.util.find_library("modbus"), use_errno=True)
    for name in ("modbus_new_tcp", "modbus_new_rtu"):
        getattr(library, name).restype = ctypes.c_void_p
    library.modbus_mapping_new.restype = ctypes.POINTER(_Mapping)
    mapping = library.modbus_mapping_new(len(BITS), len(BITS), len(REGISTERS), len(REGISTERS))
    for number, register in enumerate(REGISTERS):
        mapping.contents.tab_registers[number] = mapping.contents.tab_input_registers[number] = register
    for number, bit in enumerate(BITS):
        mapping.contents.tab_bits[number] = mapping.contents.tab_input_bits[number] = bit
    if sys.argv[1] == "tcp":
        context = ctypes.c_void_p(library.modbus_new_tcp(b"127.0.0.1", int(sys.argv[2])))
        listener = ctypes.c_int(library.modbus_tcp_listen(context, 1))
        print("ready", flush=True)
        while library.modbus_tcp_accept(context, ctypes.byref(listener)) != -1:
            _answer(library, context, mapping)
    else:
        parity = ctypes.c_char(b"E")
        context = ctypes.c_void_p(library.modbus_new_rtu(sys.argv[2].encode(), int(sys.argv[3]), parity, 8, 1))
        library.modbus_set_slave(context, 1)
        if library.modbus_connect(context) == -1:
            sys.exit(f"libmodbus can't open {sys.argv[2]}")
        print("ready", flush=True)
        _answer(library, context, mapping)


def _answer(library: ctypes.CDLL, context: ctypes.c_void_p, mapping: object) -> None:
    request = (ctypes.c_uint8 * _LONGEST_REQUEST)()
    while (size := library.modbus_receive(context, request)) != -1:
        if size:
            library.modbus_reply(context, request, size, mapping)


if __name__ == "__main__":
    main()
