# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulation of generating units, advanced by ticks and switches; its seed fixes the true values.

Powers are integers in kW, voltages in V, frequency in µHz, energy in kW·ms. Values change only at instants, so a plain
sum over instants is exact. P follows plan or AGC set-point with the unit's ramp at each tick (sequence.py) and falls to
0 at the instant the breaker opens; Q and U come from the voltage loop (excitation.py) on the unit's bus (grid.py); the
meter's register is the integral of the power sent out.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final

from simulators.plant.books import Books
from simulators.plant.excitation import Excitation
from simulators.plant.grid import Bus, GridFrequency
from simulators.plant.moment import Moment
from simulators.plant.scenario import Scenario
from simulators.plant.scenario_model import Unit
from simulators.plant.schedule import MINUTE_MS, Schedule, Switch, make_schedule
from simulators.plant.sequence import Sequence as Stages
from simulators.plant.sequence import unloading_ms
from simulators.plant.signals import Board

_WH_DIVISOR: Final = 3_600_000 // 1000  # kW·ms in a Wh
_REGULATION_MIN: Final = 15.0  # decay time of AGC's random request, minutes


class GeneratingUnit:
    """One unit: its present state, its steps, and its signals."""

    def __init__(self, scenario: Scenario, unit: Unit, schedule: Schedule, board: Board, grid: GridFrequency) -> None:
        self.unit = unit
        self.schedule = schedule
        self._grid = grid
        self._dice = random.Random(f"{scenario.settings.seed}/{unit.id}/moves")
        self._rated_kw = round(float(unit.rated_mw) * 1000)
        self._minutes = scenario.settings.step_s / 60
        self._stages = Stages(unit, scenario.settings.step_s)
        self._unloading_ms = unloading_ms(unit)
        self._agc_kw = tuple(round(float(v) * 1000) for v in (unit.agc_lower_mw or "0", unit.agc_upper_mw or "0"))
        self._nominal_v = round(float(unit.nominal_kv) * 1000)
        self._regulation_kw = 0.0
        self._held_orders = {outcome.time_ms: outcome.held for outcome in schedule.outcomes}
        self._stop_openings = [opening for opening, _ in schedule.stops]
        self._missing_since_ms = 0
        self._forced: dict[str, int] = {}
        self._noise_kw = self._rated_kw * unit.moves.noise_ratio
        self._dead_band_uhz = round(float(unit.dead_band_hz or _DEAD_BAND_HZ.get(unit.kind, "0.033")) * 1_000_000)
        self._kw_per_uhz = self._rated_kw / (50_000_000 * float(unit.droop_ratio)) if unit.droop_ratio else 0.0
        self._signals = {name: board.signal(unit.id, name) for name in _QUANTITIES}
        self.moment = Moment(on=1, avc_target_v=self._nominal_v * 102 // 100)
        self.moment.agc = int(unit.agc_lower_mw is not None)
        self.moment.avc = int(unit.avc)
        self._aim_v = self.moment.avc_target_v
        self.bus = Bus(scenario, unit)
        self._excitation = Excitation(unit, self.bus, self._aim_v, scenario.settings.step_s)
        self.energy_kw_ms = unit.moves.energy_start_mwh * 1000 * 3_600_000

    def begin(self, time_ms: int) -> None:
        """Set the state at the start of the run, a steady state."""
        self.moment.plan_kw = self.schedule.plan_at(time_ms)
        self.moment.power_kw = self.moment.plan_kw
        for name, value in (
            ("on_grid", 1), ("agc_in_service", self.moment.agc), ("avc_in_service", self.moment.avc),
            ("avc_at_limit", 0), ("avc_target_kv", self.moment.avc_target_v), ("condenser", 0), ("spilling", 0),
            ("primary_frequency_in_service", 1),
        ):  # fmt: skip
            self._signals[name].set(value, time_ms)
        self.bus.step(time_ms)
        self._excitation.begin(self._aim_v)
        self._take_voltage()
        self._show(time_ms)

    def switch(self, event: Switch) -> None:
        """Apply a change: breaker, AGC, AVC, limit, target or mode at its instant, a forced analog from its tick on."""
        moment = self.moment
        if event.quantity in _FORCEABLE:
            self._forced.pop(event.quantity, None)
            if event.value is not None:
                self._forced[event.quantity] = event.value
            return
        if event.value is None:
            return
        if event.quantity == "on_grid":
            moment.on = event.value
            self._switch_breaker(event.time_ms)
        elif event.quantity == "agc_in_service":
            moment.agc = event.value
        elif event.quantity == "avc_in_service":
            moment.avc = event.value
        elif event.quantity == "avc_target_kv":
            self._take_target(event.value, event.time_ms)
        elif event.quantity == "condenser":
            moment.condenser = event.value
        elif event.quantity == "spilling":
            moment.spilling = event.value
        else:
            moment.primary = event.value
        self._signals[event.quantity].set(event.value, event.time_ms)

    def _switch_breaker(self, time_ms: int) -> None:
        """Switch the breaker: closed, the start-up begins at the next tick; open, the output is 0 from this instant."""
        moment = self.moment
        moment.power_kw = 0
        if moment.on:
            self._stages.close(time_ms)
        else:
            self._excitation.open()
            self._take_voltage()
            if "bus_voltage_kv" in self._forced:
                moment.voltage_v = self._forced["bus_voltage_kv"]
        for name, value in (
            ("active_power_mw", 0), ("reactive_power_mvar", moment.reactive_kvar), ("bus_voltage_kv", moment.voltage_v),
            ("avc_at_limit", moment.at_limit),
        ):  # fmt: skip
            self._signals[name].set(value, time_ms)

    def _take_target(self, target_v: int, time_ms: int) -> None:
        """Take a new voltage target: reached from the next tick, or missed by 4 to 6 ‰ of nominal for ten minutes."""
        self.moment.avc_target_v = target_v
        self._aim_v = target_v
        if not self._held_orders.get(time_ms, True):
            away = self._dice.choice((-1, 1)) * self._dice.randint(40, 60) * self._nominal_v // 10_000
            self._aim_v += away * max(1, 220_000 // self._nominal_v)
            self._missing_since_ms = time_ms

    def step(self, time_ms: int) -> None:
        """Advance one tick: power, voltage and reactive power take the values they keep until the next tick."""
        moment = self.moment
        moment.plan_kw = self.schedule.plan_at(time_ms)
        if moment.on:
            self._move_power(time_ms)
        self._move_voltage(time_ms)
        if self._forced:
            self._force()
        self._show(time_ms)

    def _force(self) -> None:
        """Apply the values the scenario fixes; a unit off the grid has no power to fix."""
        moment, forced = self.moment, self._forced
        if moment.on:
            moment.power_kw = forced.get("active_power_mw", moment.power_kw)
            moment.reactive_kvar = forced.get("reactive_power_mvar", moment.reactive_kvar)
        moment.voltage_v = forced.get("bus_voltage_kv", moment.voltage_v)
        moment.at_limit = forced.get("avc_at_limit", moment.at_limit)

    def governed_kw(self, frequency_uhz: int) -> int:
        """Droop response to a frequency beyond the dead band, kW: ΔP = −Δf ÷ (50 Hz · droop) · P_N."""
        off = frequency_uhz - 50_000_000
        beyond = max(abs(off) - self._dead_band_uhz, 0)
        return round(-beyond * self._kw_per_uhz if off > 0 else beyond * self._kw_per_uhz)

    def _move_power(self, time_ms: int) -> None:
        """Advance the power: plan or AGC request within its range, governor response, sequence and ramp, some noise."""
        moment, gauss = self.moment, self._dice.gauss
        share = self.unit.moves.regulation_ratio * self._rated_kw
        spread = gauss(0, share * 0.365) * self._minutes**0.5
        self._regulation_kw += -self._regulation_kw * self._minutes / _REGULATION_MIN + spread
        aim = moment.plan_kw
        if moment.agc and aim >= 0:
            low, high = self._agc_kw
            aim = min(max(aim + round(self._regulation_kw), low), high)
        moment.setpoint_kw = aim
        noise_kw = round(gauss(0, self._noise_kw))
        if moment.condenser:
            lost_kw = -self._rated_kw * 15 // 1000  # driven by the grid: friction and iron losses
            moment.power_kw = self._stages.move(time_ms, moment.power_kw, lost_kw)
            return
        if aim < 0:
            moment.power_kw = aim  # a pump runs at a single load
            return
        if moment.primary:
            aim += self.governed_kw(self._grid.frequency_uhz)
        if self._stops_within(time_ms, self._unloading_ms):
            aim = self._stages.sync_kw
        moved = self._stages.move(time_ms, moment.power_kw, aim)
        moment.power_kw = min(max(moved + noise_kw, 0), self._rated_kw)

    def _stops_within(self, time_ms: int, span_ms: int) -> bool:
        index = bisect_right(self._stop_openings, time_ms)
        return index < len(self._stop_openings) and self._stop_openings[index] - time_ms <= span_ms

    def _move_voltage(self, time_ms: int) -> None:
        moment = self.moment
        if self._missing_since_ms and time_ms - self._missing_since_ms > 10 * MINUTE_MS:
            self._missing_since_ms = 0
            self._aim_v = moment.avc_target_v
        self.bus.step(time_ms)
        self._excitation.step(on=moment.on, avc=moment.avc, aim_v=self._aim_v)
        self._take_voltage()

    def _take_voltage(self) -> None:
        moment, loop = self.moment, self._excitation
        moment.voltage_v, moment.reactive_kvar, moment.at_limit = loop.voltage_v, loop.reactive_kvar, loop.at_limit

    def _show(self, time_ms: int) -> None:
        moment, signals = self.moment, self._signals
        signals["active_power_mw"].set(moment.power_kw, time_ms)
        signals["agc_setpoint_mw"].set(moment.setpoint_kw, time_ms)
        signals["reactive_power_mvar"].set(moment.reactive_kvar, time_ms)
        signals["bus_voltage_kv"].set(moment.voltage_v, time_ms)
        signals["avc_at_limit"].set(moment.at_limit, time_ms)
        signals["frequency_hz"].set(self._grid.frequency_uhz, time_ms)
        signals["energy_export_mwh"].set(self.energy_kw_ms // _WH_DIVISOR, time_ms)


_FORCEABLE: Final = frozenset({"active_power_mw", "reactive_power_mvar", "bus_voltage_kv", "avc_at_limit"})
# Usual governor settings of these kinds; the rulebook has its own values for judging them.
_DEAD_BAND_HZ: Final = {"hydro": "0.05", "pumped_storage": "0.05"}
_QUANTITIES: Final = (
    "active_power_mw", "agc_setpoint_mw", "reactive_power_mvar", "bus_voltage_kv", "frequency_hz", "energy_export_mwh",
    "on_grid", "agc_in_service", "avc_in_service", "avc_at_limit", "avc_target_kv", "condenser", "spilling",
    "primary_frequency_in_service",
)  # fmt: skip


class World:
    """All units, the grid and the books, advanced to any instant of the run. Time only goes forward."""

    def __init__(self, scenario: Scenario, board: Board) -> None:
        self.scenario = scenario
        self.books = Books(scenario)
        self.schedules = {unit.id: make_schedule(scenario, unit) for unit in scenario.settings.unit}
        for schedule in self.schedules.values():
            self.books.take_orders(schedule.orders)
        self._grid = GridFrequency(scenario)
        self._units = [
            GeneratingUnit(scenario, unit, self.schedules[unit.id], board, self._grid)
            for unit in scenario.settings.unit
        ]
        self._by_id = {unit.unit.id: unit for unit in self._units}
        every = (switch for schedule in self.schedules.values() for switch in schedule.switches)
        self._switches = sorted(every, key=lambda switch: switch.time_ms)
        self._next_switch = 0
        self._step_ms = scenario.settings.step_s * 1000
        self.now_utc_ms = scenario.run.start_ms
        self._reached_ms = scenario.run.start_ms
        self._next_tick_ms = -(-scenario.run.start_ms // self._step_ms) * self._step_ms
        for unit in self._units:
            unit.begin(self.now_utc_ms)
        while self._next_switch < len(self._switches) and self._switches[self._next_switch].time_ms < self.now_utc_ms:
            event = self._switches[self._next_switch]
            self._by_id[event.unit].switch(event)  # events before the run set the initial state
            self._next_switch += 1

    @property
    def next_instant_ms(self) -> int:
        """The instant of the next tick or switch, UTC ms."""
        if self._next_switch < len(self._switches):
            return min(self._next_tick_ms, self._switches[self._next_switch].time_ms)
        return self._next_tick_ms

    def advance(self, time_utc_ms: int) -> None:
        """Run everything up to and including an instant, in order."""
        while (instant := self.next_instant_ms) <= time_utc_ms:
            self._elapse(instant)
            switches, number = self._switches, self._next_switch
            if number == len(switches) or switches[number].time_ms > instant:
                self._tick(instant)
            else:
                event = self._switches[self._next_switch]
                self._next_switch += 1
                self._by_id[event.unit].switch(event)
                self.books.switched(event.unit, self._by_id[event.unit].moment, event)
        self.now_utc_ms = max(self.now_utc_ms, time_utc_ms)

    def _elapse(self, instant_ms: int) -> None:
        start, span = self._reached_ms, instant_ms - self._reached_ms
        for unit in self._units:
            if unit.moment.on and unit.moment.power_kw > 0:  # the export register stands still while energy is imported
                unit.energy_kw_ms += unit.moment.power_kw * span
            self.books.elapse(unit.unit.id, unit.moment, start, instant_ms)
        self._reached_ms = instant_ms

    def _tick(self, instant_ms: int) -> None:
        self._grid.step(instant_ms)
        for unit in self._units:
            unit.step(instant_ms)
            self.books.ticked(unit.unit.id, unit.moment, instant_ms)
        self._next_tick_ms += self._step_ms

    @property
    def frequency_uhz(self) -> int:
        """The grid's frequency, µHz."""
        return self._grid.frequency_uhz

    def units(self) -> Sequence[GeneratingUnit]:
        """The units, in the scenario's order."""
        return self._units

    def book_lines(self) -> list[dict[str, str]]:
        """The true quantities so far, per unit and service."""
        return self.books.lines()

    def book_parts(self) -> dict[str, Any]:
        """The sums behind the true quantities."""
        return dict(self.books.parts())
