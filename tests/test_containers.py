# SPDX-License-Identifier: GPL-3.0-or-later
"""The container files say the same as the units: program, signal, time to stop; what they copy and mount is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from packages.container_files import CONTAINERS, instructions

ROOT: Final = Path(__file__).parents[1]
IMAGES: Final = ("agent", "center", "mosquitto")
SIDES: Final = ("agent", "center")
# Instructions of the Dockerfile reference that these files may use; another one is a decision, not a slip.
INSTRUCTIONS: Final = frozenset(
    {"ARG", "FROM", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
)


def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((CONTAINERS / "compose.yaml").read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def of_unit(side: str, key: str) -> str:
    text = (ROOT / "systemd" / f"collector-{side}.service").read_text("utf-8")
    (value,) = re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)
    return str(value)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_made_of_known_instructions_and_runs_as_nobody_of_rank(image: str) -> None:
    found = instructions(image)
    assert {word for word, _ in found} <= INSTRUCTIONS
    assert [word for word, _ in found][:2] == ["ARG", "FROM"]
    users = [rest for word, rest in found if word == "USER"]
    assert users == ["mosquitto" if image == "mosquitto" else "collector"]
    runs = " ".join(rest for word, rest in found if word == "RUN")
    assert "--no-install-recommends" in runs
    assert "rm -rf" in runs


@pytest.mark.parametrize("side", SIDES)
def test_an_image_starts_what_the_unit_starts(side: str) -> None:
    found = dict(instructions(side))
    words = re.findall(r'"([^"]*)"', found["ENTRYPOINT"] + found["CMD"])
    assert " ".join(words) == of_unit(side, "ExecStart").replace("/opt/collector/", f"/opt/collector-{side}/")
    assert found["STOPSIGNAL"] == "SIGTERM"
    assert compose()["services"][side]["stop_grace_period"] == f"{of_unit(side, 'TimeoutStopSec')}s"


def test_the_compose_file_builds_from_files_that_are_there() -> None:
    file = compose()
    assert file["services"].keys() == set(IMAGES)
    for name, service in file["services"].items():
        context = (CONTAINERS / service["build"]["context"]).resolve()
        assert context in (ROOT / "dist", ROOT / "config" / "mosquitto")  # dist is what `make deb` makes
        assert (context / service["build"]["dockerfile"]).resolve() == CONTAINERS / f"{name}.Containerfile"
        named = {text.partition(":")[0] for text in service["volumes"]} - {"${ETC", "${CERTS"}
        assert named <= file["volumes"].keys()
    for name, rest in instructions("mosquitto"):
        if name == "COPY":
            assert (ROOT / "config" / "mosquitto" / rest.split()[0]).is_file()


@pytest.mark.parametrize("side", SIDES)
def test_a_container_of_ours_writes_its_state_only(side: str) -> None:
    service = compose()["services"][side]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    state = f"/var/lib/{of_unit(side, 'StateDirectory')}"
    assert sorted(text.split(":", 1)[1] for text in service["volumes"] if "/etc/" not in text) == [state]
    assert all(text.endswith(":ro") for text in service["volumes"] if "/etc/" in text)
    assert (("VOLUME", state)) in instructions(side)
