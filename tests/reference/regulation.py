# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of the regulation, each with its article: an own transcription of rules.md, section 1.

All values are in force from 2009-01-01 (the text gives no date), so there is one value each. Prices are exact fractions
of yuan; a price that depends on the dispatch mode is a table {mode: yuan}.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

ENERGY_SAVING = "energy_saving"  # 节能发电调度
ANNUAL_PLAN = "annual_plan"  # 年度发电计划调度

# Art. 13(5)-(7) and 18 say 水电; pumped storage is hydro (reading I-16).
HYDRO_KINDS = frozenset({"hydro", "pumped_storage"})
# Art. 13(3), 13(4): 常规燃煤 only; `coal_other` is not conventional.
COAL_KINDS = frozenset({"coal"})
GAS_KINDS = frozenset({"gas"})

# Art. 6(2): lower end of basic peak shaving as a share of rated power, by dispatching authority (reading I-02).
LOWER_LIMIT_RATIO = {
    "east_china_grid": Fraction("0.57"),
    "shanghai": Fraction("0.47"),
    "jiangsu": Fraction("0.59"),
    "zhejiang": Fraction("0.59"),
    "anhui": Fraction("0.57"),
    "fujian": Fraction("0.65"),
}
# Art. 13(3): and below 40 % of rated power.
DEEP_GATE_RATIO = Fraction("0.40")
DEEP_PEAK_YUAN_PER_MWH = {ENERGY_SAVING: Fraction(50), ANNUAL_PLAN: Fraction(10)}  # Art. 13(3)

GAS_START_STOP_YUAN_PER_MW = Fraction(260)  # Art. 13(5)
HYDRO_SPILL_FACTOR = Fraction("0.5")  # Art. 13(6)
HYDRO_START_STOP_YUAN_PER_MW = Fraction(20)  # Art. 13(7)
START_STOP_LIMIT_MS = 24 * 3_600_000  # Art. 13(4), (5), (7): 24小时内

AGC_BASIC_YUAN_PER_MW = Fraction(240)  # Art. 14(2), per month
AGC_UP_YUAN_PER_MWH = {ENERGY_SAVING: Fraction(10), ANNUAL_PLAN: Fraction(10)}  # Art. 14(3)
AGC_DOWN_YUAN_PER_MWH = {ENERGY_SAVING: Fraction(50), ANNUAL_PLAN: Fraction(10)}  # Art. 14(3)

# Art. 6(3): free reactive power per active power: tan(arccos 0.8), and tan(arccos 0.95) to nine decimals.
FREE_Q_LAG = Fraction("0.75")
FREE_Q_LEAD = Fraction("0.328684105")
REACTIVE_YUAN_PER_MVARH = Fraction(15)  # Art. 15(2)
CONDENSER_START_YUAN_PER_MW = Fraction(14)  # Art. 15(3)1
CONDENSER_RUN_YUAN_PER_MWH = Fraction(15)  # Art. 15(3)2

AVC_YUAN_PER_MWH = Fraction("0.1")  # Art. 16
RESERVE_YUAN_PER_MWH = {ENERGY_SAVING: Fraction(50), ANNUAL_PLAN: Fraction(10)}  # Art. 17(2)

# config/rules/example-revision, no law: what changes on its first day. Hot reserve is paid no longer.
REVISED_GAS_START_STOP_YUAN_PER_MW = Fraction(300)
REVISED_SPINNING_YUAN_PER_MWH = {ENERGY_SAVING: Fraction(50), ANNUAL_PLAN: Fraction(12)}
REVISED_AWAY = "hot_reserve"

BLACK_START_HYDRO_YUAN = Fraction(60_000)  # Art. 18
BLACK_START_OTHER_YUAN = Fraction(80_000)  # Art. 18

# Section 2: Northeast 2024 as stand-in, by kind; thermal covers all that burn or split, wind and solar have no value.
NOMINAL_UHZ = 50_000_000
DEAD_BAND_UHZ = {"coal": 33_000, "coal_other": 33_000, "gas": 33_000, "nuclear": 33_000, "other": 33_000}
DEAD_BAND_UHZ |= {"hydro": 50_000, "pumped_storage": 50_000}
METER_DIFFERENCE_RATIO = Fraction("0.01")  # section 2: by more than 1 %

# Readings of rules.md, not numbers of the text.
ON_GRID_RATIO = Fraction("0.005")  # section 2: a unit without breaker status is on above 0.5 % of P_N


def avc_band_v(nominal_kv: Fraction) -> Fraction:
    """Half width of the voltage band an AVC order must reach, in volts. Source: Art. 16, reading I-11."""
    if nominal_kv >= 500:
        return Fraction(1500)
    if nominal_kv >= 220:
        return Fraction(1000)
    return nominal_kv * 1000 / 100


@dataclass(frozen=True, slots=True)
class Service:
    """One paid service: a row of the table of rules.md, section 1.

    Attributes:
        kinds: Unit kinds that can be paid; None means all.
        order_kind: The kind of order the service needs, "" if none.
        gated: Whether coverage is measured and gates the line.
    """

    id: str
    article: str
    quantity_unit: str
    kinds: frozenset[str] | None = None
    order_kind: str = ""
    gated: bool = True


SERVICES: tuple[Service, ...] = (
    Service("deep_peak", "13(1)-(3), 6(2)", "MWh", COAL_KINDS),
    Service("coal_start_stop", "13(4)", "count", COAL_KINDS, "start_stop", gated=False),
    Service("gas_start_stop", "13(5)", "count", GAS_KINDS, "start_stop", gated=False),
    Service("hydro_spill", "13(6)", "h", HYDRO_KINDS, "spill"),
    Service("hydro_start_stop", "13(7)", "count", HYDRO_KINDS, "start_stop", gated=False),
    Service("agc_basic", "14(2)", "MW"),
    Service("agc_up", "14(3)", "MWh"),
    Service("agc_down", "14(3)", "MWh"),
    Service("reactive_lag", "15(1)-(2), 6(3)", "Mvarh", order_kind="reactive"),
    Service("reactive_lead", "15(1)-(2), 6(3)", "Mvarh", order_kind="reactive"),
    Service("condenser_start", "15(3)1", "count", order_kind="condenser"),
    Service("condenser_run", "15(3)2", "h", order_kind="condenser"),
    Service("avc", "16", "h"),
    Service("spinning_reserve", "17", "MWh"),
    Service("hot_reserve", "17", "MWh"),
    Service("black_start", "18", "count", gated=False),
)
RESERVE_KIND = {"spinning_reserve": "spinning", "hot_reserve": "hot"}
