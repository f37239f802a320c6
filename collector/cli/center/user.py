# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector center user …` and `center token …`: accounts for the pages. The first administrator is made here.

Passwords come from a prompt or a file, never from the arguments, which every user of the machine can read.
"""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.base.text import join, tr
from collector.cli.center.screen import actor_of
from collector.cli.center.store import ConfigOption, JsonOption, StateOption, open_store
from collector.cli.language import print_text, say
from collector.cli.verbs import VerbGroup

if TYPE_CHECKING:
    from collector.center.people.access import Actor, Role

users = typer.Typer(cls=VerbGroup, no_args_is_help=True, help="Accounts of the pages. 用户。")
tokens = typer.Typer(cls=VerbGroup, no_args_is_help=True, help="Tokens of the REST interface. 访问令牌。")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The account.")]
PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", metavar="FILE", help="Its first line; default: a prompt.")
]


def register(app: typer.Typer) -> None:
    """Add the groups."""
    app.add_typer(users, name="user")
    app.add_typer(tokens, name="token")


@users.command("add")
def add_user(
    name: NameArgument,
    role: Annotated[
        str,
        typer.Option("--role", metavar="ROLE", help="operator, approver, auditor, regulator, plant, administrator"),
    ],
    full_name: Annotated[str, typer.Option("--full-name", metavar="TEXT", help="As people know them.")] = "",
    plant: Annotated[str, typer.Option("--plant", metavar="PLANT", help="Of the role plant only.")] = "",
    password_file: PasswordFile = None,
    config: ConfigOption = None,
    state: StateOption = "",
) -> None:
    """Make an account; the first administrator begins here. 新建用户。"""
    from collector.center.people.accounts import create_account
    from collector.center.people.passwords import hash_password

    chosen = _role(role, "--role")
    hashed = hash_password(_password(password_file))
    with open_store(config, state, create=True) as store:
        now_ms = store.clock.now_utc_ms()
        store.write(
            lambda c: create_account(
                c, actor=_me(), name=name, full_name=full_name or name, role=chosen, plant=plant or None,
                password_hash=hashed, now_ms=now_ms,
            )
        ).result()  # fmt: skip
    print_text(
        "{name}: {role}{of_plant}", name=name, role=chosen, of_plant=tr(" of {name}", name=plant) if plant else ""
    )


@users.command("list")
def list_users(config: ConfigOption = None, state: StateOption = "", as_json: JsonOption = False) -> None:
    """Every account, closed ones too. 用户清单。"""
    from collector.center.people.accounts import list_accounts
    from collector.model.interval import format_time

    with open_store(config, state) as store:
        rows = store.read(list_accounts)
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        closed = tr(", closed {time}", time=format_time(row["disabled_ms"])) if row["disabled_ms"] else ""
        plant = tr(" of {name}", name=row["plant"]) if row["plant"] else ""
        factor = tr(", second factor") if row["second_factor"] else ""
        print(say(join("", (f"{row['name']}  {row['role']}", plant, f"  {row['full_name']}", factor, closed))))


@users.command("password")
def set_user_password(
    name: NameArgument, password_file: PasswordFile = None, config: ConfigOption = None, state: StateOption = ""
) -> None:
    """Give an account a new password; its sessions end, its tokens are revoked. 重设密码。"""
    from collector.center.people.accounts import set_password
    from collector.center.people.passwords import hash_password

    hashed = hash_password(_password(password_file))
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        store.write(lambda c: set_password(c, actor=_me(), name=name, password_hash=hashed, now_ms=now_ms)).result()
    print_text("{name}: password changed; sessions ended, tokens revoked", name=name)


@users.command("role")
def set_user_role(
    name: NameArgument,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="As with `add`.")],
    plant: Annotated[str, typer.Option("--plant", metavar="PLANT", help="Of the role plant only.")] = "",
    config: ConfigOption = None,
    state: StateOption = "",
) -> None:
    """Give an account another role; its sessions end, its tokens are revoked. 变更角色。"""
    from collector.center.people.accounts import set_role

    chosen = _role(role, "ROLE")
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        store.write(
            lambda c: set_role(c, actor=_me(), name=name, role=chosen, plant=plant or None, now_ms=now_ms)
        ).result()
    print_text(
        "{name}: {chosen}{of_plant}; sessions ended, tokens revoked",
        name=name,
        chosen=chosen,
        of_plant=tr(" of {name}", name=plant) if plant else "",
    )


@users.command("reset-factor")
def reset_factor(name: NameArgument, config: ConfigOption = None, state: StateOption = "") -> None:
    """Remove an account's second factor; its sessions end, its tokens are revoked. 解除双因素。"""
    from collector.center.people.second_factor import remove

    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        store.write(lambda c: remove(c, actor=_me(), name=name, now_ms=now_ms)).result()
    print_text("{name}: second factor removed; sessions ended, tokens revoked", name=name)


