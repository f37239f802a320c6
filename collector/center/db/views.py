# SPDX-License-Identifier: GPL-3.0-or-later
"""One view of the store for all that a page reads: the same question is asked, and the same seal checked, once.

A view is a reading transaction, within which an answer can't change, so `once_a_view` keeps it for as long and no
longer. A transaction that writes keeps nothing: it may ask again after it wrote.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection

P = ParamSpec("P")
T = TypeVar("T")
_answers: Final[WeakKeyDictionary[Connection, dict[Any, Any]]] = WeakKeyDictionary()


def begin_view(connection: Connection) -> None:
    """From now on the connection reads one view of the store, and writes nothing."""
    _answers[connection] = {}


def answers_of(connection: Connection) -> dict[Any, Any] | None:
    """The answers remembered for the view of a connection; None where the connection writes."""
    return _answers.get(connection)


def once_a_view(read: Callable[P, T]) -> Callable[P, T]:
    """A function of a connection and of what can be a key, whose answer nobody changes: asked once a view."""

    @functools.wraps(read)
    def asked_once(*args: P.args, **kwargs: P.kwargs) -> T:
        connection, *others = args
        kept = answers_of(cast(Connection, connection))
        if kept is None:
            return read(*args, **kwargs)
        key = (read, *others, *sorted(kwargs.items()))
        if key not in kept:
            kept[key] = read(*args, **kwargs)
        return cast(T, kept[key])

    return asked_once
