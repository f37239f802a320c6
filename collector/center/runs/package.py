# SPDX-License-Identifier: GPL-3.0-or-later
"""A run as one file that a third party verifies offline, with nothing but this program and the package.

    data/        the settlement folder          rulebook/    the rulebook of its prices
    statement/   the statement                  run.json     the run's row in the center
    AUDIT.json   head of the audit log          SHA256SUMS   of every other file
    README.md    what this is and how to check it

The same run under the same head of the log gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.storage.lake_place import LakePath, on_disk
from collector.center.db.store import CenterStore
from collector.center.db.verified import ABSENT, altered, check_hash
from collector.center.people import audit
from collector.center.people.access import Actor, Permission
from collector.center.people.heads import anchor_of
from collector.center.runs.kept_files import whole_file
from collector.center.runs.settle_month import DATA, RULEBOOK, STATEMENT
from collector.center.runs.stored_run import OpenedRun, open_run
from collector.model.interval import format_time

MADE: Final = "run.package"  # in the audit log, with the package's SHA-256
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time of the zip format
_FILE_MODE: Final = 0o100644 << 16
_README: Final = """# {month}: 结算运行 {run} · settlement run {run}

本文件包含并网发电厂辅助服务结算运行 {run}({month})的全部输入、所用规则和结算单。任何人可离线核对,不需要主站。
This package holds all inputs of settlement run {run} for {month}, the rulebook it was priced with, and its statement.
Anybody can verify it offline, without the center.

- 状态 status: {status}
- 结果散列 result hash: `{result_hash}`
- 结算单全部文件散列 hash over all files of the statement: `{statement_hash}`
- 规则散列 rulebook hash: `{rulebook_hash}`
- 结算人与时间 settled by, at: {who}, {at}
- 审计日志链首 head of the audit log: 序号 sequence {sequence}, `{hash}`
- 数据行链首 head of the chain of rows: 序号 sequence {link}, `{rows}`

## 核对 Verify

```
sha256sum -c SHA256SUMS
collector settle {month} --data data --rulebook rulebook --out check
collector compare statement check
```

第二条命令重新计算结算单,第三条逐行比对:没有差异时返回 0;`check/manifest.json` 的 `result_hash` 应与上面的结果散列一致。
The second command computes the statement anew, the third compares it line by line and exits 0 where nothing differs;
`result_hash` in `check/manifest.json` must be the result hash above. `statement_hash` is the SHA-256 of the lines
`SHA-256  name` of all files of `statement/` but its manifest, sorted by name: `compare` refuses a manifest of another.

核算依据逐条说明 Explain a line: `collector explain {month} --data data --rulebook rulebook --unit U --service S`

审计日志每条记录含前一条的哈希;持有链首者可判断其前任何记录是否被改动。
Each entry of the audit log carries the hash of the one before: who holds its head can tell whether anything before it
was altered, or the end cut off: `collector center check --anchor PACKAGE`.
"""


def package_name(month: object, run_id: int) -> str:
    """The file name of a run's package where nobody gave another."""
    return f"{month}-run{run_id}.zip"


def export_package(store: CenterStore, run_id: int, target: Path, *, actor: Actor) -> Path:
    """Write the package of a run and note in the audit log that it was given out.

    Raises:
        Denied: the actor may not see all plants' data.
        StoreError: there is no such run, a file of it is not the one its manifest names, or `target` exists already.
    """
    actor.require(Permission.SEE_ALL)
    run = open_run(store, run_id)
    build_package(store, run, target)
    with target.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    now_ms = store.clock.now_utc_ms()
    detail = {"month": str(run.month), "result_hash": run.facts.result_hash, "sha256": sha256}

    def job(connection: Connection) -> int:
        subject = f"run {run_id}"
        return audit.append(connection, actor=actor, action=MADE, subject=subject, detail=detail, now_ms=now_ms)

    store.write(job).result()
    return target


def build_package(store: CenterStore, run: OpenedRun, target: Path) -> None:
    """Write the package; it appears whole or not at all.

    Raises:
        Altered: a file of the run is not the one its manifest names.
        StoreError: `target` exists already.
        OSError: the disk refuses.
    """
    if target.exists():
        raise StoreError(tr("is there already; name a new file"), subject=str(target))
    anchor = store.read(anchor_of)
    sequence, hash_of_head = anchor["audit"]
    facts = asdict(run.facts)
    texts = {
        "AUDIT.json": {"sequence": sequence, "hash": hash_of_head} | anchor,
        "run.json": {name: value for name, value in facts.items() if name != "folder"},
    }
    contents = {
        name: (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode() for name, value in texts.items()
    }
    words = facts | {
        "run": run.facts.id,
        "at": format_time(run.facts.at_ms),
        "sequence": sequence,
        "hash": hash_of_head,
        "statement_hash": run.manifest.get("statement_hash", "-"),
        "link": anchor["rows"][0],
        "rows": anchor["rows"][1],
    }
    contents |= {f"{RULEBOOK}/{name}": data for name, data in run.rulebook_files.items()}
    contents[f"{STATEMENT}/manifest.json"] = run.manifest_text.encode()
    contents["README.md"] = _README.format(**words).encode()
    with whole_file(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as package:
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
        places: dict[str, LakePath] = {f"{DATA}/{name}": place for name, place in run.record_places().items()}
        for name, sha256 in sorted(_listed(run).items()):
            with on_disk([places.get(name, run.folder / name)]) as [path]:
                sums[name] = _add_file(package, name, path, sha256)
        listed = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items()))
        for name, data in sorted((contents | {"SHA256SUMS": listed.encode()}).items()):
            package.writestr(_entry(name), data)


def _listed(run: OpenedRun) -> dict[str, str]:
    """SHA-256 of every file of a run by its path: exactly the files its manifest names."""
    parts = {DATA: run.manifest["inputs"], STATEMENT: run.manifest["files"]}
    return {f"{part}/{name}": sha256 for part, hashes in parts.items() for name, sha256 in hashes.items()}


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.external_attr = _FILE_MODE
    entry.create_system = 3  # Unix, wherever this runs
    # Compressed formats gain nothing.
    entry.compress_type = zipfile.ZIP_STORED if name.endswith((".parquet", ".xlsx")) else zipfile.ZIP_DEFLATED
    return entry


def _add_file(package: zipfile.ZipFile, name: str, path: Path, sha256: str) -> str:
    """Add a file whose hash is `sha256`, in pieces; returns the hash. With any other file no package is made."""
    digest = hashlib.sha256()
    entry = _entry(name)
    try:
        source = path.open("rb")
    except OSError as error:
        raise altered(path, sha256, ABSENT) from error
    with source:
        entry.file_size = path.stat().st_size
        with package.open(entry, "w") as target:
            while piece := source.read(1 << 20):
                digest.update(piece)
                target.write(piece)
    check_hash(path, sha256, digest.hexdigest())
    return sha256


def package_facts(path: Path) -> dict[str, Any]:
    """The head of the audit log that a package contains.

    Raises:
        OSError: it can't be read.
    """
    with zipfile.ZipFile(path) as package:
        found: dict[str, Any] = json.loads(package.read("AUDIT.json"))
        return found
