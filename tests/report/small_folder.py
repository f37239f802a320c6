# SPDX-License-Identifier: GPL-3.0-or-later
"""A small settlement folder."""

from __future__ import annotations

# Rules.md section 5: 上海 1000 MW at 380 MW for four valley hours of annual plan: 360 MWh, 3 600.00 yuan.
REGISTER = """\
[policy]
hold_limit_s = 900
[[area]]
id = "shanghai"
name = "上海"
dispatch_mode = "annual_plan"
valley_hours = ["00:00-04:00"]
peak_hours = []
hours_filing = "沪电调 1"
[[plant]]
id = "P1"
name = "电厂"
area = "shanghai"
revenue_basis = "on_grid"
shares = true
[[unit]]
id = "U1"
plant = "P1"
kind = "coal"
rated_mw = "1000"
"""


HEADERS = {
    "plan.csv": "unit,start,end,power_mw\n",
    "orders.csv": "id,unit,kind,start,end\n",
    "reserve.csv": "unit,kind,start,end,power_mw\n",
    "voltage_band.csv": "unit,start,end,low_kv,high_kv\n",
    "exclusions.csv": "unit,service,start,end,reason\n",
    "revenue.csv": "plant,month,kind,amount_yuan\nP1,2026-03,energy,1000\n",
    "rates.csv": "unit,month,kind,value,source\n",
    "start_stop_table.csv": "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from,document\n",
}


MINUTE_MS = 60_000
