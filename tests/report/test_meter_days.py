# SPDX-License-Identifier: GPL-3.0-or-later
"""meter_days.csv by hand (Art. 19): every registered day of a unit with a meter, its energies, verdict and reason."""

from __future__ import annotations

from pathlib import Path

from collector.model.dispatch import MeterChange
from collector.report.folder import write_statement
from tests.settlement.small_month import Case, at, unit

# Registers read, MWh, by day of June and hour; 100 MW all the time, but unknown on the 6th from 06:00 to 08:00.
READINGS = {
    (2, 0): "1000",
    (3, 0): "3412",
    (4, 0): "5912",
    (5, 0): "1312",
    (5, 6): "1912",
    (5, 8): "5",
    (6, 0): "1605",
    (7, 0): "4005",
}


def test_every_registered_day_is_a_row_with_its_energies_verdict_and_reason(tmp_path: Path) -> None:
    case = Case(units=[unit()])
    for (day, hour), register in READINGS.items():
        case.record(at(day, hour), on_grid="1", active_power_mw="100", energy_export_mwh=register)
    case.record(at(6, 6), on_grid="1", active_power_mw="").record(at(6, 8), on_grid="1", active_power_mw="100")
    case.meter_changes.append(MeterChange("U1", at(4, 12), 7_000_000_000, 0))  # taken out at 7000 MWh, put in at 0
    write_statement(case.settle(), tmp_path / "out")
    head, *rows = (tmp_path / "out" / "meter_days.csv").read_text(encoding="utf-8").splitlines()
    assert head == "unit,day,telemetry_mwh,meter_mwh,difference_ratio,verdict,reason"
    assert len(rows) == 30
    assert rows[:7] == [
        "U1,2026-06-01,,,,not_compared,no_reading",
        # 100 MW × 24 h = 2400; 3412 - 1000 = 2412; 12 / 2412 = 0.004975, not more than 1 %
        "U1,2026-06-02,2400.000000,2412.000000,0.004975,agrees,",
        # 5912 - 3412 = 2500; 100 / 2500
        "U1,2026-06-03,2400.000000,2500.000000,0.040000,differs,",
        # (7000 - 5912) + (1312 - 0) = 1088 + 1312
        "U1,2026-06-04,2400.000000,2400.000000,0.000000,changed,",
        # 1912 - 1312 = 600 in 6 h; 06:00 to 08:00 ran back and counts on neither side; 1605 - 5 = 1600 in 16 h
        "U1,2026-06-05,2200.000000,2200.000000,0.000000,ran_back,",
        "U1,2026-06-06,,,,not_compared,hole",
        "U1,2026-06-07,,,,not_compared,no_reading",  # one reading alone
    ]
    assert {row[13:] for row in rows[7:]} == {",,,,not_compared,no_reading"}
