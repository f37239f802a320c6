# SPDX-License-Identifier: GPL-3.0-or-later
"""Small months worked by hand, each so near an edge that one unit of a rulebook value moves what it comes to.

Every case is a builder and what must be found: amounts by `unit/service`, AVC orders passed by `unit/passed`,
theoretical energy of an excursion by `unit/theory`, findings by code, the month's status.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from collector.model.dispatch import StartStopRow
from collector.model.register import UnitKind
from collector.settlement.statement import Statement
from tests.settlement.small_month import Case, area, at, plant, unit

AREAS = ("east_china_grid", "shanghai", "jiangsu", "zhejiang", "anhui", "fujian")  # Art. 6(2)
SECOND = 1000


@dataclass(frozen=True)
class Worked:
    """A case and what it must come to."""

    build: Callable[[], Case]
    expected: dict[str, str]


def facts_of(statement: Statement) -> dict[str, str]:
    """What a statement says, as the cases name it."""
    facts = {"status": str(statement.status)}
    for line in statement.lines:
        amount = f"{line.status}:{line.reason}" if line.amount_yuan is None else str(line.amount_yuan)
        facts[f"{line.unit}/{line.service}"] = amount
    for row in statement.determinants:
        if row.determinant in ("avc_orders", "avc_passed"):
            facts[f"{row.unit}/{row.determinant.removeprefix('avc_')}"] = str(row.value)
    for excursion in statement.primary_frequency:
        facts[f"{excursion.unit}/theory"] = str(excursion.theoretical_mwh and float(excursion.theoretical_mwh))
    facts["meter"] = str(sum(f.code == "meter_differs" for f in statement.findings))
    return facts


def two_modes(kind: str = "gas", **keys: str) -> Case:
    """U1 in Jiangsu by annual plan, U2 in Anhui by energy-saving dispatch."""
    case = Case(units=[unit("U1", kind, **keys), unit("U2", kind, of="P2", **keys)])
    case.areas, case.plants = (area(), area("energy_saving", "anhui")), (plant(), plant("P2", "anhui"))
    return case


def lower_limits() -> Case:
    """600 MW at 200 MW for the first hour, in every area; and one at 243 MW, between 40 % and 41 %."""
    case = Case(areas=[area(ident=ident) for ident in AREAS])
    case.plants = [plant(f"P-{ident}", ident) for ident in AREAS]
    case.units = [unit(ident, of=f"P-{ident}") for ident in AREAS] + [unit("above", of="P-jiangsu")]
    for ident in AREAS:
        case.record(at(1), ident, on_grid="1", active_power_mw="200")
        case.record(at(1, 1), ident, on_grid="1", active_power_mw="500")
    return case.record(at(1), "above", on_grid="1", active_power_mw="243")


def deep_by_mode() -> Case:
    """600 MW at 200 MW for the first hour: 154 MWh in Jiangsu, 142 MWh in Anhui."""
    case = two_modes("coal")
    for ident in ("U1", "U2"):
        case.record(at(1), ident, on_grid="1", active_power_mw="200")
        case.record(at(1, 1), ident, on_grid="1", active_power_mw="500")
    return case


def a_gap_of_24_hours_and_a_half() -> Case:
    """Gas 390 MW, off from 00:00 on the 2nd to 00:30 on the 3rd, inside its order."""
    case = Case(units=[unit(kind="gas", rated="390")]).order("start_stop", at(1, 12), at(4))
    return case.record(at(1), on_grid="1").record(at(2), on_grid="0").record(at(3, 0.5), on_grid="1")


def coal_without_a_table() -> Case:
    """Coal 600 MW, off for 8 h inside its order; nobody has the table."""
    case = Case(units=[unit()]).order("start_stop", at(1, 12), at(4))
    return case.record(at(1), on_grid="1").record(at(2), on_grid="0").record(at(2, 8), on_grid="1")


def coal_with_a_table() -> Case:
    """As above, with a table: 12 wan yuan."""
    case = coal_without_a_table()
    row = (Decimal(600), Decimal(700), Decimal(8), Decimal(24), Decimal(12), date(2020, 1, 1), "document")
    case.table.append(StartStopRow(*row))
    return case


def spill_one_hour() -> Case:
    """300 MW hydro, tariff 400, one hour."""
    case = Case(units=[unit(kind="hydro", rated="300", tariff_yuan_per_mwh="400")])
    return case.order("spill", at(1), at(1, 1)).record(at(1), spilling="1", on_grid="1")


def one_record_of_an_order_of_two_minutes() -> Case:
    """As above, but one record at its start and an order of two minutes; the folder has no policy of its own."""
    case = Case(units=[unit(kind="hydro", rated="300", tariff_yuan_per_mwh="400")], policy={})
    return case.order("spill", at(1), at(1) + 120 * SECOND).record(at(1), spilling="1", on_grid="1")


def nineteen_of_twenty_minutes() -> Case:
    """A record holds 19 minutes into an order of 20: coverage is exactly 0.95."""
    case = spill_one_hour()
    case.orders.clear()
    case.policy["hold_limit_s"] = Decimal(19 * 60)
    return case.order("spill", at(1), at(1) + 20 * 60 * SECOND)


def agc_an_hour_up_and_an_hour_down() -> Case:
    """Plan 400 MW; on AGC at 500 MW in the first hour, at 300 MW in the second, then off."""
    case = two_modes(agc_lower_mw="300", agc_upper_mw="600")
    for ident in ("U1", "U2"):
        case.plan.append((ident, at(1), at(1, month=7), 400_000, None))
        for hour, power, on in ((0, "500", "1"), (1, "300", "1"), (2, "0", "0")):
            case.record(at(1, hour), ident, on_grid=on, agc_in_service="1", active_power_mw=power)
    return case


def lag() -> Case:
    """200 MW and 200 Mvar for an hour in band: 150 Mvar are free."""
    return reactive("200", "200", "505")


def lead() -> Case:
    """599.06 MW: 0.328684105 · P = 196 901.4999 kvar, 196 901 are free; 206 901 absorbed."""
    return reactive("599.06", "-206.901", "505")


def almost_at_limit() -> Case:
    """Voltage out of band; 298.5 Mvar of a registered 300: 1.5 below the limit, and the tolerance is 1."""
    case = reactive("100", "298.5", "508")
    case.units = [unit(kind="gas", q_max_mvar="300")]
    return case


def reactive(power: str, q: str, u: str) -> Case:
    """An hour of a reactive order, band 500 to 506 kV."""
    case = Case(units=[unit(kind="gas")]).order("reactive", at(1), at(1, 1))
    case.band.append(("U1", at(1), at(2), 500_000, 506_000))
    return case.record(at(1), on_grid="1", active_power_mw=power, reactive_power_mvar=q, bus_voltage_kv=u)


def steps_of_a_target() -> Case:
    """A 500 kV unit (band 1.5 kV) whose target rises by 150 V: exactly a tenth of the band, an order."""
    case = Case(units=[unit(kind="gas", avc=True, nominal_kv="500")])
    for hour, target in ((0, "505"), (1, "505.15")):
        case.record(at(1, hour), on_grid="1", avc_in_service="1", avc_target_kv=target, bus_voltage_kv="505")
    return case


def a_hole_of_300_s() -> Case:
    """Gas 390 MW, on grid but for five minutes of unknown breaker status inside an order."""
    case = Case(units=[unit(kind="gas", rated="390")]).order("start_stop", at(1), at(2))
    for second, on in ((0, "1"), (36_000, ""), (36_300, "1")):
        case.record(at(1) + second * SECOND, on_grid=on)
    return case


def implausible() -> Case:
    """Values one unit of the last digit beyond what can be: −1.25 P_N in valley hours, 0.55 and 1.55 of nominal."""
    steady = {"on_grid": "1", "avc_in_service": "1"}
    case = Case(units=[unit("power")])
    case.record(at(1), "power", on_grid="1", active_power_mw="-750")
    case.record(at(1, 1), "power", on_grid="1", active_power_mw="500")
    for ident, target in (("low-voltage", "275"), ("high-voltage", "775")):
        case.units = [*case.units, unit(ident, "gas", avc=True, nominal_kv="500")]
        case.record(at(1), ident, avc_target_kv="505", bus_voltage_kv="505", **steady)
        case.record(at(1, 1), ident, avc_target_kv=target, bus_voltage_kv="505", **steady)
        case.record(at(1, 2), ident, avc_target_kv=target, bus_voltage_kv=target, **steady)
    return case


def avc(settle_s: int = 60) -> Case:
    """Orders judged on the edge of settling time, voltage class and band; target 505, 221 or 111 kV."""
    case = Case(units=[])
    found = {  # nominal, target, then the voltage on time and a second later
        "settling": ("500", "505", "510", "505"),
        "class-500": ("500", "505", "506.2", "506.2"),  # 1.2 off: within 1.5, not within 1.0
        "class-220": ("220", "221", "223", "223"),  # 2.0 off: not within 1.0, within 1 % of 220
        "high-band": ("500", "505", "506.6", "506.6"),
        "middle-band": ("220", "221", "222.1", "222.1"),
        "low-band": ("110", "111", "113", "113"),  # 2.0 off: not within 1 % of 110, within 2 %
    }
    case.units = [unit(ident, "gas", avc=True, nominal_kv=row[0]) for ident, row in found.items()]
    for ident, (_, target, first, second) in found.items():
        case.record(at(1), ident, on_grid="1", avc_in_service="1", avc_target_kv="100", bus_voltage_kv="100")
        for after, voltage in ((0, "100"), (settle_s, first), (settle_s + 1, second)):
            cells = {"avc_in_service": "1", "avc_target_kv": target, "bus_voltage_kv": voltage}
            case.record(at(1, 1) + after * SECOND, ident, on_grid="1", **cells)
    return case


def just_on_without_a_breaker() -> Case:
    """600 MW at 3.3 MW, 0.55 % of P_N, no breaker column; 100 MW spinning reserve from 08:00 to 09:00."""
    case = Case(units=[unit(kind="gas")]).reserve("spinning", at(1, 8), at(1, 9), 100_000)
    return case.record(at(1), active_power_mw="3.3")


def meter() -> Case:
    """1000 MWh of telemetry against 1010.2 MWh of meter: 1.0097 % of the meter's."""
    case = Case(units=[unit(kind="gas")])
    case.record(at(2), on_grid="1", active_power_mw="100", energy_export_mwh="1000")
    return case.record(at(2, 10), on_grid="1", active_power_mw="100", energy_export_mwh="2010.2")


