# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree of errors; every error names its subject, what was found, what was expected and the remedy.

CollectorError
├── ConfigError      a file a person wrote: configuration, point table, settlement folder (every problem at once)
├── DeviceError      an exchange with a device
│   ├── Silent       no answer in time
│   ├── Refused      the device answered with an error
│   ├── Garbled      the answer can't be understood
│   └── DriverFault  a bug of the driver: any other exception it raised
├── LinkError        broker or network
├── StoreError       buffer, journal, lake
│   └── Missing      there is no such thing, or none that this person may know of
├── RuleError        the rulebook has no (or two) answers
├── Denied           a person may not do or see this
└── InvariantBroken  a bug or a damaged store: the process stops

A device that fails is data (a record with a bad quality); a broken invariant stops the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from collector.base.text import Text, into, join, said_by, tr


class CollectorError(Exception):
    """Base of all errors of this program. `subject`: device, point, batch, file or key path."""

    def __init__(self, message: str, *, subject: str = "") -> None:
        super().__init__(join(": ", (subject, message)) if subject else message)
        self.subject = subject
        self.message = message

    def into(self, language: str) -> str:
        """The error in a language: `zh` or `en`."""
        said: str = into(said_by(self), language)
        return said


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding in a file: where it is, what was found and what to do.

    `row` is the line as an editor or a spreadsheet counts it (header = 1), 0 where the file as a whole is meant.
    """

    file: str
    row: int
    key: str
    message: str

    @property
    def text(self) -> Text:
        """Place and message in one line."""
        place = self.file + (f":{self.row}" if self.row else "")
        return join(": ", filter(None, (place, self.key, self.message)))

    def __str__(self) -> str:
        return str(self.text)


class ConfigError(CollectorError):
    """All problems found in a file that a person wrote, reported together. `head`: how many there are, in words.

    `unlisted`: how many more there are than `problems`.
    """

    def __init__(self, problems: Sequence[Problem], unlisted: int = 0) -> None:
        self.problems = tuple(problems)
        self.unlisted = unlisted
        count = len(self.problems) + unlisted
        self.head = tr("1 problem") if count == 1 else tr("{count} problems", count=count)
        super().__init__(join("\n", (self.head, *("  " + problem.text for problem in self.problems))))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems, self.unlisted)


class DeviceError(CollectorError):
    """A failed exchange with a device: no value was obtained."""


class Silent(DeviceError):  # noqa: N818 - a state of the device, in the field's words
    """No answer within the time allowed."""


class Refused(DeviceError):  # noqa: N818
    """The device answered with an error: exception code, negative confirmation, error frame."""

    def __init__(self, message: str, *, subject: str = "", code: int | None = None) -> None:
        super().__init__(message, subject=subject)
        self.code = code


class Garbled(DeviceError):  # noqa: N818
    """The answer can't be understood: checksum, length, sequence. `code` tells the sender what is wrong."""

    def __init__(self, message: str, *, subject: str = "", code: str = "malformed") -> None:
        super().__init__(message, subject=subject)
        self.code = code


class DriverFault(DeviceError):  # noqa: N818
    """An exception that a driver should not have let out. `place`: the file and line that raised it."""

    def __init__(self, message: str, *, subject: str = "", place: str) -> None:
        super().__init__(message, subject=subject)
        self.place = place


class LinkError(CollectorError):
    """A connection to the broker or the network failed."""


class StoreError(CollectorError):
    """The buffer, the journal or the lake is damaged, full, or in use by another process."""


class Missing(StoreError):  # noqa: N818 - a state of what is asked for
    """The thing asked for does not exist, or this person may not know of it: the answer is the same for both."""


class RuleError(CollectorError):
    """The rulebook has no value, or more than one, for a date and key."""


class Denied(CollectorError):  # noqa: N818 - what the person is told
    """A person may not do or see this; `subject` is the person."""


class InvariantBroken(CollectorError):  # noqa: N818
    """An invariant does not hold (a bug or a damaged store); the process stops and its supervisor restarts it."""
