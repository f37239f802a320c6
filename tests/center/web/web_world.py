# SPDX-License-Identifier: GPL-3.0-or-later
"""A center's pages in this process: a store of its own, one account per role, browsers without a screen."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from litestar import Litestar
from litestar.testing import TestClient

from collector.center.db.store import CenterStore
from collector.center.lake.seal import enrol
from collector.center.people import accounts, sessions, tokens
from collector.center.people.access import Actor, Role, scopes_of
from collector.center.people.passwords import hash_password
from collector.center.people.second_factor import STEP_MS, one_time_code
from collector.center.runs.stored_run import open_run
from collector.center.settings import CenterSettings, PlantSettings, Web
from collector.center.web.app import GROUPS, build_app, state_of
from collector.center.web.guards import Needs
from collector.center.web.routes import API, needs_of
from collector.center.web.session import SESSION_COOKIE, csrf_of
from tests.center.center_batches import FixedClock

PASSWORD = "correct horse battery"
# The plant of `PEOPLE` with its unit, named.
REGISTER = """[[area]]
id = "jiangsu"
dispatch_mode = "annual_plan"
valley_hours = []
peak_hours = []
[[plant]]
id = "P1"
name = "演示燃煤电厂"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
[[unit]]
id = "U2"
plant = "P1"
kind = "coal"
rated_mw = "660"
"""
# name -> role, plant
PEOPLE = {
    "olga": (Role.OPERATOR, None),
    "anna": (Role.APPROVER, None),
    "aldo": (Role.AUDITOR, None),
    "rita": (Role.REGULATOR, None),
    "paul": (Role.PLANT, "P1"),
    "petra": (Role.PLANT, "P0"),
    "admin": (Role.ADMINISTRATOR, None),
}


def settings_of(directory: Path, listen: str = "127.0.0.1:8080", **web: Any) -> CenterSettings:
    """center.toml of two trial plants."""
    base = CenterSettings(
        schema=1,
        plant=[
            PlantSettings(id="P0", units=["U0", "U1"], unsigned=True),
            PlantSettings(id="P1", units=["U2"], unsigned=True),
        ],
    )
    center = base.center.model_copy(update={"state_dir": str(directory), "listen": listen})
    # Nobody listens there: a test that reaches for a broker is told so at once.
    mqtt = base.mqtt.model_copy(update={"port": 1})
    return base.model_copy(update={"center": center, "mqtt": mqtt, "web": Web.model_validate(web)})


@dataclass
class World:
    """An application over a store, and its people."""

    store: CenterStore
    app: Litestar
    clock: FixedClock
    settings: CenterSettings
    sessions: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    run_id: int = 0

    def session_of(self, name: str) -> str:
        """The secret of a running session."""
        if name not in self.sessions:
            secret = sessions.log_in(self.store, name, PASSWORD, address="127.0.0.1")
            assert secret is not None
            self.sessions[name] = secret
        return self.sessions[name]

    def csrf_of(self, name: str) -> str:
        """What a form of this person's browser carries."""
        return csrf_of(self.session_of(name))

    def token_of(self, name: str) -> dict[str, str]:
        """The header of a program that acts for somebody."""
        if name not in self.tokens:
            actor, now_ms = self.actor(name), self.clock.now_ms
            self.tokens[name] = self.store.write(
                lambda c: tokens.create_token(
                    c, actor=actor, account_name=name, name="test", scope=scopes_of(actor.role), days=1, now_ms=now_ms
                )
            ).result()
        return {"authorization": f"Bearer {self.tokens[name]}"}

    def actor(self, name: str) -> Actor:
        """Somebody as the center's functions know them."""
        role, plant = PEOPLE[name]
        return Actor(name, role, plant)

    @contextmanager
    def browser(self, name: str = "", language: str = "") -> Iterator[TestClient[Litestar]]:
        """A browser in which somebody is logged in, or nobody."""
        with TestClient(self.app, base_url="http://center.test") as client:
            client.follow_redirects = False
            if name:
                client.cookies.set(SESSION_COOKIE, self.session_of(name))
            if language:
                client.cookies.set("collector_language", language)
            yield client


# Idle applications, by what is built into one.
_idle: dict[str, list[Litestar]] = {}


@contextmanager
def app_of(store: CenterStore, settings: CenterSettings) -> Iterator[Litestar]:
    """An application over a store; one that an earlier test is done with, over a new state, where one is as wanted.

    To build one takes as long as a hundred requests.
    """
    idle = _idle.setdefault(f"{settings.web!r} {settings.center.parts!r}", [])
    app = idle.pop() if idle else build_app(store, settings)
    app.state = state_of(store, settings)
    yield app
    idle.append(app)


