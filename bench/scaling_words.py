# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of docs/scaling.md in two languages; the numbers are `scaling`'s."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class ScalingWords:
    """A language. `rows`: label and cell; `bought`, `remedies`: what is bought where a thing runs out."""

    title: str
    other: str
    intro: str
    needs: str
    sizes: Mapping[str, str]
    rows: tuple[tuple[str, Callable[[Any], str]], ...]
    breaks: str
    breaks_intro: str
    shares: str
    names: Mapping[str, str]
    bought: Callable[[Any], str]
    limit_heads: str
    remedies: Mapping[str, str]
    costs: str
    costs_intro: str
    costs_heads: str
    cost_names: Mapping[str, str]
    assumed: str
    assumptions: Callable[[Any], list[str]]


def _rows(labels: tuple[str, ...]) -> tuple[tuple[str, Callable[[Any], str]], ...]:
    cells: tuple[Callable[[Any], str], ...] = (
        lambda n: f"{n.size.plants:,}",
        lambda n: f"{n.size.units:,}",
        lambda n: f"{n.records_s:,.0f}",
        lambda n: f"{n.rows_month / 1e6:,.1f}",
        lambda n: f"{n.wire_gb_month:,.2f}",
        lambda n: f"{n.lake_gb_month:,.2f}",
        lambda n: f"{n.disk_tb:,.2f}",
        lambda n: f"{n.agent_share:.3%}",
        lambda n: f"{n.receiving_cores:.4f}",
        lambda n: f"{n.receivers}",
        lambda n: f"{n.brokers}",
        lambda n: f"{n.settle_core_h:,.3f}",
        lambda n: f"{n.cores}",
        lambda n: f"{n.settle_h:,.2f}",
        lambda n: f"{n.servers}",
        lambda n: f"{n.yuan:,}",
    )
    return tuple(zip(labels, cells, strict=True))


def _bought_in_english(need: Any) -> str:
    if not need.servers:
        return "The gateway it has is enough; the dispatch centre settles, and the plant repeats it on any PC."
    return f"Bought: {need.servers} machines of 16 cores, of which one stands by, and {need.size.plants:,} gateways."


def _bought_in_chinese(need: Any) -> str:
    if not need.servers:
        return "现有网关即可;结算由调度侧完成,电厂用任何一台电脑即可复算。"
    return f"需购置:{need.servers} 台 16 核服务器(其中一台备用),{need.size.plants:,} 台网关。"


def _assumptions_in_english(s: Any) -> list[str]:
    return [
        f"- A record of each unit every second, {s.POINTS_A_UNIT} quantities; a batch a minute; a month of "
        f"{s.MONTH_DAYS} days; a plan of {s.QUARTERS} values a day.",
        f"- Receivers and brokers are sized for {s.CATCH_UP} times the usual rate: a day's outage of all plants is "
        f"made up in four hours, beside what goes on coming. A core or a broker is planned to be {s.BUSY:.0%} busy.",
        f"- A month is settled in a night of {s.NIGHT_H:.0f} h. Where measuring runs every day as records come, the "
        "end of the month has the closing alone.",
        "- Measuring was measured at a record a minute, where what a unit and a day cost by themselves weighs most; "
        "per record it is dearer there than at one a second, so the hours above are the upper bound.",
        f"- Disk: {s.KEPT_MONTHS} months of the lake and {s.JOURNAL_DAYS} days of the journal's payloads, mirrored.",
        f"- Prices: a gateway {s.GATEWAY_YUAN:,} yuan, a server of {s.SERVER_CORES} cores {s.SERVER_YUAN:,}, a "
        f"mirrored TB {s.MIRRORED_TB_YUAN:,}. Assumed, not offered by anybody; so are the numbers of plants and units.",
        "- A nation's figures are arithmetic over these costs. Nobody has run one: 300 plants through one broker into "
        "one receiver, and 1 000 units settled, are what the bench runs.",
    ]


def _assumptions_in_chinese(s: Any) -> list[str]:
    return [
        f"- 每台机组每秒一条记录,{s.POINTS_A_UNIT} 个量;每分钟一个批次;一个月 {s.MONTH_DAYS} 天;"
        f"计划每天 {s.QUARTERS} 点。",
        f"- 接收与代理按平时速率的 {s.CATCH_UP} 倍配置:全部电厂中断一天,四小时内补完,其间新数据照常到达。"
        f"核与代理按 {s.BUSY:.0%} 负荷规划。",
        f"- 一个月在一夜 {s.NIGHT_H:.0f} 小时内结算。若每天随记录到达测算,月末只剩关账。",
        "- 测算是在每分钟一条记录下测得的,此时机组与日的固定开销占比最大,单条记录比每秒一条时更贵,故上表小时数是上限。",
        f"- 磁盘:数据湖 {s.KEPT_MONTHS} 个月,日志载荷 {s.JOURNAL_DAYS} 天,镜像。",
        f"- 价格:网关 {s.GATEWAY_YUAN:,} 元,{s.SERVER_CORES} 核服务器 {s.SERVER_YUAN:,} 元,镜像磁盘每 TB "
        f"{s.MIRRORED_TB_YUAN:,} 元。均为假设,并非报价;电厂与机组数量亦然。",
        "- 全国的数字是由这些成本算出的,没有人实际运行过;性能测试实际运行的是 300 座电厂经一个代理进入一个接收进程,"
        "以及 1 000 台机组的结算。",
    ]


