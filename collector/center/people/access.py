# SPDX-License-Identifier: GPL-3.0-or-later
"""The rights of people: one table of roles and permissions, checked by every function that changes or shows data.

A plant's people see and do what concerns their own plant, and see the totals that are disclosed to all (Art. 26).
Nobody approves their own proposal: `collector.center.people.four_eyes` holds that for every role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from collector.base.errors import Denied
from collector.base.text import Text, both, tr


class Role(StrEnum):
    """The roles of people."""

    OPERATOR = "operator"  # settlement staff: imports, settles, prepares
    APPROVER = "approver"  # decides what an operator prepared
    AUDITOR = "auditor"  # sees everything, changes nothing
    REGULATOR = "regulator"  # the supervising authority: filings, appeals
    PLANT = "plant"  # a plant's own staff
    ADMINISTRATOR = "administrator"  # accounts and keys; no part in a month's decisions


class Permission(StrEnum):
    """The permissions that a route or a function may require."""

    SEE_OWN = "see_own"  # one's own plant, and the disclosed totals
    SEE_ALL = "see_all"  # every plant, completeness, runs, imports, findings
    SEE_AUDIT = "see_audit"
    IMPORT = "import"  # dispatch-side inputs and their undoing; readmitting from quarantine; 补召
    SETTLE = "settle"  # trial and what-if runs
    PREPARE = "prepare"  # propose a step of the month, a substitution, a correction
    APPROVE = "approve"  # decide another person's proposal
    REVIEW_SUBMIT = "review_submit"  # 复核申请 of one's own plant
    REVIEW_ANSWER = "review_answer"
    REGULATE = "regulate"  # approve a filing with a document number, decide an appeal
    ADMINISTER = "administer"  # accounts, tokens of others, plant keys


ROLE_WORDS: Final[Mapping[str, Text]] = {
    Role.OPERATOR: tr("operator"),
    Role.APPROVER: tr("approver"),
    Role.AUDITOR: tr("auditor"),
    Role.REGULATOR: tr("regulator"),
    Role.PLANT: tr("plant"),
    Role.ADMINISTRATOR: tr("administrator"),
}
# A refusal also names the English code, as the manual and REST do.
PERMISSION_WORDS: Final[Mapping[str, Text]] = {
    permission: both(permission, chinese)
    for permission, chinese in {
        Permission.SEE_OWN: "查看本厂",
        Permission.SEE_ALL: "查看所有电厂",
        Permission.SEE_AUDIT: "查看审计日志",
        Permission.IMPORT: "导入",
        Permission.SETTLE: "结算",
        Permission.PREPARE: "提出",
        Permission.APPROVE: "批准",
        Permission.REVIEW_SUBMIT: "申请复核",
        Permission.REVIEW_ANSWER: "答复复核",
        Permission.REGULATE: "监管",
        Permission.ADMINISTER: "系统管理",
    }.items()
}

_SEES = {Permission.SEE_OWN, Permission.SEE_ALL}

PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        Role.OPERATOR: frozenset(
            {*_SEES, Permission.IMPORT, Permission.SETTLE, Permission.PREPARE, Permission.REVIEW_ANSWER}
        ),
        Role.APPROVER: frozenset({*_SEES, Permission.SEE_AUDIT, Permission.APPROVE}),
        Role.AUDITOR: frozenset({*_SEES, Permission.SEE_AUDIT}),
        Role.REGULATOR: frozenset({*_SEES, Permission.SEE_AUDIT, Permission.REGULATE}),
        Role.PLANT: frozenset({Permission.SEE_OWN, Permission.REVIEW_SUBMIT}),
        Role.ADMINISTRATOR: frozenset({*_SEES, Permission.SEE_AUDIT, Permission.ADMINISTER}),
    }
)


# The scopes of a token: parts of its account's rights.
SCOPES: Final[Mapping[str, frozenset[Permission]]] = MappingProxyType(
    {
        "read": frozenset({*_SEES, Permission.SEE_AUDIT}),
        "import": frozenset({Permission.IMPORT}),
        "settle": frozenset({Permission.SETTLE}),
        "prepare": frozenset({Permission.PREPARE}),
        "approve": frozenset({Permission.APPROVE}),
        "review": frozenset({Permission.REVIEW_SUBMIT, Permission.REVIEW_ANSWER}),
        "regulate": frozenset({Permission.REGULATE}),
        "administer": frozenset({Permission.ADMINISTER}),
    }
)


def scopes_of(role: Role) -> list[str]:
    """The scopes that contain a permission of the role."""
    return [name for name, permissions in SCOPES.items() if permissions & PERMISSIONS[role]]


@dataclass(frozen=True, slots=True)
class Actor:
    """The person or program that asks. `plant`: for the role plant only.

    `local`: at the command line, with the store's own rights; `name` is then only claimed, `login` is the operating
    system's user and machine, and `shared_login` says that several people use this login, so that it does not identify
    one of them. `scope`: of a token, which has no other rights of its account; None: a person. `second_factor`: the
    account has one.
    """

    name: str
    role: Role
    plant: str | None = None
    local: bool = False
    login: str = ""
    shared_login: bool = False
    scope: frozenset[Permission] | None = None
    second_factor: bool = False

    @classmethod
    def at_command_line(cls, name: str, login: str = "", *, shared_login: bool = False) -> Actor:
        """The actor of a command: a reader of the store's files may do everything except approve their own proposal."""
        return cls(name[:64], Role.ADMINISTRATOR, local=True, login=login, shared_login=shared_login)

    @property
    def permissions(self) -> frozenset[Permission]:
        """The permissions of the role, within the token's scope."""
        return PERMISSIONS[self.role] if self.scope is None else PERMISSIONS[self.role] & self.scope

    def may(self, permission: Permission) -> bool:
        """True if the actor has the permission."""
        return self.local or permission in self.permissions

    def require(self, permission: Permission) -> None:
        """Refuse where the role, or the token's scope, lacks the permission.

        Raises:
            Denied: the permission is missing.
        """
        if not self.may(permission) and permission in PERMISSIONS[self.role]:
            message = tr("this token's scope has no permission {permission}", permission=PERMISSION_WORDS[permission])
            raise Denied(message, subject=self.name)
        if not self.may(permission):
            raise Denied(
                tr(
                    "the role {role} has no permission {permission}",
                    role=ROLE_WORDS[self.role],
                    permission=PERMISSION_WORDS[permission],
                ),
                subject=self.name,
            )

    def may_see(self, plant: str) -> bool:
        """True if data of a plant may be shown to the actor."""
        return self.may(Permission.SEE_ALL) or (self.may(Permission.SEE_OWN) and self.plant == plant)

    def require_plant(self, plant: str) -> None:
        """Refuse another plant's data.

        Raises:
            Denied: it is another plant's.
        """
        if not self.may_see(plant):
            raise Denied(tr("this belongs to another plant"), subject=self.name)