def reserves() -> Case:
    """100 MW from 08:00 to 09:00, spinning on the 1st while on, hot on the 2nd while off."""
    case = two_modes()
    for ident in ("U1", "U2"):
        case.reserve("spinning", at(1, 8), at(1, 9), 100_000, ident).reserve("hot", at(2, 8), at(2, 9), 100_000, ident)
        case.record(at(1), ident, on_grid="1").record(at(2), ident, on_grid="0")
    return case


def black_start() -> Case:
    """A designated unit of every kind."""
    return Case(units=[unit(kind, kind, black_start=True, black_start_document="plan") for kind in UnitKind])


def excursions() -> Case:
    """600 MW of every kind, droop 5 %, an hour at 50.1 Hz."""
    case = Case(units=[unit(kind, kind, droop_ratio="0.05") for kind in UnitKind])
    for kind in UnitKind:
        for hour, hz in ((0, "50"), (1, "50.1"), (2, "50")):
            case.record(at(1, hour), kind, on_grid="1", frequency_hz=hz, active_power_mw="500")
    return case


def condenser() -> Case:
    """300 MW, one start and 8 hours as condenser on order."""
    case = Case(units=[unit(kind="hydro", rated="300")]).order("condenser", at(1), at(2))
    for hour, status in ((0, "0"), (8, "1"), (16, "0")):
        case.record(at(1, hour), on_grid="1", condenser=status)
    return case


