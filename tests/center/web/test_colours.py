# SPDX-License-Identifier: GPL-3.0-or-later
"""What is drawn in one picture is told apart by every eye: colours of the style sheet, light and dark, as seen without
one kind of cones (Machado, Oliveira and Fernandes 2009, full severity), by their distance in CIELAB."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest

from collector.center.web.render import STATIC

Vector = np.ndarray[Any, Any]

EYES = {
    "all cones": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TOGETHER = {
    "curves": ("power", "plan", "setpoint", "original", "substitute"),
    "limits": tuple(f"limit-{n}" for n in range(5)),
    "months": tuple(f"month-{n}" for n in range(6)),
    "classes": ("counted", "unpaid", "missing", "excluded", "own-fault", "outside"),
}
LEAST = 12.0  # of the smallest difference that is seen at all, about 2.3, five times over
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])


def palettes() -> dict[str, dict[str, str]]:
    """Colours by name, light, and dark over it."""
    css = (STATIC / "center.css").read_text("utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    )
    return {"light": light, "dark": light | dark}


def linear(colour: str) -> Vector:
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: Vector) -> Vector:
    t = _XYZ @ np.clip(rgb, 0, 1) / _WHITE
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("group", TOGETHER)
def test_colours_of_one_picture_are_told_apart(scheme: str, eye: str, group: str) -> None:
    colours = palettes()[scheme]
    seen = {name: lab(EYES[eye] @ linear(colours[name])) for name in TOGETHER[group]}
    near = {
        (a, b): round(float(np.linalg.norm(seen[a] - seen[b])), 1)
        for a, b in itertools.combinations(seen, 2)
        if np.linalg.norm(seen[a] - seen[b]) < LEAST
    }
    assert near == {}


def test_the_measure_itself_finds_red_and_green_alike_for_who_has_no_cones_for_green() -> None:
    red, green = linear("#d40000"), linear("#7a6a00")
    assert np.linalg.norm(lab(red) - lab(green)) > 60
    eye = EYES["deuteranopia"]
    assert np.linalg.norm(lab(eye @ red) - lab(eye @ green)) < LEAST * 2
