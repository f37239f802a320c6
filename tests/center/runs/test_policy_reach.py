# SPDX-License-Identifier: GPL-3.0-or-later
"""A hold limit that reaches beyond what a day file carries of the next day: center and folder use the same records."""

from __future__ import annotations

from pathlib import Path

from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.settle import settle
from collector.tables.folder import load_folder
from tests.center.runs.center_months import JUNE, RULES, assert_as_offline, fill_store, new_store, settled

REGISTER = """[policy]
hold_limit_s = {hold}

[[area]]
id = "jiangsu"
name = "jiangsu"
dispatch_mode = "annual_plan"
valley_hours = ["00:00-08:00"]
peak_hours = ["08:00-11:00"]
hours_filing = "filed"
"""
PLANT = """
[[plant]]
id = "P{0}"
name = "P{0}"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
settles_with = "grid"

[[unit]]
id = "U{0}"
plant = "P{0}"
kind = "coal"
rated_mw = "600"
{1}
"""
AVC = 'avc = true\nnominal_kv = "500"\nfrom = 2026-06-30'
RECORDS = """unit,time,on_grid,active_power_mw,avc_in_service,avc_target_kv,bus_voltage_kv
U1,2026-06-29T23:30:00+08:00,1,500,1,505,505
U1,2026-06-30T00:00:00+08:00,1,500,1,505,505
U1,2026-06-30T23:59:30+08:00,1,500,1,507,505
U1,2026-07-01T00:40:00+08:00,1,500,1,507,506.5
U2,2026-05-30T00:00:00+08:00,1,200,,,
"""


def made(folder: Path, hold_s: int) -> Path:
    """A plant whose last AVC order is judged 40 min after the month, and one that sent a record before it only."""
    (folder / "records").mkdir(parents=True)
    units = PLANT.format(1, AVC) + PLANT.format(2, "until = 2026-06-02")
    (folder / "register.toml").write_text(REGISTER.format(hold=hold_s) + units, "utf-8")
    (folder / "records" / "records.csv").write_text(RECORDS, "utf-8")
    rows = "".join(f"P{n},2026-06,energy,1000\n" for n in (1, 2))
    (folder / "revenue.csv").write_text("plant,month,kind,amount_yuan\n" + rows, "utf-8")
    return folder


def test_what_lies_further_from_the_month_than_a_day_file_s_edge_counts_as_far_as_the_hold_limit_says(
    tmp_path: Path,
) -> None:
    folder = made(tmp_path / "folder", 4 * 86_400)
    offline = settle(JUNE, load_folder(folder), load_rulebook(RULES))
    amounts = {(line.unit, line.service): str(line.amount_yuan) for line in offline.lines}
    assert amounts["U1", "avc"] == "1440.00"  # 506.5 for 507 kV at 00:40: passed; 600 MW × 24 h × 0.1
    assert amounts["U2", "deep_peak"] == "12320.00"  # (354 − 200) MW × 8 h × 10 on the 1st
    with new_store(tmp_path / "state") as store:
        fill_store(store, folder)
        run = settled(store)
        assert run.row.result_hash == offline.result_hash()
        assert_as_offline(store, run, tmp_path)
