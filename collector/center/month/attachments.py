# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that people attach: bounded, of a few types recognised by their bytes, under a safe name.

The name given by a person proves nothing: the first bytes and the structure decide the type. Office files are inspected
without unpacking them: no macros, no decompression bombs.
"""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from dataclasses import dataclass
from typing import Final

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr

MAX_FILE_BYTES: Final = 10 * 1024**2
MAX_REVIEW_BYTES: Final = 40 * 1024**2
MAX_FILES: Final = 20
MAX_UNPACKED_BYTES: Final = 200 * 1024**2
MAX_MEMBERS: Final = 2000
MAX_NAME: Final = 120
_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
# Media type -> the suffix of its file.
EXTENSIONS: Final = {
    "application/pdf": ".pdf",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    f"{_OFFICE}.spreadsheetml.sheet": ".xlsx",
    f"{_OFFICE}.wordprocessingml.document": ".docx",
    "text/csv": ".csv",
    "text/plain": ".txt",
}
_TEXTS: Final = ("text/csv", "text/plain")


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that may be kept, with its safe name and media type."""

    name: str
    media_type: str
    data: bytes


def check_attachment(name: str, data: bytes) -> Checked:
    """Check a file before it is kept.

    Raises:
        ConfigError: too large, empty, or of no accepted type; the remedy is in the message.
    """
    safe = safe_name(name)
    if not data:
        raise ConfigError([Problem(safe, 0, "", tr("is empty"))])
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(
            [
                Problem(
                    safe,
                    0,
                    "",
                    tr(
                        "has {count} bytes; at most {max_file_bytes} are taken",
                        count=len(data),
                        max_file_bytes=MAX_FILE_BYTES,
                    ),
                )
            ]
        )
    media_type = _media_type(safe, data)
    stem, dot, extension = safe.rpartition(".")
    wanted = EXTENSIONS[media_type]
    fits = f".{extension.lower()}" in (wanted, ".jpeg" if wanted == ".jpg" else wanted)
    return Checked(safe if dot and stem and fits else safe + wanted, media_type, data)


def safe_name(name: str) -> str:
    """The last part of a path, without characters that control a terminal, a shell, a browser or text direction."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    # Cc, Cf: control and format characters, including those that reverse the text direction; Cs: half a character.
    kept = "".join(c for c in last if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
    kept = re.sub(r'[<>:"|?*;&%$`\'=+@]', "_", kept).strip(" .-")
    stem, dot, extension = kept.rpartition(".")
    if len(kept) > MAX_NAME:
        kept = f"{stem[: MAX_NAME - 9]}{dot}{extension[:8]}" if stem else kept[:MAX_NAME]
    return kept or "file"


def _media_type(name: str, data: bytes) -> str:
    if data.startswith(b"%PDF-"):
        return "application/pdf"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"PK\x03\x04"):
        return _office_type(name, data)
    if _is_text(data):
        return "text/csv" if name.lower().endswith(".csv") else "text/plain"
    raise ConfigError([Problem(name, 0, "", tr("is none of PDF, PNG, JPEG, XLSX, DOCX, CSV, text; send one of these"))])


def _office_type(name: str, data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ConfigError([Problem(name, 0, "", tr("can't be read: {error}", error=error))]) from None
    if len(members) > MAX_MEMBERS or sum(m.file_size for m in members) > MAX_UNPACKED_BYTES:
        raise ConfigError([Problem(name, 0, "", tr("swells beyond bounds when it is unpacked"))])
    names = {member.filename for member in members}
    if any("vbaproject" in each.lower() or each.lower().endswith((".bin", ".exe", ".js")) for each in names):
        raise ConfigError([Problem(name, 0, "", tr("carries macros or embedded programs; save it without them"))])
    if any(member.flag_bits & 0x1 for member in members):
        raise ConfigError([Problem(name, 0, "", tr("is encrypted; nobody here could read it"))])
    if "[Content_Types].xml" in names and "xl/workbook.xml" in names:
        return f"{_OFFICE}.spreadsheetml.sheet"
    if "[Content_Types].xml" in names and "word/document.xml" in names:
        return f"{_OFFICE}.wordprocessingml.document"
    raise ConfigError([Problem(name, 0, "", tr("is an archive, not an XLSX or DOCX; attach its files one by one"))])


def _is_text(data: bytes) -> bool:
    """True for UTF-8 or GB18030 text without control characters other than line ends and tabs, and without HTML."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        clean = not any(ord(c) < 0x20 and c not in "\t\r\n" for c in text)
        return clean and not re.match(r"\s*<(!doctype|html|script|svg|\?xml)", text, re.IGNORECASE)
    return False
