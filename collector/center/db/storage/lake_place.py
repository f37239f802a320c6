# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door to the files of the lake: a `Path` in a folder, or an `ObjectPath` in an object store (S3).

    STATE/lake/PLANT/NAME          s3://BUCKET/PREFIX/lake/PLANT/NAME          day files
    STATE/lake-others/PLANT/NAME   s3://BUCKET/PREFIX/lake-others/PLANT/NAME   records that lost their instant

A file is named by its content and never changes, and which file is a day's stands in the database: two who write the
same name write the same bytes, so a write needs no condition (docs/decisions/0054-the-lake-on-an-object-store.md).
Nothing is listed to find a file: its name comes from the database. An object is there whole or not at all.

Whatever the network does is tried `TRIES` times, then told as `ObjectStoreFault`; what the store refuses is told at
once. Credentials are found as every S3 program finds them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or
~/.aws/credentials, of the process that reads or writes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, TypeVar

from collector.base.backoff import backoff_s
from collector.base.durable import flush, half_written
from collector.base.errors import StoreError
from collector.base.text import Text, tr
from collector.center.settings import parse_lake_url

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

TRIES: Final = 4
FIRST_S: Final = 0.2
MOST_S: Final = 2.0
CONNECT_S: Final = 3.0
STALLED_S: Final = 5.0  # without a byte; a try is over then
ASKED_S: Final = 1.0  # both of them where the store is only asked whether it is there
_AT_ONCE: Final = 8  # files fetched at the same time
T = TypeVar("T")


class ObjectStoreFault(StoreError):  # noqa: N818 - a state of the store, as the other errors' names are
    """The object store can't be used now. `reason`: why; `remedy`: what to do."""

    reason: Text | str = ""
    remedy: Text | str = ""