HYDRO = ("hydro", "pumped_storage")
WORKED: dict[str, Worked] = {
    "lower_limits": Worked(
        lower_limits,
        {
            "east_china_grid/deep_peak": "1420.00",  # (342 − 200) × 10
            "shanghai/deep_peak": "820.00",
            "jiangsu/deep_peak": "1540.00",
            "zhejiang/deep_peak": "1540.00",
            "anhui/deep_peak": "1420.00",
            "fujian/deep_peak": "1900.00",
            "above/deep_peak": "0.00",
        },
    ),
    "deep_by_mode": Worked(deep_by_mode, {"U1/deep_peak": "1540.00", "U2/deep_peak": "7100.00"}),
    "gap": Worked(a_gap_of_24_hours_and_a_half, {"U1/gas_start_stop": "0.00"}),
    "coal_without_a_table": Worked(coal_without_a_table, {"U1/coal_start_stop": "pending:table_unknown"}),
    "coal_with_a_table": Worked(coal_with_a_table, {"U1/coal_start_stop": "120000.00"}),
    "spill": Worked(spill_one_hour, {"U1/hydro_spill": "60000.00"}),
    # 60 s of 120 s known, exactly half: 0.5 × 300 × 400 ÷ 60
    "hold_and_gate": Worked(one_record_of_an_order_of_two_minutes, {"U1/hydro_spill": "1000.00"}),
    "provisional": Worked(nineteen_of_twenty_minutes, {"status": "final", "U1/hydro_spill": "19000.00"}),
    "agc": Worked(
        agc_an_hour_up_and_an_hour_down,
        {
            "U1/agc_up": "1000.00",
            "U1/agc_down": "1000.00",
            "U2/agc_up": "1000.00",
            "U2/agc_down": "5000.00",
            "U1/agc_basic": "72000.00",  # always in service while on: 240 × 300
            "U2/agc_basic": "72000.00",
        },
    ),
    "lag": Worked(lag, {"U1/reactive_lag": "750.00"}),
    "lead": Worked(lead, {"U1/reactive_lead": "150.00"}),
    "almost_at_limit": Worked(almost_at_limit, {"U1/reactive_lag": "0.00"}),
    "condenser": Worked(condenser, {"U1/condenser_start": "4200.00", "U1/condenser_run": "36000.00"}),
    "avc": Worked(
        avc,
        {
            "settling/passed": "0",
            "class-500/passed": "1",
            "class-220/passed": "0",
            "high-band/passed": "0",
            "middle-band/passed": "0",
            "low-band/passed": "0",
            "class-500/avc": "43200.00",  # 600 × 720 × 0.1
        },
    ),
    "steps": Worked(steps_of_a_target, {"U1/orders": "1"}),
    "hole": Worked(a_hole_of_300_s, {"U1/gas_start_stop": "blocked:uncertain_edge"}),
    "can_not_be": Worked(
        implausible,
        {
            "power/deep_peak": "0.00",
            "low-voltage/passed": "1",
            "high-voltage/passed": "0",
        },
    ),
    "just_on": Worked(just_on_without_a_breaker, {"U1/spinning_reserve": "1000.00"}),
    "meter": Worked(meter, {"meter": "1"}),
    "reserves": Worked(
        reserves,
        {
            "U1/spinning_reserve": "1000.00",
            "U2/spinning_reserve": "5000.00",
            "U1/hot_reserve": "1000.00",
            "U2/hot_reserve": "5000.00",
        },
    ),
    "black_start": Worked(
        black_start, {f"{kind}/black_start": "60000.00" if kind in HYDRO else "80000.00" for kind in UnitKind}
    ),
    # −(0.1 − dead band) ÷ (50 × 0.05) × 600 MWh; of wind and solar units the rulebook knows no dead band
    "excursions": Worked(
        excursions,
        {
            f"{kind}/theory": "-12.0" if kind in HYDRO else "absent" if kind in ("wind", "solar") else "-16.08"
            for kind in UnitKind
        },
    ),
    "gas_start_stop": Worked(
        lambda: (
            Case(units=[unit(kind="gas", rated="390")])
            .order("start_stop", at(1, 12), at(4))
            .record(at(1), on_grid="1")
            .record(at(2), on_grid="0")
            .record(at(2, 8), on_grid="1")
        ),
        {"U1/gas_start_stop": "101400.00"},
    ),
    "hydro_start_stop": Worked(
        lambda: (
            Case(units=[unit(kind="hydro", rated="300")])
            .order("start_stop", at(1, 12), at(4))
            .record(at(1), on_grid="1")
            .record(at(2), on_grid="0")
            .record(at(2, 8), on_grid="1")
        ),
        {"U1/hydro_start_stop": "6000.00"},
    ),
}
