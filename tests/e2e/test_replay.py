# SPDX-License-Identifier: GPL-3.0-or-later
"""Two real units, recorded, from Modbus to the AGC lines; what is expected comes straight from the recording's rows."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from collector.base.resources import config_path
from collector.center.lake.seal import seal_month
from collector.cli.demo.run import pending_batches
from collector.cli.settle.command import RULEBOOK, settle_folder
from collector.model.interval import Month, parse_time_ms
from collector.trial.processes import Processes, SimulatorControl, wait_for_port
from simulators.plant.scenario import free_ports
from simulators.run.replay import load_recording, write_agent
from tests.patience import HANG_S, wait_until
from tests.size import sized

pytestmark = pytest.mark.e2e

RECORDING = Path(__file__).parents[3] / "shared" / "data" / "nem-202603.csv"
COLUMNS = "active_power_mw=p_mw,agc_in_service=agc_on"
ROW_MS = 300_000  # the recording's interval
MONTH = Month(2026, 3)
# Rated power as registered, AGC limits as this test registers them; MW.
UNITS = {"AGLHAL": ("gas", "217", "50", "217"), "HDWF2": ("wind", "102.4", "0", "102.4")}

needs_recording = pytest.mark.skipif(
    not RECORDING.exists(),
    reason="the recording of real units is not beside this checkout (../shared/data/nem-202603.csv): it is not shipped",
)


@pytest.fixture(scope="module")
def statement(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The statement folder after the recording went through simulators, agent, broker and center."""
    out = tmp_path_factory.mktemp("replay")
    broker_port, control_port = free_ports(2)
    recording = load_recording(RECORDING, COLUMNS)
    # No back-off: it runs in real time, and a day of simulated time passes in less than a second of it.
    agent_file = write_agent(out / "config", recording, record_period_s=ROW_MS // 1000, mqtt_port=broker_port)
    settings = agent_file.read_text("utf-8").replace("timeout_s = 1.0\n", "timeout_s = 1.0\nbackoff_max_s = 0.0\n")
    agent_file.write_text(settings + "\n[buffer]\nbatch_max_age_s = 86400\nseal_on_change = false\n", "utf-8")
    center_file = out / "config" / "center.toml"
    units = ", ".join(f'"{unit}"' for unit in UNITS)
    center_file.write_text(
        f'schema = 1\n[center]\nstate_dir = "../center"\n[mqtt]\nport = {broker_port}\n'
        "[receiver]\nmax_age_days = 36500\nmax_future_s = 3e9\n"
        f'[[plant]]\nid = "replay"\nunits = [{units}]\nunsigned = true\n',
        "utf-8",
    )
    with Processes(out / "logs", stop_timeout_s=HANG_S) as processes:

        def reach(reached: Callable[[], bool], what: str, progress: Callable[[], object]) -> None:
            def looked() -> bool:
                processes.check()
                return reached()

            wait_until(looked, what, progress=progress, every_s=0.1)

        processes.start("broker", "collector.trial.broker", "--listen", f"127.0.0.1:{broker_port}")
        wait_for_port(broker_port, processes=processes, timeout_s=HANG_S)
        processes.start("center", "collector.cli.main", "center", "run", str(center_file))
        replay = ("--replay", str(RECORDING), "--columns", COLUMNS, "--control", f"127.0.0.1:{control_port}")
        processes.start("simulators", "collector.cli.main", "simulate", str(agent_file), *replay)
        wait_for_port(control_port, processes=processes, timeout_s=HANG_S)
        processes.start("agent", "collector.cli.main", "agent", "run", str(agent_file))
        control = SimulatorControl(control_port)
        try:
            reach(lambda: _ended(control), "the end of the recording", lambda: control.ask("status")["now_utc_ms"])
        finally:
            control.close()
        state = out / "config" / "state"
        reach(lambda: pending_batches(state) == 0, "every batch acknowledged", lambda: pending_batches(state))
        processes.stop("agent")
        processes.stop("center")
    _write_folder(out)
    settle_folder(MONTH, out / "data", out / "statement", config_path(RULEBOOK))
    yield out / "statement"
    shutil.rmtree(out)


def _ended(control: SimulatorControl) -> bool:
    status = control.ask("status")
    return bool(status["now_utc_ms"] >= status["end_utc_ms"])


def _write_folder(out: Path) -> None:
    data = out / "data"
    (data / "records").mkdir(parents=True)
    for month in (Month(2026, 2), MONTH):
        for day_file in seal_month(out / "center", month):
            shutil.copyfile(day_file, data / "records" / day_file.name)
    register = """
[policy]
hold_limit_s = 300
min_coverage = "0.1"
[[area]]
id = "jiangsu"
name = "江苏"
dispatch_mode = "energy_saving"
valley_hours = ["00:00-08:00"]
peak_hours = ["08:00-11:00"]
[[plant]]
id = "replay"
name = "replay"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
"""
    for unit, (kind, rated_mw, lower_mw, upper_mw) in UNITS.items():
        register += f'[[unit]]\nid = "{unit}"\nplant = "replay"\nkind = "{kind}"\nrated_mw = "{rated_mw}"\n'
        register += f'agc_lower_mw = "{lower_mw}"\nagc_upper_mw = "{upper_mw}"\n'
    (data / "register.toml").write_text(register, "utf-8")
    (data / "revenue.csv").write_text("plant,month,kind,amount_yuan\nreplay,2026-03,energy,1000000.00\n", "utf-8")
    with (data / "plan.csv").open("w", encoding="utf-8", newline="") as file:
        plan = csv.writer(file)
        plan.writerow(("unit", "start", "end", "power_mw"))
        for row in _recording_rows():
            start_ms = parse_time_ms(row["time"])
            plan.writerow((row["unit"], start_ms, start_ms + ROW_MS, row["plan_mw"]))


def _recording_rows() -> list[dict[str, str]]:
    with RECORDING.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _kw(text: str) -> int:
    return int((Decimal(text) * 1000).to_integral_value(rounding=ROUND_HALF_UP))


def expected(unit: str) -> dict[str, Fraction]:
    """In-service MW, MWh up and down, and coverage, by a plain walk over the rows that lie in the local month.

    Art. 14(2), (3); rules.md section 2: on grid without a breaker is abs(P) above 0.5 % of P_N; energy is netted over
    local quarter hours.
    """
    month = MONTH.interval
    _, rated_mw, lower_mw, upper_mw = UNITS[unit]
    on_limit_kw = int((Decimal(rated_mw) * 5).to_integral_value(rounding=ROUND_HALF_UP))
    known_ms = on_ms = agc_ms = 0
    quarters: dict[int, int] = defaultdict(int)
    for row in _recording_rows():
        time_ms = parse_time_ms(row["time"])
        if row["unit"] != unit or not month.start_ms <= time_ms < month.end_ms:
            continue
        known_ms += ROW_MS
        if abs(_kw(row["p_mw"])) > on_limit_kw:
            on_ms += ROW_MS
            if row["agc_on"] == "1":
                agc_ms += ROW_MS
                quarters[time_ms // 900_000] += (_kw(row["p_mw"]) - _kw(row["plan_mw"])) * ROW_MS
    span_kw = _kw(upper_mw) - _kw(lower_mw)
    mwh = 1000 * 3_600_000
    return {
        "coverage": Fraction(known_ms, month.end_ms - month.start_ms),
        "agc_basic": Fraction(span_kw * agc_ms, 1000 * on_ms),
        "agc_up": Fraction(sum(q for q in quarters.values() if q > 0), mwh),
        "agc_down": Fraction(-sum(q for q in quarters.values() if q < 0), mwh),
    }


PRICES = {"agc_basic": 240, "agc_up": 10, "agc_down": 50}  # yuan, Art. 14(2), (3), energy-saving dispatch


@needs_recording
@pytest.mark.parametrize("unit", sorted(UNITS)[: sized(1, len(UNITS))])
def test_the_agc_lines_of_a_real_unit_are_what_its_recording_says(statement: Path, unit: str) -> None:
    with (statement / "lines.csv").open(encoding="utf-8", newline="") as file:
        lines = {line["service"]: line for line in csv.DictReader(file) if line["unit"] == unit}
    truth = expected(unit)
    assert Fraction(1, 10) < truth["coverage"] < Fraction(1, 5)  # five days of thirty-one
    for service, price in PRICES.items():
        line = lines[service]
        amount = (truth[service] * price * 100 + Fraction(1, 2)).__floor__()
        assert Decimal(line["amount_yuan"]) * 100 == amount, service
        assert Decimal(line["quantity"]) == _six(truth[service]), service
        assert Decimal(line["coverage"]) == _six(truth["coverage"]), service
        assert line["status"] == ("paid" if amount else "zero")


def _six(value: Fraction) -> Decimal:
    return Decimal((value * 10**6 + Fraction(1, 2)).__floor__()).scaleb(-6)


@needs_recording
def test_the_recording_reaches_into_february_and_ends_before_march_does() -> None:
    times = [parse_time_ms(row["time"]) for row in _recording_rows() if row["unit"] == "HDWF2"]
    assert sum(t < MONTH.interval.start_ms for t in times) == 24  # two hours of five minutes
    assert MONTH.interval.end_ms - (max(times) + ROW_MS) == 2 * 3_600_000
