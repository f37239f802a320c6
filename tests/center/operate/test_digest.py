# SPDX-License-Identifier: GPL-3.0-or-later
"""The daily digest: by mail and by hook, over real sockets, once a day, and nothing where nothing waits."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from collector.base.errors import ConfigError
from collector.center.operate.inbox.digest import digest_once
from collector.center.settings import CenterSettings, Digest, DigestTo, load_center
from tests.center.made_month import add_run, on
from tests.center.web.web_world import World, world


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail as RFC 5321 has it, or refuses it where `refuses`."""

    allow_reuse_address = True
    refuses = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MailConversation)
        self.mails: list[bytes] = []


class MailConversation(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, MailServer)
        self._say("220 here")
        while line := self.rfile.readline():
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"DATA":
                self._say("354 go on")
                lines = list(iter(self.rfile.readline, b".\r\n"))
                server.mails.append(b"".join(lines))
                self._say("250 taken")
            elif verb == b"RCPT" and server.refuses:
                self._say("550 nobody here")
            elif verb == b"QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


class Hook(HTTPServer):
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HookCall)
        self.posts: list[dict[str, object]] = []


class HookCall(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Hook)
        self.server.posts.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:  # quiet
        pass


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        assert isinstance(server.server_address, tuple)
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """On the 12th of June 2026 at noon: a run that should have been disclosed on the 10th."""
    with world(tmp_path / "state") as made:
        made.clock.now_ms = on(5)
        add_run(made.store)
        made.clock.now_ms = on(12)
        yield made


def told(own: World, **digest: object) -> CenterSettings:
    people = [DigestTo(account="olga", address="olga@grid.example"), DigestTo(account="rita", address="r@a.example")]
    values = {
        "at": "07:30",
        "sender": "center@grid.example",
        "smtp_tls": "none",
        "smtp_host": "127.0.0.1",
        "to": people,
    }
    return own.settings.model_copy(update={"digest": Digest.model_validate(values | digest)})


def test_who_has_something_waiting_is_told_once_a_day_by_mail_and_hook(own: World) -> None:
    mail, hook = MailServer(), Hook()
    with served(mail) as port, served(hook) as hook_port:
        settings = told(own, smtp_port=port, webhook_url=f"http://127.0.0.1:{hook_port}/", url="https://grid.example/s")
        assert digest_once(own.store, settings) == 1
        assert digest_once(own.store, settings) == 0  # told already
        own.clock.now_ms = on(13, hour=7)  # 07:00 is before 07:30
        assert digest_once(own.store, settings) == 0
        own.clock.now_ms = on(13, hour=8)
        assert digest_once(own.store, settings) == 1
    assert len(mail.mails) == len(hook.posts) == 2
    message = message_from_bytes(mail.mails[0], policy=policy.default)
    assert (message["to"], message["from"]) == ("olga@grid.example", "center@grid.example")
    body = message.get_body()
    assert body is not None
    assert body.get_content().splitlines() == [
        "披露：2026-05", "期限 2026-06-10，已逾期 2 天", "https://grid.example/s/months/2026-05"
    ]  # fmt: skip
    assert message["date"].datetime.isoformat() == "2026-06-12T12:00:00+08:00"
    assert message["message-id"].endswith("@grid.example>")
    first = hook.posts[0]
    assert (first["account"], first["day"]) == ("olga", "2026-06-12")
    assert "disclose" in json.dumps(first["tasks"])


def test_a_mail_says_the_same_in_english(own: World) -> None:
    mail = MailServer()
    with served(mail) as port:
        assert digest_once(own.store, told(own, smtp_port=port, language="en")) == 1
    message = message_from_bytes(mail.mails[0], policy=policy.default)
    assert message["subject"] == "center: tasks that wait for olga: 1"
    body = message.get_body()
    assert body is not None
    assert body.get_content().splitlines() == ["Disclose: 2026-05", "due 2026-06-10, 2 days late"]


def test_a_mail_server_that_refuses_is_asked_again_and_nobody_else_twice(own: World) -> None:
    mail = MailServer()
    mail.refuses = True
    with served(mail) as port:
        settings = told(own, smtp_port=port)
        with pytest.raises(OSError, match="nobody here"):
            digest_once(own.store, settings)
        mail.refuses = False
        assert digest_once(own.store, settings) == 1
    assert len(mail.mails) == 1


def test_addresses_without_a_mail_server_are_refused_with_the_key(tmp_path: Path) -> None:
    file = tmp_path / "center.toml"
    plant = '[[plant]]\nid = "P1"\nunits = ["U1"]\nunsigned = true\n'
    file.write_text(f'schema = 1\n[digest]\n[[digest.to]]\naccount = "li"\naddress = "a@b.c"\n{plant}', "utf-8")
    with pytest.raises(ConfigError, match=r"digest\.smtp_host"):
        load_center(file)