@contextmanager
def world(directory: Path, **web: Any) -> Iterator[World]:
    """A store with everybody in it."""
    with world_over(directory, FixedClock(), **web) as made:
        plants = {plant.id: (plant.units, plant.gateways) for plant in made.settings.plant}
        made.store.write(lambda c: enrol(c, plants)).result()
        local, now_ms = Actor.at_command_line("test"), made.clock.now_ms
        for name, (role, plant) in PEOPLE.items():
            made.store.write(
                lambda c, name=name, role=role, plant=plant: accounts.create_account(  # type: ignore[misc]
                    c, actor=local, name=name, full_name=name.title(), role=role, plant=plant,
                    password_hash=hash_password(PASSWORD), now_ms=now_ms,
                )
            ).result()  # fmt: skip
        yield made


@contextmanager
def world_over(directory: Path, clock: FixedClock, **web: Any) -> Iterator[World]:
    """An application over a store as it is there, or over an empty one."""
    settings = settings_of(directory, **web)
    with CenterStore.open(directory, clock=clock) as store, app_of(store, settings) as app:
        yield World(store, app, clock, settings)


def code_of(own: World, key: str, steps: int = 0) -> str:
    """What an authenticator with this key shows now, or some steps of 30 s later."""
    return one_time_code(base64.b32decode(key), own.clock.now_ms // STEP_MS + steps)


def csrf_in(html: str) -> str:
    """The CSRF token of the first form of a page."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', html)
    assert found, html
    return found[1]


# What stands for a parameter of a path; a number nothing has, so that nothing is done by walking by.
SAMPLES = {"month": "2026-03", "plant": "P1", "unit": "U2", "service": "agc_basic", "day": "2026-03-10", "kind": "plan"}


@dataclass(frozen=True)
class Route:
    """A path with one method, its parameters filled in."""

    method: str
    path: str
    needs: Needs | None
    parameters: frozenset[str]
    options: frozenset[str] = frozenset()

    @property
    def api(self) -> bool:
        return self.path.startswith(API)


def routes_of(app: Litestar) -> Iterator[Route]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            for method in set(handler.http_methods) - {"OPTIONS"}:
                path = re.sub(r"\{(\w+)(?::(\w+))?\}", _sample, route.path)
                names = frozenset(re.findall(r"\{(\w+)", route.path))
                options = frozenset(name for name, given in handler.opt.items() if given is True)
                yield Route(str(method), path, needs_of(handler), names, options)


def unseen_pages(shown: Iterable[str]) -> set[str]:
    """The paths of pages, as routes name them, that no address in `shown` is of."""
    patterns = {
        path: re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path))
        for group in GROUPS
        for route in group.ROUTES
        if "GET" in route.http_methods
        for path in route.paths
        if not path.startswith(API)
    }
    seen = {address.partition("?")[0] for address in shown}
    return {path for path, pattern in patterns.items() if not any(map(pattern.fullmatch, seen))}


def _sample(found: re.Match[str]) -> str:
    return SAMPLES.get(found[1], "999999" if found[2] == "int" else "nothing")


JUNE = "/months/2026-06"
# Pages that are of no month.
OTHER_PAGES = (
    "/tasks", "/books", "/books?plant=P1", "/imports", "/asks", "/substitutions", "/alarms", "/findings", "/plants",
    "/quarantine", "/users", "/account", "/decisions", "/audit", "/style", "/login",
)  # fmt: skip


def pages_of_month(world: World) -> list[str]:
    """Every page of June, with what its store holds."""
    run = f"{JUNE}/runs/{world.run_id}"
    line = open_run(world.store, world.run_id).lines[0]
    start = open_run(world.store, world.run_id).month.interval.start_ms
    return [
        JUNE,
        f"{JUNE}/rulebook",
        f"{JUNE}/completeness",
        f"{JUNE}/completeness/2026-06-03",
        f"{JUNE}/completeness/2026-06-03/{line.plant}/{line.unit}",
        f"{JUNE}/reviews",
        f"{JUNE}/reviews?all=true",
        f"{JUNE}/questions",
        run,
        f"{run}/lines",
        f"{run}/lines?status=blocked",
        f"{run}/lines/{line.unit}/{line.service}",
        f"{run}/lines/{line.unit}/{line.service}?day=2026-06-03",
        f"{run}/days/{line.unit}/2026-06-03",
        f"{run}/units/{line.unit}",
        f"{JUNE}/beside",
        f"{JUNE}/beside?unit={line.unit}",
        f"{run}/records/{line.unit}?from={start}&to={start + 3_600_000}",
        f"{run}/files/lines.csv",
        f"{JUNE}/compare?a={world.run_id}&b={world.run_id}",
        f"{JUNE}/what-if",
        f"{JUNE}/running",
        f"{JUNE}/reviews/new?run={world.run_id}&unit={line.unit}&service={line.service}&day=2026-06-03",
        *(f"{run}/evidence/{name}" for name in ("findings", "deep_peak", "agc_quarter_hours", "left_on_table")),
    ]
