# SPDX-License-Identifier: GPL-3.0-or-later
"""The OpenAPI description of the REST interface, and a page that shows it without a script.

Litestar describes what the handlers take and give; what holds everywhere is added: tokens, errors, files.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final

from litestar import Litestar, Response, Router
from litestar.openapi.config import OpenAPIConfig

from collector import __version__
from collector.center.web.context import Ctx, Page
from collector.center.web.errors import CODES
from collector.center.web.guards import Needs, Open
from collector.center.web.paging import XLSX
from collector.center.web.routes import API, api_get, needs_of

ERRORS: Final = (400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 500, 502)
_PROBLEM: Final = {
    "type": "object",
    "required": ["file", "row", "key", "message"],
    "properties": {
        "file": {"type": "string"}, "row": {"type": "integer"},
        "key": {"type": "string"}, "message": {"type": "string"},
    },
}  # fmt: skip
_ERROR: Final = {
    "type": "object",
    "required": ["status", "code", "message", "problems"],
    "properties": {
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(set(CODES.values()))},
        "message": {"type": "string"},
        "problems": {"type": "array", "items": _PROBLEM},
    },
}


def openapi_config() -> OpenAPIConfig:
    """The configuration of Litestar's OpenAPI. Its own viewers load scripts from elsewhere and are switched off."""
    return OpenAPIConfig(
        title="collector center",
        version=__version__,
        description="Everything the center's pages show. Times are UTC milliseconds, money is decimal text in yuan.",
        openapi_router=Router(
            API + "/schema",
            route_handlers=[],
            opt={"needs": Needs(Open.LOGGED_IN, own=True)},
            include_in_schema=False,
        ),
        use_handler_docstrings=True,
    )


@functools.lru_cache(maxsize=4)
def describe(app: Litestar) -> dict[str, Any]:
    """The description as a JSON object."""
    schema: dict[str, Any] = app.openapi_schema.to_schema()
    schema["servers"] = [{"url": "/"}]
    components = schema.setdefault("components", {})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    components.setdefault("schemas", {})["Error"] = _ERROR
    schema["security"] = [{"token": []}]
    needs = {(method, path): handler for method, path, handler in _handlers(app)}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            if method in ("get", "post", "put", "delete", "patch"):
                _complete(operation, needs[method.upper(), path])
    return schema


def _handlers(app: Litestar) -> Iterator[tuple[str, str, Any]]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            for method in handler.http_methods:
                yield str(method), route.path_format, handler


def _complete(operation: dict[str, Any], handler: Any) -> None:
    responses = operation.setdefault("responses", {})
    for status in ERRORS:
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        responses[str(status)] = {"description": CODES[status], "content": content}
    needs = needs_of(handler)
    if needs is not None:
        operation["x-permission"] = str(needs.what)
    if handler.opt.get("upload"):
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "content": content}
    if handler.opt.get("table"):
        for media_type in ("text/csv", XLSX):
            responses["200"].setdefault("content", {})[media_type] = {"schema": {"type": "string", "format": "binary"}}


@api_get("/openapi.json", Open.LOGGED_IN, own=True, include_in_schema=False)
def openapi_json(ctx: Ctx) -> Response[Mapping[str, Any]]:
    """The description for programs."""
    return Response(describe(ctx.request.app), media_type="application/json")


@api_get("/", Open.LOGGED_IN, own=True, include_in_schema=False)
def openapi_page(ctx: Ctx) -> Page:
    """The description for people."""
    schema = describe(ctx.request.app)
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in sorted(schema["paths"].items()):
        for method, operation in operations.items():
            row = {"path": path, "method": method.upper(), "operation": operation}
            groups.setdefault(path.removeprefix(API).split("/")[1], []).append(row)
    return ctx.page("openapi.html", groups=groups, version=schema["info"]["version"])


ROUTES: Final = [openapi_json, openapi_page]
