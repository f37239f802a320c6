# SPDX-License-Identifier: GPL-3.0-or-later
"""The images, built up step by step in a bare root: no container engine runs where these tests do.

Each instruction of a container file is carried out in its order: COPY and RUN in the root, then ENTRYPOINT and CMD as
USER. The root is of the release that the file names as its base.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from packages.container_files import instructions
from packages.roots import DEBS, ENVIRONMENT, Root, bare_root, loopback_alone
from tests.patience import wait_until

REPOSITORY: Final = Path(__file__).parents[1]
RELEASE: Final = "12"  # of Debian: the base of the container files


@pytest.fixture
def root() -> Iterator[Root]:
    with loopback_alone() as network, bare_root(network) as made:
        if made.release != RELEASE:
            pytest.skip(f"the container files are for Debian {RELEASE}")
        shutil.copy("/etc/resolv.conf", made.path("/etc/resolv.conf"))
        made.path("/etc/hosts").write_text("127.0.0.1 localhost\n")
        yield made


def built(root: Root, image: str, context: Path) -> tuple[str, list[str]]:
    """Carry the file out; the user and the command that the image starts."""
    user, program, words = "root", list[str](), list[str]()
    for word, rest in instructions(image):
        if word == "COPY":
            *sources, target = rest.split()
            for source in (found for each in sources for found in context.glob(each)):
                shutil.copy(source, root.path(target))
        elif word == "RUN":
            assert user == "root"
            Root(root.folder).run("/bin/sh", "-c", rest)  # by this machine's network
        elif word == "USER":
            user = rest
        elif word == "ENTRYPOINT":
            program = json.loads(rest)
        elif word == "CMD":
            words = json.loads(rest)
        else:
            assert word in ("ARG", "FROM", "VOLUME", "EXPOSE", "STOPSIGNAL")
    return user, [*program, *words]


@pytest.mark.parametrize("side", ["agent", "center"])
def test_an_image_of_ours_starts_as_its_user_and_writes_its_state(root: Root, side: str) -> None:
    user, command = built(root, side, DEBS)
    assert not list(root.path("/tmp").glob("*.deb"))
    assert not any(root.path("/var/lib/apt/lists").iterdir())
    config = root.path(f"/etc/collector/{side}.toml")
    config.write_text(config.read_text().replace('public_key_files = ["P1.pub"]', "public_key_files = []")
                      .replace("unsigned = false", "unsigned = true"))  # fmt: skip
    state = root.path("/var/lib/collector" if side == "agent" else "/var/lib/collector-center")
    with root.path("/tmp/started.log").open("wb") as log:
        process = subprocess.Popen(root.entered(command, user), stdout=log, stderr=log, env=ENVIRONMENT)
    try:
        wait_until(lambda: process.poll() is not None or any(state.iterdir()), "its state")
        assert process.poll() is None, root.path("/tmp/started.log").read_text()
    finally:
        process.terminate()
        process.wait()
    owner = int(root.run("id", "-u", user))
    assert {path.stat().st_uid for path in state.iterdir()} == {owner}


# The least that is a CONNECT of MQTT 3.1.1: protocol name, level 4, clean session, keep-alive 60 s, client id "x".
ASK = """import socket, ssl, sys
context = ssl.create_default_context(cafile="/etc/mosquitto/certs/ca.pem")
if "certificate" in sys.argv:
    context.load_cert_chain("/etc/mosquitto/certs/broker.pem", "/etc/mosquitto/certs/broker.key")
with context.wrap_socket(socket.create_connection(("localhost", 8883)), server_hostname="localhost") as link:
    link.sendall(b"\\x10\\x0d\\0\\4MQTT\\4\\2\\0\\x3c\\0\\1x")
    print("answered", link.recv(4).hex())
"""


def test_the_brokers_image_takes_nobody_without_a_certificate(root: Root) -> None:
    user, command = built(root, "mosquitto", REPOSITORY / "config/mosquitto")
    certificates = root.path("/etc/mosquitto/certs")
    certificates.mkdir(exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "broker.key",
         "-out", "broker.pem"], cwd=certificates, capture_output=True, check=True,
    )  # fmt: skip
    shutil.copy(certificates / "broker.pem", certificates / "ca.pem")
    for path in certificates.iterdir():
        path.chmod(0o644)
    with root.path("/tmp/started.log").open("wb") as log:
        process = subprocess.Popen(root.entered(command, user), stdout=log, stderr=log, env=ENVIRONMENT)

    def said(*words: str) -> str:
        assert process.poll() is None, root.path("/tmp/started.log").read_text()
        return root.run("python3", "-c", ASK, *words, good=False)

    try:
        wait_until(lambda: "ConnectionRefusedError" not in said(), "the broker's port", every_s=0.2)
        without, with_one = said(), said("certificate")
    finally:
        process.terminate()
        process.wait()
    assert "answered 20020000" not in without
    assert "answered 20020000" in with_one, with_one  # CONNACK, accepted
    assert "peer did not return a certificate" in root.path("/tmp/started.log").read_text()
