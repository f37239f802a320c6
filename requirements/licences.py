# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/licences.md: the licence of everything the deployments install. `python -m requirements.licences`."""

from __future__ import annotations

from typing import Final

from requirements.deployment import DEPLOYMENTS, ROOT, licence_of, locked

PAGE: Final = ROOT / "docs" / "licences.md"
# Licences whose works may be part of a work under GPL-3.0, by the FSF's list (gnu.org/licenses/license-list).
COMPATIBLE: Final = frozenset({
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "GPL-3.0-only", "GPL-3.0-or-later", "ISC",
    "LGPL-3.0-only", "LicenseRef-Public-Domain", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Zlib",
})  # fmt: skip
_HEAD: Final = """\
# Licences · 许可证

What the two deployments install beside the program itself (GPL-3.0-or-later), from each package's own metadata;
`make lock` writes this page. c104 is GPL-3.0-only: the agent as installed is passed on under GPL-3.0. Each licence
below allows that; where one stands beside another with OR, the compatible one is taken.

两种部署除本程序（GPL-3.0-or-later）之外安装的软件包，取自各包自带的元数据，由 `make lock` 生成。
c104 为 GPL-3.0-only，因此安装后的整体按 GPL-3.0 发布。下列许可证都与之相容；以 OR 并列的，取其中相容的一种。

| package · 软件包 | version · 版本 | licence · 许可证 | agent · 网关 | center · 调度侧 |
|---|---|---|---|---|
"""


def is_compatible(expression: str) -> bool:
    """Whether an SPDX expression (without parentheses) allows passing on under GPL-3.0; AND binds closer than OR."""
    return any(all(part in COMPATIBLE for part in choice.split(" AND ")) for choice in expression.split(" OR "))


def page() -> str:
    """The whole page.

    Raises:
        ValueError: a licence that is not compatible, or not known to be.
    """
    locks = {deployment: locked(deployment) for deployment in DEPLOYMENTS}
    versions = {name: version for lock in locks.values() for name, (version, _) in lock.items()}
    rows = []
    for name, version in sorted(versions.items()):
        licence = licence_of(name)
        if not is_compatible(licence):
            raise ValueError(f"{name}: {licence} is not known to be compatible with GPL-3.0; see {__file__}")
        marks = (("✓" if name in lock else "") for lock in locks.values())
        rows.append(f"| {' | '.join((name, version, licence, *marks))} |\n")
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