@users.command("disable")
def disable_user(name: NameArgument, config: ConfigOption = None, state: StateOption = "") -> None:
    """Close an account: its sessions end, its tokens are revoked. 停用用户。"""
    from collector.center.people.accounts import disable_account

    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        store.write(lambda c: disable_account(c, actor=_me(), name=name, now_ms=now_ms)).result()
    print_text("{name}: closed", name=name)


@tokens.command("add")
def add_token(
    name: NameArgument,
    purpose: Annotated[str, typer.Argument(metavar="PURPOSE", help="What it is for.")],
    days: Annotated[int, typer.Option("--days", min=1, max=400, help="How long it lives.")] = 90,
    scope: Annotated[
        str,
        typer.Option(
            "--scope", metavar="NAMES", help="read,import,settle,prepare,approve,review,regulate,administer: some."
        ),
    ] = "read",
    config: ConfigOption = None,
    state: StateOption = "",
) -> None:
    """Make a token for an account; its secret is printed this once. 建立令牌。"""
    from collector.center.people.tokens import create_token

    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        secret = store.write(
            lambda c: create_token(
                c, actor=_me(), account_name=name, name=purpose, scope=scope.split(","), days=days, now_ms=now_ms
            )
        ).result()
    print(secret)


@tokens.command("list")
def list_all_tokens(config: ConfigOption = None, state: StateOption = "", as_json: JsonOption = False) -> None:
    """Every token, without its secret. 令牌清单。"""
    from collector.center.people.tokens import list_tokens
    from collector.model.interval import format_time

    with open_store(config, state) as store:
        rows = store.read(list_tokens)
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        revoked = tr(", revoked {time}", time=format_time(row["revoked_ms"])) if row["revoked_ms"] else ""
        until = tr("until {time}", time=format_time(row["expires_ms"]))
        what = f"{row['id']}  {row['account']}  {row['name']}, {row['scope'].replace(' ', ',')}, "
        print(say(join("", (what, until, revoked))))


@tokens.command("revoke")
def revoke_one(
    number: Annotated[int, typer.Argument(metavar="TOKEN", help="Its number, as `list` shows it.")],
    config: ConfigOption = None,
    state: StateOption = "",
) -> None:
    """Revoke a token. 吊销令牌。"""
    from collector.center.people.tokens import revoke_token

    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        store.write(lambda c: revoke_token(c, number, actor=_me(), now_ms=now_ms)).result()
    print_text("token {number}: revoked", number=number)


def _role(text: str, hint: str) -> Role:
    from collector.center.people.access import Role

    try:
        return Role(text)
    except ValueError as error:
        raise typer.BadParameter(say(tr("expected one of {roles}", roles=", ".join(Role))), param_hint=hint) from error


def _me() -> Actor:
    return actor_of("")


def _password(file: Path | None) -> str:
    """A password from a file's first line, or typed twice."""
    if file is not None:
        try:
            return file.read_text("utf-8").split("\n", 1)[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(
                say(tr("can't be read: {error}", error=error)), param_hint="--password-file"
            ) from error
    if not sys.stdin.isatty():
        raise typer.BadParameter(say(tr("no terminal to ask at: use --password-file")), param_hint="--password-file")
    first = getpass.getpass("password: ")
    if first != getpass.getpass("once more: "):
        raise typer.BadParameter(say(tr("the two entries differ")))
    return first
