# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files become frozen, checked data; every problem is reported at once, with file and key.

Unknown keys are refused with the nearest known one; nothing is defaulted silently: each default stands here and, in
words, in the samples under config/.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
PortNumber = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """A table of a configuration file: unknown keys are refused, values are not converted and never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Mqtt(Section):
    """`[mqtt]`: the broker; secrets only as files."""

    host: str = "127.0.0.1"
    port: PortNumber = 1883
    root: Annotated[str, Field(pattern=r"^[^#+\s/][^#+\s]*[^#+\s/]$|^[^#+\s/]$")] = "collector"
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    keepalive_s: Annotated[int, Field(ge=1, le=3600)] = 30


S = TypeVar("S", bound=BaseModel)


def load_settings(path: Path, model: type[S]) -> S:
    """Read a TOML file and check it against `model`.

    Raises:
        ConfigError: every problem with its key path.
    """
    return check_settings(read_toml(path), model, str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file without checking its keys.

    Raises:
        ConfigError: it can't be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            [Problem(str(path), 0, "", tr("can't be read: {strerror}", strerror=error.strerror))]
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), 0, "", tr("is not TOML: {error}", error=error))]) from error


def check_settings(data: Mapping[str, Any], model: type[S], file: str) -> S:
    """Check `data` against `model`; `file` is named in the problems.

    Raises:
        ConfigError: every problem with its key path.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError([_problem(file, detail, model) for detail in error.errors()]) from error


def _problem(file: str, detail: Any, model: type[BaseModel]) -> Problem:
    location = [part for part in detail["loc"] if not (isinstance(part, str) and part.startswith("constrained"))]
    key = ""
    for part in location:
        key += f"[{part + 1}]" if isinstance(part, int) else (f".{part}" if key else str(part))
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), _known_keys(model, location[:-1]), 1)
        hint = tr("; did you mean {near!r}?", near=near[0]) if near else ""
        return Problem(file, 0, key, tr("unknown key{hint}", hint=hint))
    if detail["type"] == "missing":
        return Problem(file, 0, key, tr("is missing"))
    return Problem(file, 0, key, tr("{expected}, got {found!r}", expected=detail["msg"], found=detail["input"]))


def _known_keys(model: type[BaseModel], path: list[Any]) -> list[str]:
    """Field names of the section that `path` leads to."""
    current: Any = model
    for part in path:
        if isinstance(part, int):
            continue
        field = next((f for n, f in current.model_fields.items() if part in (n, f.alias)), None)
        if field is None:
            return []
        current = field.annotation
        arguments = getattr(current, "__args__", ())
        current = arguments[0] if arguments else current
    return [f.alias or n for n, f in current.model_fields.items()] if hasattr(current, "model_fields") else []
