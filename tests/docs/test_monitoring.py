# SPDX-License-Identifier: GPL-3.0-or-later
"""config/monitoring asks only for metrics that the agent and the center give, by labels that they have."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.agent.operate import metrics as of_agent
from collector.center.operate import metrics as of_center
from collector.center.receive.receiver import Counters

MONITORING = Path(__file__).parents[2] / "config" / "monitoring"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARDS = sorted(MONITORING.glob("*.json"))


def families(module: object, prefix: str) -> set[str]:
    """The names of the series of a module's metrics."""
    tree = ast.parse(Path(str(getattr(module, "__file__", ""))).read_text("utf-8"))
    names = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Name) and call.func.id in ("_gauge", "_counter"):
            name = ast.literal_eval(call.args[0])
            names.add(f"{prefix}{name}{'_total' if call.func.id == '_counter' else ''}")
    return names


KNOWN = (
    families(of_agent, "collector_")
    | families(of_center, "collector_center_")
    | {f"collector_center_{field.name}_total" for field in fields(Counters)}
)


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"\bcollector_\w+", expression.replace("collector-", "")))


def test_there_are_metrics_to_hold_the_names_against() -> None:
    assert len(KNOWN) > 50
    assert {"collector_device_up", "collector_ticks_missed_total", "collector_center_alarms"} <= KNOWN


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_exists_and_says_it_in_both_languages(rule: dict[str, Any]) -> None:
    assert names_in(rule["expr"]) <= KNOWN
    assert names_in(rule["expr"]) or rule["expr"].startswith("up{")
    chinese, _, english = rule["annotations"]["summary"].rpartition(" / ")
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert english.isascii()
    assert rule["labels"]["severity"] in ("warning", "critical")


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_for_what_exists(path: Path) -> None:
    board = json.loads(path.read_text("utf-8"))
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert expressions
    for expression in [*expressions, *(v["query"] for v in board["templating"]["list"])]:
        assert names_in(expression) <= KNOWN
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(" / " in panel["title"] for panel in board["panels"])


def test_every_alarm_of_the_agents_doctor_that_has_a_metric_is_watched() -> None:
    asked = set().union(*(names_in(rule["expr"]) for rule in RULES))
    assert {
        "collector_device_up", "collector_uplink_broker_refuses", "collector_uplink_unrecognised", "collector_store_ok",
        "collector_buffer_unsent_ratio", "collector_buffer_evicted_records_total", "collector_ticks_missed_total",
        "collector_center_alarms", "collector_center_missing_sequences",
    } <= asked  # fmt: skip