ENGLISH: Final = ScalingWords(
    title="From a plant to the nation",
    other="中文: [scaling.zh-CN.md](scaling.zh-CN.md)",
    intro="What each size needs, computed by `python -m bench.scaling` from costs that the bench measured at the "
    "sizes named below, on a machine that did other work beside it: take them as upper bounds, and measure your own.",
    needs="What is needed",
    sizes={"plant": "a plant", "province": "a province", "region": "East China", "nation": "the nation"},
    rows=_rows(
        (
            "plants",
            "units",
            "records a second",
            "million rows a month",
            "GB on the wire a month",
            "GB in the lake a month",
            "TB of disk",
            "agent, of one core of its gateway",
            "cores to receive, on a usual day",
            "receivers",
            "brokers",
            "core hours to settle a month",
            "cores at the center",
            "hours to settle with them",
            "servers",
            "yuan of hardware, gateways included",
        )
    ),
    breaks="What runs out first",
    breaks_intro="Shares of what a receiver, a broker, one machine of 16 cores (settling: a night) and 8 TB can do.",
    shares="{0} first, {1} used; then {2}, {3}.",
    names={
        "receiver": "the one receiver, catching up",
        "settling": "the night's hours for settling",
        "sealing": "sealing",
        "broker": "the broker, catching up",
        "disk": "the disk",
    },
    bought=_bought_in_english,
    limit_heads="| what runs out | at so many units | what is bought then |",
    remedies={
        "receiver": "PostgreSQL (SQLite refuses a second receiver), and receivers that share the subscription",
        "settling": "cores: `center worker` on other machines (`--executor dask://…`)",
        "sealing": "cores; sealing has processes of its own",
        "broker": "a second broker, half of the plants on each",
        "disk": "disks, or shared storage for the lake",
    },
    costs="Measured costs",
    costs_intro="CPU seconds of one core, on the machine below.",
    costs_heads="| what | cost | the figure of `make bench` |",
    cost_names={
        "agent_s_per_point": "agent: read, record, buffer a point, s",
        "wire_bytes": "a record on the wire, bytes",
        "buffer_bytes": "a record at the gateway, bytes",
        "lake_bytes": "a record in the lake, bytes",
        "records_per_core_s": "receive, verify and journal, records per core second",
        "seal_s_per_record": "seal a record into its day file, s",
        "batches_per_broker_s": "batches a second through one core of the broker, QoS 1",
        "measure_s_per_record": "measure a record, all services, s",
        "close_s_per_unit": "close a unit's measured month, s",
        "import_s_per_row": "import a row of the plan, s",
    },
    assumed="Assumed",
    assumptions=_assumptions_in_english,
)
CHINESE: Final = ScalingWords(
    title="从一座电厂到全国",
    other="English: [scaling.md](scaling.md)",
    intro="各种规模所需,由 `python -m bench.scaling` 根据基准测试按下列规模测得的成本计算。"
    "测量时该机器还有其他负载，请视为上限，并在自己的机器上重测。",
    needs="所需资源",
    sizes={"plant": "一座电厂", "province": "一个省", "region": "华东", "nation": "全国"},
    rows=_rows(
        (
            "电厂",
            "机组",
            "每秒记录数",
            "每月百万行",
            "每月上送 GB",
            "每月入湖 GB",
            "磁盘 TB",
            "采集占网关一个核",
            "平日接收所需的核",
            "接收进程",
            "代理",
            "结算一个月的核·小时",
            "主站的核",
            "以此结算所需小时",
            "服务器",
            "硬件费用(元,含网关)",
        )
    ),
    breaks="最先用尽的是什么",
    breaks_intro="占一个接收进程、一个代理、一台 16 核机器(结算为一夜)、8 TB 磁盘能力的份额。",
    shares="最先是{0},已用 {1};其次是{2},{3}。",
    names={
        "receiver": "单个接收进程(补传时)",
        "settling": "夜间结算时间",
        "sealing": "封存",
        "broker": "代理(补传时)",
        "disk": "磁盘",
    },
    bought=_bought_in_chinese,
    limit_heads="| 用尽的是 | 机组数达到 | 届时购置 |",
    remedies={
        "receiver": "以 PostgreSQL 代替 SQLite(后者拒绝第二个接收进程),多个接收进程共享订阅",
        "settling": "核:其他机器上的 `center worker`(`--executor dask://…`)",
        "sealing": "核;封存有自己的进程",
        "broker": "第二个代理,各接一半电厂",
        "disk": "磁盘,或供数据湖使用的共享存储",
    },
    costs="测得的成本",
    costs_intro="一个核的 CPU 秒,测于下述机器。",
    costs_heads="| 项目 | 成本 | `make bench` 的数字 |",
    cost_names={
        "agent_s_per_point": "采集:读、记录、缓存一个点,秒",
        "wire_bytes": "一条记录上送,字节",
        "buffer_bytes": "一条记录在网关,字节",
        "lake_bytes": "一条记录在数据湖,字节",
        "records_per_core_s": "接收、验签、入日志,每核秒记录数",
        "seal_s_per_record": "封存一条记录到日文件,秒",
        "batches_per_broker_s": "代理的一个核每秒批次,QoS 1",
        "measure_s_per_record": "测算一条记录(全部服务),秒",
        "close_s_per_unit": "关账一台机组已测算的月份,秒",
        "import_s_per_row": "导入一行计划,秒",
    },
    assumed="假设",
    assumptions=_assumptions_in_chinese,
)
