# SPDX-License-Identifier: GPL-3.0-or-later
"""The promise that this program can't write to a device, as a walk over the source of the plant side."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

AGENT = Path(__file__).parents[1] / "collector" / "agent"
DRIVERS = AGENT / "device"
SOURCES = sorted(AGENT.rglob("*.py"))

# What may be called on the protocol libraries' objects. Anything else that looks like theirs fails the test.
MODBUS_READS = {
    "ReadCoilsRequest": 1, "ReadDiscreteInputsRequest": 2, "ReadHoldingRegistersRequest": 3,
    "ReadInputRegistersRequest": 4,
}  # fmt: skip
C104_NAMES = {"Client", "Connection", "ConnectionState", "Init", "Frz", "IncomingMessage", "Station", "Type", "Umc",
              "Coi"}  # fmt: skip
LIBRARY_OF = {
    "device/modbus/exchange.py": "pymodbus", "device/modbus/framing.py": "pymodbus",
    "device/modbus/link.py": "pymodbus", "device/iec104/link.py": "c104",
    "device/serial.py": "serialx",
}  # fmt: skip
FORBIDDEN_CALLS = {
    "clock_sync", "transmit", "execute", "report_slave_id", "mask_write_register",
    "diag_restart_communication", "set_value", "signal_initialized",
}  # fmt: skip


def attributes(tree: ast.AST) -> Iterator[ast.Attribute]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def test_no_writing_call_exists() -> None:
    found = []
    for path in SOURCES:
        for node in attributes(ast.parse(path.read_text("utf-8"))):
            name = node.attr
            wrong = name.startswith(("write_coil", "write_register", "mask_write", "readwrite", "write_file"))
            if path.is_relative_to(DRIVERS):
                wrong |= name in FORBIDDEN_CALLS or name.startswith(("read_device_", "read_exception", "diag_"))
            if wrong:
                found.append(f"{path.relative_to(AGENT)}:{node.lineno} {name}")
    assert not found
    assert len([path for path in SOURCES if path.is_relative_to(DRIVERS)]) > 12, "the walk has found the drivers"


def test_modbus_offers_functions_one_to_four_and_no_other() -> None:
    trees = {path.name: ast.parse(path.read_text("utf-8")) for path in (DRIVERS / "modbus").glob("*.py")}
    theirs = {
        alias.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
        if (node.module or "").startswith("pymodbus") for alias in node.names
    }  # fmt: skip
    assert {name for name in theirs if "Request" in name or "Write" in name or "Client" in name} == MODBUS_READS.keys()
    from collector.agent.device.modbus.exchange import REQUESTS

    assert {kind.__name__: kind.function_code for kind in REQUESTS.values()} == MODBUS_READS
    # One place makes the bytes of a request, one frames them, one sends them.
    made = [n for n in ast.walk(trees["exchange.py"]) if isinstance(n, ast.Name) and n.id == "REQUESTS"]
    assert len(made) == 2, "their table, and where one is made"
    built = [call for tree in trees.values() for call in calls(tree) if call.startswith("ReadRequest(")]
    assert len(built) == 1
    assert built[0].startswith("ReadRequest(bytes((function,)) + request.encode(), ")
    framed = [call for tree in trees.values() for call in calls(tree) if ".start(" in call]
    assert framed == ["self.framer.start(asked.pdu, asked.wanted)"]
    assert [call for tree in trees.values() for call in calls(tree) if ".ask(" in call and "link" in call] == [
        "link.ask(request)"
    ]
    sent = [
        call for tree in trees.values() for call in calls(tree)
        if re.search(r"\.(write|writelines|send|sendto|pdu_send|low_level_send)\(", call)
    ]  # fmt: skip
    assert sorted(sent) == ["self.transport.sendto(request)", "self.transport.write(request)"]


def calls(tree: ast.AST) -> Iterator[str]:
    """Each call, as source."""
    yield from (ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_104_takes_nothing_from_c104_but_what_listens_and_interrogates() -> None:
    tree = ast.parse((DRIVERS / "iec104" / "link.py").read_text("utf-8"))
    used = {n.attr for n in attributes(tree) if isinstance(n.value, ast.Name) and n.value.id == "c104"}
    assert used == C104_NAMES
    called = {n.func.attr for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
    assert "add_point" not in called, "a point that is not there can't be commanded"
    starts = [k.value for n in ast.walk(tree) if isinstance(n, ast.Call) for k in n.keywords if k.arg == "init"]
    assert [ast.unparse(value) for value in starts] == ["c104.Init.MUTED"]
    freezes = [k.value for n in ast.walk(tree) if isinstance(n, ast.Call) for k in n.keywords if k.arg == "freeze"]
    assert [ast.unparse(value) for value in freezes] == ["c104.Frz.READ"]
    on_connection = {
        n.func.attr for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and "_connection" in ast.unparse(n.func.value)
    }  # fmt: skip
    assert on_connection == {"interrogation", "counter_interrogation", "on_receive_raw"}


def test_645_encodes_reading_and_reading_on_and_nothing_else() -> None:
    tree = ast.parse((DRIVERS / "dlt645" / "codec.py").read_text("utf-8"))
    controls = {
        ast.unparse(n.args[1]) for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "_encode"
    }  # fmt: skip
    assert controls == {"_READ", "_READ_NEXT", "_READ_1997", "_READ_NEXT_1997"}
    from collector.agent.device.dlt645 import codec

    assert (codec._READ, codec._READ_NEXT) == (0x11, 0x12)
    assert (codec._READ_1997, codec._READ_NEXT_1997) == (0x01, 0x02)
    sent = ast.parse((DRIVERS / "meter_line.py").read_text("utf-8"))
    writes = [n for n in ast.walk(sent) if isinstance(n, ast.Call) and ast.unparse(n.func).endswith(".write")]
    assert [ast.unparse(n.args[0]) for n in writes] == ["request"]


def test_698_encodes_get_of_attributes_and_nothing_else() -> None:
    from collector.agent.device.dlt698 import codec

    assert (codec._REQUEST, codec._GET, codec._NORMAL, codec._LIST) == (0x43, 5, 1, 2)
    tree = ast.parse((DRIVERS / "dlt698" / "codec.py").read_text("utf-8"))
    apdus = [
        ast.unparse(n.args[1]) for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "_encode"
    ]  # fmt: skip
    assert {apdu.partition(", service")[0] for apdu in apdus} == {"bytes((_GET, _NORMAL", "bytes((_GET, _LIST"}
    line = ast.parse((DRIVERS / "dlt698" / "line.py").read_text("utf-8"))
    sent = [n.args[0] for n in ast.walk(line) if isinstance(n, ast.Call) and ast.unparse(n.func) == "self.exchange"]
    assert len(sent) == 2
    assert all(ast.unparse(request).startswith("encode_get(") for request in sent)
    for path in (DRIVERS / "dlt698").glob("*.py"):
        assert not {node.attr for node in attributes(ast.parse(path.read_text("utf-8")))} & {"write", "send"}, path


def test_101_encodes_services_of_the_link_that_read_and_interrogations_and_nothing_else() -> None:
    from collector.agent.device.iec101 import ft12
    from collector.agent.device.iec60870 import asdu

    tree = ast.parse((DRIVERS / "iec101" / "ft12.py").read_text("utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "_fixed"]
    services = {ast.unparse(n.args[1]).rpartition("LinkService.")[2] for n in calls}
    assert services == {"STATUS", "RESET", "TEST", "CLASS_1", "CLASS_2", "reply"}
    assert {s: int(ft12.LinkService[s]) for s in services - {"reply"}} == {
        "STATUS": 9, "RESET": 0, "TEST": 2, "CLASS_1": 10, "CLASS_2": 11
    }  # fmt: skip
    # User data leave in one place only, and its type is one of these two, its cause activation.
    sends = [n for n in attributes(tree) if ast.unparse(n) == "LinkService.SEND"]
    (encoder,) = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "encode_interrogation"]
    assert [n for n in ast.walk(encoder) if n in sends] == sends
    assert len(sends) == 1
    assert {asdu.INTERROGATION: 20, asdu.COUNTER_INTERROGATION: 5} == ft12._QUALIFIERS == {100: 20, 101: 5}
    assert ft12._ACTIVATION == 6
    for kind in set(range(256)) - {100, 101}:
        with pytest.raises(KeyError):
            ft12.encode_interrogation(ft12.LinkPlace(), True, kind, 1, asdu.AsduLayout())
    # What the line writes is a request that `link.py` encodes, or a reply of the secondary.
    written = [
        (path.name, ast.unparse(n.args[0]))
        for path in sorted((DRIVERS / "iec101").glob("*.py"))
        for n in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr in ("write", "sendto")
    ]
    assert sorted(written) == [("line.py", "reply"), ("line.py", "request")]
    link = ast.parse((DRIVERS / "iec101" / "link.py").read_text("utf-8"))
    imported = {a.name for n in ast.walk(link) if isinstance(n, ast.ImportFrom) for a in n.names}
    assert {name for name in imported if name.startswith("encode")} == {
        "encode_class_1", "encode_class_2", "encode_interrogation", "encode_reset", "encode_status_request",
        "encode_test",
    }  # fmt: skip
    assert not {n.attr for n in attributes(link)} & {"to_bytes", "fromhex"}


def test_only_the_drivers_import_a_protocol_library() -> None:
    for path in SOURCES:
        modules = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            for name in (
                [a.name for a in node.names] if isinstance(node, ast.Import)
                else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            )
        }  # fmt: skip
        found = modules & {"pymodbus", "c104", "serialx", "serial", "dlt645"}
        place = path.relative_to(AGENT).as_posix()
        assert found <= {LIBRARY_OF.get(place, "")}, place
