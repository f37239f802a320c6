# SPDX-License-Identifier: GPL-3.0-or-later
"""ThingsBoard Gateway as its own documentation sets it up, and the little of its platform that it waits for.

After it has connected, it asks the platform by an RPC (`getSessionLimits`) how much it may send, and sends no telemetry
before the answer: from a broker alone nothing comes until the connection breaks once, for it asks but once. It also
subscribes to topics that it publishes to, since the platform sends on them too; a broker must not give it its own
requests back, so it has an access list. Its storage is the durable one, SQLite; the default is memory, which a kill
empties. A block of a device is one request.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from bench.gateways.arrivals import Arrivals
from bench.gateways.registers import DEVICES, ENERGY, POINTS, REGISTERS, address_of, host_of
from bench.gateways.script import Gateway

TOKEN: Final = "thingsboard-gateway"
_ACCESS: Final = (
    f"user {TOKEN}\ntopic write v1/#\ntopic read v1/devices/me/rpc/response/+\n"
    "topic read v1/devices/me/attributes/response/+\ntopic read v1/gateway/attributes/response\n"
)
_REQUESTS: Final = "v1/devices/me/rpc/request/"
_TELEMETRY: Final = "v1/gateway/telemetry"
# What a platform without limits answers; the size is its default.
_LIMITS: Final = {"maxPayloadSize": 65536, "maxInflightMessages": 100, "rateLimits": {}, "gatewayRateLimits": {}}
_POINT_OF: Final = {f"p{address_of(number)}": number for number in range(len(POINTS))}


def prepare(python: str, folder: Path, broker: int, devices: int) -> Gateway:
    """Its configuration in the folder; the gateway as the script runs it."""
    settings = folder / "config"
    settings.mkdir()
    (folder / "logs").mkdir()
    shipped = next(Path(python).parents[1].glob("lib/python*/site-packages/thingsboard_gateway/config/logs.json"))
    shutil.copy(shipped, settings)
    (settings / "tb_gateway.json").write_text(json.dumps(_general(broker, folder / "data")), "utf-8")
    (settings / "modbus.json").write_text(json.dumps({"master": {"slaves": _slaves(devices)}}), "utf-8")
    script = "from thingsboard_gateway.tb_gateway import main; main()"
    return Gateway(
        command=(python, "-c", script), folder=folder, environment={"TB_GW_CONFIG_DIR": str(settings)},
        access=_ACCESS, topics=(_REQUESTS + "+", _TELEMETRY), take=take,
    )  # fmt: skip


def _general(broker: int, data: Path) -> dict[str, Any]:
    return {
        "thingsboard": {
            "host": "127.0.0.1",
            "port": broker,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "security": {"type": "accessToken", "accessToken": TOKEN},
            "qos": 1,
            "reportStrategy": {"type": "ON_RECEIVED"},
        },
        "storage": {"type": "sqlite", "data_file_path": f"{data}/"},
        "grpc": {"enabled": False},
        "connectors": [{"type": "modbus", "name": "modbus", "configuration": "modbus.json"}],
    }


def _slaves(port: int) -> list[dict[str, Any]]:
    block = {
        "tag": "p${address}", "type": "32int", "functionCode": 3, "address": f"0-{REGISTERS - 1}", "objectsCount": 2,
        "maxRegistersPerRequest": REGISTERS,
    }  # fmt: skip
    return [
        {
            "host": host_of(device), "port": port, "type": "tcp", "method": "socket", "unitId": 1,
            "deviceName": f"d{device}", "timeout": 5, "byteOrder": "BIG", "wordOrder": "BIG", "retries": 0,
            "pollPeriod": 1000, "attributes": [], "timeseries": [block], "attributeUpdates": [], "rpc": [],
        }
        for device in range(DEVICES)
    ]  # fmt: skip


def take(topic: str, payload: bytes, arrivals: Arrivals) -> list[tuple[str, bytes]]:
    """Telemetry into arrivals; the answer to the question for limits."""
    if topic.startswith(_REQUESTS):
        asked = json.loads(payload).get("method") == "getSessionLimits"
        return [(topic.replace("request", "response"), json.dumps(_LIMITS).encode())] if asked else []
    arrivals.bytes += len(topic) + len(payload)
    for name, instants in json.loads(payload).items():
        device = int(name.removeprefix("d"))
        for instant in instants:
            values = {_POINT_OF[key]: value for key, value in instant["values"].items()}
            read = next((value for point, value in values.items() if POINTS[point][1].name == ENERGY), None)
            if read is not None:
                arrivals.take(device, read, list(values), instant["ts"])
    return []