# What is refused, by how the answer begins or what it holds; a new try changes nothing about it.
_REFUSED: Final[Sequence[tuple[tuple[str, ...], Text, Text]]] = (
    (
        ("REQUEST_TIME_TOO_SKEWED", "RequestTimeTooSkewed", "REQUEST_EXPIRED"),
        tr("refuses requests signed by this machine's clock: it is more than 15 minutes off"),
        tr("see to NTP here, or on the machine of the object store: `timedatectl`"),
    ),
    (
        ("INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "INVALID_CLIENT_TOKEN", "EXPIRED_TOKEN", "ExpiredToken"),
        tr("refuses the credentials"),
        tr("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of this process, or ~/.aws/credentials of its user"),
    ),
    (
        ("ACCESS_DENIED", "AccessDenied", "(HTTP status 403)"),
        tr("refuses: these credentials may not do it, or there are none"),
        tr("the bucket's policy must allow s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket"),
    ),
    (
        ("NO_SUCH_BUCKET",),
        tr("has no such bucket"),
        tr("make the bucket, or name the right one in lake.url"),
    ),
)
_UNREACHABLE: Final = tr("does not answer as it should")
_LOOK_AT_IT: Final = tr("is it running, and is endpoint_override in lake.url right? a firewall between")


@dataclass(frozen=True, slots=True, order=True)
class ObjectPath:
    """A file or folder in an object store, with what is asked of a `Path` of the lake. May be sent to other machines.

    `url`: lake.url; `key`: bucket and name of the object.
    """

    url: str
    key: str

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(self.url, f"{self.key}/{name}")

    def __str__(self) -> str:
        return f"s3://{self.key}"

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return PurePosixPath(self.key).stem

    @property
    def parent(self) -> ObjectPath:
        """The folder it is in."""
        return ObjectPath(self.url, self.key.rpartition("/")[0])

    def read_bytes(self) -> bytes:
        """The whole object.

        Raises:
            FileNotFoundError: there is none.
            ObjectStoreFault: the object store can't be used.
        """
        return self._tried(self._read)

    def write_bytes(self, data: bytes) -> None:
        """Write the object; it is there whole or not at all.

        Raises:
            ObjectStoreFault: the object store can't be used.
        """
        self._tried(lambda files: self._write(files, data))

    def exists(self) -> bool:
        """Whether there is such an object. Raises as `write_bytes`."""
        return bool(self._tried(lambda files: files.get_file_info(self.key).is_file))

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object. Raises as `read_bytes`."""
        with contextlib.suppress(FileNotFoundError) if missing_ok else contextlib.nullcontext():
            self._tried(lambda files: files.delete_file(self.key))

    def probe(self) -> None:
        """Ask once, and briefly, whether the object store is there and lets us in.

        Raises:
            ObjectStoreFault: it is not, or does not.
        """
        from pyarrow.fs import FileSelector, FileType

        bucket, _, folder = self.key.partition("/")
        nothing = FileSelector(f"{bucket}/{folder}/.none".replace("//", "/"), allow_not_found=True)
        files = _file_system(self.url, ASKED_S, ASKED_S)
        try:
            files.get_file_info(nothing)  # a listing tells why it is refused; a look at one object does not
            if files.get_file_info(bucket).type == FileType.NotFound:
                raise OSError("NO_SUCH_BUCKET")
        except OSError as error:
            raise self._fault(error) from error

    def _read(self, files: S3FileSystem) -> bytes:
        with files.open_input_file(self.key) as file:
            data, size = file.read(), file.size()
        if len(data) != size:
            raise OSError(f"{len(data)} of {size} bytes came")
        return bytes(data)

    def _write(self, files: S3FileSystem, data: bytes) -> None:
        # Up to 5 MB one request at the close; more in parts that are an object only once all of them are there.
        stream = files.open_output_stream(self.key)
        stream.write(data)
        stream.close()

    def _tried(self, work: Callable[[Any], T]) -> T:
        files = _file_system(self.url, CONNECT_S, STALLED_S)
        for failures in range(TRIES):
            try:
                return work(files)
            except FileNotFoundError:
                raise
            except OSError as error:
                fault = self._fault(error)
                if fault.reason is not _UNREACHABLE or failures == TRIES - 1:
                    raise fault from error
            time.sleep(backoff_s(failures, FIRST_S, MOST_S))
        raise AssertionError  # the last try returns or raises

    def _fault(self, error: OSError) -> ObjectStoreFault:
        said = str(error)
        reason, remedy = _UNREACHABLE, _LOOK_AT_IT
        for words, refused, then in _REFUSED:
            if any(word in said for word in words):
                reason, remedy = refused, then
                break
        message = tr(
            "the object store {reason} ({said}). What is sealed and settled stands, and nothing half written counts; "
            "{remedy}",
            reason=reason,
            said=said,
            remedy=remedy,
        )
        fault = ObjectStoreFault(message, subject=str(self))
        fault.reason, fault.remedy = reason, remedy
        return fault


LakePath = Path | ObjectPath


def lake_folder(state: Path, url: str, name: str) -> LakePath:
    """The folder `name` of the lake: in the state directory, or where lake.url says."""
    if not url:
        return state / name
    place = parse_lake_url(url)
    return ObjectPath(url, f"{place.root}/{name}")


def put_whole(path: LakePath, data: bytes) -> None:
    """Write a file of the lake; it is there whole or not at all.

    Raises:
        OSError: the disk refuses.
        ObjectStoreFault: the object store can't be used.
    """
    if isinstance(path, ObjectPath):
        path.write_bytes(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = half_written(path)
    try:
        temporary.write_bytes(data)
        flush(temporary)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush(path.parent)
    flush(path.parent.parent)


@contextlib.contextmanager
def on_disk(paths: Sequence[LakePath]) -> Iterator[list[Path]]:
    """The same files where a program that knows only folders reads them; objects are fetched for so long.

    Whoever reads them verifies them. Raises as `ObjectPath.read_bytes`.
    """
    if all(isinstance(path, Path) for path in paths):
        yield [path for path in paths if isinstance(path, Path)]
        return
    with TemporaryDirectory(prefix="collector-") as folder, ThreadPoolExecutor(_AT_ONCE) as pool:

        def fetch(path: LakePath) -> Path:
            if isinstance(path, Path):
                return path
            local = Path(folder) / path.name
            local.write_bytes(path.read_bytes())
            return local

        yield list(pool.map(fetch, paths))


@lru_cache(maxsize=8)
def _file_system(url: str, connect_s: float, stalled_s: float) -> S3FileSystem:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem  # a tenth of a second, and only where it is used

    place = parse_lake_url(url)
    return S3FileSystem(
        **place.options,
        connect_timeout=connect_s,
        request_timeout=stalled_s,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1),  # tried again here, and told
        background_writes=False,
        allow_delayed_open=True,
    )
