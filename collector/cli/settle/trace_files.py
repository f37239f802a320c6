# SPDX-License-Identifier: GPL-3.0-or-later
"""segments.csv and the evidence files while several processes write them, part by part, each part at its own place.

The place of a part is behind all parts before it, and is known once their sizes are. Parts are begun in their order, so
it mostly is; what comes too early is set aside in a file of its own and put in its place at the end. So the lines of a
part are written once and not copied by the process that waits for all (140 MB for 100 units of a month).
"""

from __future__ import annotations

import mmap
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from collector.report.segments import TRACES, TraceTexts, UnpaidTimes, WrittenSegments, header_of

_COPY_BYTES: Final = 1 << 20


class TraceFiles:
    """The files of `TRACES` in a folder; to be made before processes are forked, which share the sizes of the parts."""

    def __init__(self, folder: Path, parts: int) -> None:
        """`folder`: an empty one; `parts`: how many there will be."""
        self._folder, self._parts = folder, parts
        shared = mmap.mmap(-1, max(1, 8 * parts * len(TRACES)))
        # Of each part and file the bytes of its lines, and one more; 0: not known yet.
        self._sizes = np.frombuffer(shared, np.int64, parts * len(TRACES)).reshape(parts, len(TRACES))
        for name in TRACES:
            self._path(name).write_bytes(header_of(name))

    def put(self, number: int, lines: Mapping[str, Any]) -> None:
        """Write the lines of a part, by the name of the file; to do so again is no harm.

        Raises:
            OSError: a file can't be written.
        """
        self._sizes[number] = [len(lines.get(name, b"")) + 1 for name in TRACES]
        places = self._places(number)
        for name, text in lines.items():
            if places is None:
                self._aside(number, name).write_bytes(text)
            else:
                with self._path(name).open("r+b") as file:
                    file.seek(places[name])
                    file.write(text)

    def written(self, texts: Iterable[TraceTexts]) -> WrittenSegments:
        """The whole files, once every part has been put; `texts`: of each part, whose lines are not looked at.

        Raises:
            OSError: a file can't be written.
        """
        rows, times = Counter[str](), UnpaidTimes()
        for text in texts:
            rows.update(text.rows)
            times.update(text.times)
        for number in range(self._parts):
            places = self._places(number)
            assert places is not None, "a part was not put"
            for name, place in places.items():
                if (aside := self._aside(number, name)).exists():
                    with aside.open("rb") as lines, self._path(name).open("r+b") as file:
                        file.seek(place)
                        shutil.copyfileobj(lines, file, _COPY_BYTES)
        return WrittenSegments({name: self._path(name) for name in TRACES}, rows, times)

    def _places(self, number: int) -> dict[str, int] | None:
        """Where the lines of a part begin in each file, in bytes; None: not known yet."""
        before = self._sizes[:number].copy()
        if not before.all():
            return None
        sums = (before - 1).sum(axis=0).tolist()
        return {name: len(header_of(name)) + sums[n] for n, name in enumerate(TRACES)}

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.csv"

    def _aside(self, number: int, name: str) -> Path:
        return self._folder / f"{number}-{name}.csv"
