# SPDX-License-Identifier: GPL-3.0-or-later
"""Reviews from question to ruling: whose, by when, decided by whom, and what may lie beside them."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from collector.base.errors import CollectorError, ConfigError, Denied, Missing, RuleError, StoreError
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import imported
from collector.center.month.attachments import MAX_FILE_BYTES, check_attachment, safe_name
from collector.center.month.decisions import decisions_csv, list_decisions
from collector.center.month.review_files import attach, remedies_of
from collector.center.month.review_log import Review, ReviewState, list_reviews, read_attachment, review_by_id
from collector.center.month.reviews import (
    ReviewRequest,
    admit_review,
    answer_review,
    decide_review,
    escalate_review,
    link_remedy,
    note_what_if,
    propose_decision,
    rule_on_appeal,
    submit_review,
    withdraw_review,
)
from collector.center.month.transitions import propose_step
from collector.center.papers.filings import make_filings
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.center.runs.month_state import MonthStage, month_state
from collector.model.interval import Month
from collector.settlement.rulebook.calendar import DutyDays
from tests.center.center_batches import FixedClock, new_store
from tests.center.made_month import (
    AUDITOR,
    BOOK,
    DAYS,
    DEEP_PEAK,
    FIRST,
    LI,
    MAY,
    PLANT_1,
    PLANT_2,
    REGULATOR,
    SUN,
    WANG,
    add_run,
    on,
    step,
)
from tests.center.runs.center_months import take
from tests.patience import HANG_S

REGISTERED = Path(__file__).resolve().parents[2] / "golden" / "black-start-and-thirds" / "when"
PDF = b"%PDF-1.7\n%evidence\n"
# Actors of both sides who could be one person with two accounts of one name are refused elsewhere (four eyes).
REGULATOR_2 = Actor("jiangsu-office", Role.REGULATOR)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CenterStore]:
    with new_store(tmp_path / "state", FixedClock(on(1))) as opened:
        step(opened, MonthStage.DISCLOSED, add_run(opened), at=on(10))
        yield opened


def request(**changes: Any) -> ReviewRequest:
    usual: dict[str, Any] = {
        "run_id": 1,
        "unit": "U1",
        "service": "deep_peak",
        "from_ms": on(3, month=5),
        "to_ms": on(3, hour=14, month=5),
        "claim_kind": "yuan",
        "claim_value": "3660.01",
        "text": "3日12时至14时出力低于基准,未计入",
    }
    return ReviewRequest(**(usual | changes))


def ask(store: CenterStore, actor: Actor = PLANT_1, at: int = on(12), **changes: Any) -> int:
    return submit_review(store, request(**changes), actor=actor, days=DAYS, now_ms=at)


def act(store: CenterStore, what: Any, number: int, actor: Actor, at: int = on(13), **more: Any) -> Any:
    return store.write(lambda c: what(c, number, actor=actor, now_ms=at, **more)).result()


def get(store: CenterStore, number: int, actor: Actor = AUDITOR) -> Review:
    return store.read(lambda c: review_by_id(c, number, actor=actor))


def decide(store: CenterStore, number: int, *, granted: bool, at: int = on(15)) -> None:
    proposal = act(store, propose_decision, number, LI, at, granted=granted, text="经核查")
    act(store, decide_review, proposal, WANG, at, approved=True)


def test_a_review_points_at_a_line_and_an_interval_and_takes_the_month_into_review(store: CenterStore) -> None:
    found = get(store, ask(store))
    assert (found.state, found.plant, found.unit, found.service) == (ReviewState.ASKED, "P1", "U1", "deep_peak")
    assert (found.claim_value, found.claim_unit, found.line_value) == ("3660.01", "yuan", "3600.00")
    # Friday 12 June; Monday, Tuesday, Wednesday are worked: due on the 17th. Asked by the 15th.
    assert (found.deadline, found.answer_due, found.late) == (date(2026, 6, 15), date(2026, 6, 17), False)
    state = store.read(lambda c: month_state(c, MAY))
    assert (state.state, state.run_id) == (MonthStage.IN_REVIEW, 1)
    assert ask(store, text="另一时段") == 2
    assert store.read(lambda c: month_state(c, MAY)).number == state.number


def test_a_quantity_is_claimed_in_the_unit_of_its_line(store: CenterStore) -> None:
    found = get(store, ask(store, claim_kind="quantity", claim_value="366.001"))
    assert (found.claim_unit, found.line_value) == ("MWh", "360.000000")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"unit": "U2", "service": "avc"}, "no line U2/avc of your plant"),
        ({"unit": "U9"}, "no line U9/deep_peak of your plant"),
        ({"run_id": 7}, "run 7 is not disclosed"),
    ],
)
def test_a_plant_asks_about_its_own_lines_of_disclosed_runs_only(
    store: CenterStore, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(Denied, match=says):
        ask(store, **changes)


@pytest.mark.parametrize("actor", [LI, WANG, AUDITOR, REGULATOR])
def test_nobody_but_a_plant_asks_for_reviews(store: CenterStore, actor: Actor) -> None:
    with pytest.raises(Denied, match="no permission review_submit"):
        ask(store, actor)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"from_ms": on(3, month=4)}, "must lie in 2026-05"),
        ({"to_ms": on(3, month=5)}, "must lie in 2026-05"),
        ({"claim_kind": "share"}, "yuan or quantity"),
        ({"claim_value": "1e9"}, "expected a number"),
        ({"claim_value": "-1"}, "expected a number"),
        ({"claim_value": "1.005"}, "at most 2 decimals"),
        ({"claim_value": "١"}, "expected a number"),
        ({"text": " \n"}, "say why"),
        ({"text": "x" * 4001}, "at most 4000"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_remedy(store: CenterStore, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(StoreError, match=says):
        ask(store, **changes)
    assert store.read(lambda c: list_reviews(c, actor=AUDITOR)) == []


def test_the_fifteenth_counts_and_after_it_a_review_is_late_until_an_operator_takes_it(store: CenterStore) -> None:
    assert get(store, ask(store, at=on(15, hour=23))).state is ReviewState.ASKED
    late = ask(store, at=on(16, hour=0))
    found = get(store, late)
    assert (found.state, found.late, found.is_open) == (ReviewState.LATE, True, False)
    with pytest.raises(StoreError, match="is late"):
        act(store, answer_review, late, LI, text="no")
    act(store, admit_review, late, LI, on(17), reason="披露当日系统不可用", days=DAYS)
    # Wednesday 17 June: 18th, then the Dragon Boat holiday 19th-21st; 22nd, 23rd.
    assert (get(store, late).state, get(store, late).answer_due) == (ReviewState.ASKED, date(2026, 6, 23))


def test_an_answer_is_due_by_the_working_days_of_the_rulebook(store: CenterStore) -> None:
    found = BOOK.values["answer.working_days"]
    later = replace(found.rows[0], value=Decimal(4), from_day=date(2026, 6, 1))
    four = DutyDays(DAYS.working, replace(BOOK, values={**BOOK.values, found.id: replace(found, rows=(later,))}))
    # Friday 12 June 2026: 15, 16, 17, 18. One of Tuesday 16, late, taken on Wednesday 17: 18, then 22, 23, 24.
    number = submit_review(store, request(), actor=PLANT_1, days=four, now_ms=on(12))
    assert get(store, number).answer_due == date(2026, 6, 18)
    late = submit_review(store, request(), actor=PLANT_1, days=four, now_ms=on(16))
    act(store, admit_review, late, LI, on(17), reason="披露当日系统不可用", days=four)
    assert get(store, late).answer_due == date(2026, 6, 24)


def test_an_unknown_year_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    december = Month(2026, 12)
    with new_store(tmp_path / "state", FixedClock(on(5, month=1, year=2027))) as store:
        run = add_run(store, month=december)
        step(store, MonthStage.DISCLOSED, run, at=on(11, month=1, year=2027), month=december, reason="no calendar yet")
        with pytest.raises(RuleError, match="no working-day table for 2027"):
            ask(store, at=on(12, month=1, year=2027), run_id=run, from_ms=on(3, month=12), to_ms=on(4, month=12))
        assert store.read(lambda c: list_reviews(c, actor=AUDITOR)) == []


def test_answered_decided_by_two_and_carried_out(store: CenterStore) -> None:
    number = ask(store)
    act(store, answer_review, number, LI, text="核查中")
    proposal = act(store, propose_decision, number, LI, granted=True, text="准予,3日12时至14时计入")
    with pytest.raises(Denied, match="another person"):
        act(store, decide_review, proposal, Actor("li", Role.APPROVER), approved=True)
    assert act(store, decide_review, proposal, WANG, approved=True).state is ReviewState.GRANTED
    assert get(store, number).is_open  # until it is carried out
    second = add_run(store, {DEEP_PEAK: "3660.01"})
    with pytest.raises(StoreError, match="name the import, or the run"):
        act(store, link_remedy, number, LI)
    with pytest.raises(StoreError, match="no run 99 settles 2026-05"):
        act(store, link_remedy, number, LI, run_id=99)
    with pytest.raises(StoreError, match="no import 5 is in force"):
        act(store, link_remedy, number, LI, import_id=5)
    act(store, link_remedy, number, LI, run_id=second)
    found = get(store, number)
    assert (found.is_open, found.carried_out, found.events[-1].link_run_id) == (False, True, second)
    actions = [e["action"] for e in store.read(lambda c: audit.list_entries(c, subject=f"review {number}"))]
    assert actions == [
        *("review.carried_out", "review.granted", "review_decision.decide", "review_decision.propose"),
        *("review.answered", "review.submit"),
    ]
    assert store.read(audit.verify) == []


def test_an_import_carries_a_review_out_while_it_is_in_force(store: CenterStore) -> None:
    number = ask(store)
    decide(store, number, granted=True)
    values = {"kind": "exclusions", "name": "e.csv", "sha256": "0", "who": "li", "at_ms": 1, "bytes": b""}
    counts = {"added": 1, "same": 0, "replaced": 0, "first_ms": 0, "last_ms": 0}
    store.write(lambda c: c.execute(insert(imported).values(values | counts))).result()
    act(store, link_remedy, number, LI, import_id=1)
    assert get(store, number).events[-1].link_import_id == 1


def test_a_decision_sent_back_leaves_the_review_where_it_was(store: CenterStore) -> None:
    number = ask(store)
    proposal = act(store, propose_decision, number, LI, granted=False, text="不予支持")
    with pytest.raises(StoreError, match="must say why"):
        act(store, decide_review, proposal, WANG, approved=False)
    act(store, decide_review, proposal, WANG, approved=False, note="请补充核查")
    assert get(store, number).state is ReviewState.ASKED
    decide(store, number, granted=False)
    assert get(store, number).state is ReviewState.REFUSED


def test_an_appeal_is_ruled_by_the_regulator_with_a_document(store: CenterStore) -> None:
    number = ask(store)
    with pytest.raises(StoreError, match="the answer is due on 2026-06-17; wait"):
        act(store, escalate_review, number, PLANT_1, on(17), text="未答复")
    decide(store, number, granted=False)
    act(store, escalate_review, number, PLANT_1, on(16), text="仍有异议")
    assert get(store, number).state is ReviewState.APPEALED
    ruling: dict[str, Any] = {"granted": True, "text": "裁决", "document": "华东监能裁〔2026〕1号"}
    for actor in (LI, WANG, PLANT_1):
        with pytest.raises(Denied):
            act(store, rule_on_appeal, number, actor, **ruling)
    with pytest.raises(StoreError, match="name the document"):
        act(store, rule_on_appeal, number, REGULATOR, **(ruling | {"document": " "}))
    act(store, rule_on_appeal, number, REGULATOR, on(18), **ruling)
    assert get(store, number).state is ReviewState.RULED_GRANTED
    with pytest.raises(StoreError, match="is ruled_granted"):
        act(store, escalate_review, number, PLANT_1, text="x")


def test_who_prepared_the_refusal_does_not_rule_on_the_appeal_either(store: CenterStore) -> None:
    number = ask(store)
    decide(store, number, granted=False)
    act(store, escalate_review, number, PLANT_1, text="y")
    same = Actor.at_command_line(LI.name)
    with pytest.raises(Denied, match="can't rule"):
        act(store, rule_on_appeal, number, same, granted=False, text="z", document="1号")


def test_who_had_a_hand_in_a_review_does_not_rule_on_it(store: CenterStore) -> None:
    number = ask(store)
    act(store, answer_review, number, LI, text="x")
    act(store, escalate_review, number, PLANT_1, text="y")
    for name in ("li", "one"):
        with pytest.raises(Denied, match="can't rule"):
            act(store, rule_on_appeal, number, Actor(name, Role.REGULATOR), granted=False, text="z", document="1号")
    act(store, rule_on_appeal, number, REGULATOR_2, granted=False, text="z", document="1号")


def test_without_an_answer_in_time_a_plant_may_appeal(store: CenterStore) -> None:
    number = ask(store)
    act(store, escalate_review, number, PLANT_1, on(18), text="逾期未答复")
    assert get(store, number).state is ReviewState.APPEALED


def test_a_plant_takes_its_own_review_back_before_it_is_decided(store: CenterStore) -> None:
    number = ask(store)
    with pytest.raises(Missing, match="there is none with this number"):
        act(store, withdraw_review, number, PLANT_2)
    act(store, withdraw_review, number, PLANT_1, text="数据已核对")
    assert get(store, number).state is ReviewState.WITHDRAWN
    decided = ask(store)
    decide(store, decided, granted=False)
    with pytest.raises(StoreError, match="is refused"):
        act(store, withdraw_review, decided, PLANT_1)


def test_another_plants_review_is_not_shown_and_not_touched(store: CenterStore) -> None:
    number = ask(store)
    assert store.read(lambda c: list_reviews(c, actor=PLANT_2)) == []
    with pytest.raises(Missing):
        get(store, number, PLANT_2)
    for what, more in ((escalate_review, {"text": "x"}), (withdraw_review, {}), (attach, {"name": "a", "data": PDF})):
        with pytest.raises(Missing):
            act(store, what, number, PLANT_2, on(18), **more)


def test_open_reviews_hold_up_the_filing_unless_a_reason_is_stated(store: CenterStore) -> None:
    number = ask(store)
    make_filings(store, 1, actor=LI)

    def propose(c: Connection, reason: str = "") -> int:
        return propose_step(c, MAY, MonthStage.FILED, actor=LI, now_ms=on(20), days=DAYS, reason=reason)

    with pytest.raises(StoreError, match=f"reviews not done: {number}: filing it needs a stated reason"):
        store.write(propose).result()
    decide(store, number, granted=False)
    assert store.write(propose).result()


def test_a_review_of_a_run_that_another_one_replaced_is_refused(store: CenterStore) -> None:
    step(store, MonthStage.DISCLOSED, add_run(store, {DEEP_PEAK: "1.00"}), at=on(11), reason="x")
    with pytest.raises(StoreError, match="run 2 is disclosed since"):
        ask(store)


def test_reviews_of_a_correction_go_by_the_days_of_the_next_disclosure(store: CenterStore) -> None:
    """Opened on 3 July, before July's disclosure day: asked by 15 July. Opened on the 13th, it would be 15 August."""
    make_filings(store, 1, actor=LI)
    for to, day in ((MonthStage.FILED, 19), (MonthStage.EFFECTIVE, 22), (MonthStage.PUBLISHED, 25)):
        step(store, to, at=on(day))
    step(store, MonthStage.CORRECTION, at=on(3, month=7), reason="x")
    step(store, MonthStage.DISCLOSED, add_run(store, FIRST, kind="correction"), at=on(9, month=7))
    found = get(store, ask(store, at=on(15, month=7), run_id=2))
    assert (found.edition, found.deadline, found.late) == (2, date(2026, 7, 15), False)


def test_two_plants_who_ask_first_at_once_are_both_heard(tmp_path: Path, database_url: str) -> None:
    stores = [new_store(tmp_path / "state", FixedClock(on(1)), database_url=database_url) for _ in range(2)]
    with stores[0] as one, stores[1] as other:
        step(one, MonthStage.DISCLOSED, add_run(one), at=on(10))
        failures: list[BaseException] = []
        barrier = threading.Barrier(2)

        def work(store: CenterStore, actor: Actor, unit: str, service: str) -> None:
            barrier.wait(HANG_S)
            try:
                ask(store, actor, unit=unit, service=service)
            except BaseException as error:
                failures.append(error)

        threads = [
            threading.Thread(target=work, args=(one, PLANT_1, "U1", "deep_peak")),
            threading.Thread(target=work, args=(other, PLANT_2, "U2", "avc")),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_S)
        assert failures == []
        assert {r.plant for r in one.read(lambda c: list_reviews(c, actor=AUDITOR))} == {"P1", "P2"}
        assert one.read(lambda c: month_state(c, MAY)).number == 2


def test_of_a_withdrawal_and_a_decision_at_once_one_happens(tmp_path: Path, database_url: str) -> None:
    stores = [new_store(tmp_path / "state", FixedClock(on(1)), database_url=database_url) for _ in range(2)]
    with stores[0] as one, stores[1] as other:
        step(one, MonthStage.DISCLOSED, add_run(one), at=on(10))
        number = ask(one)
        proposal = act(one, propose_decision, number, LI, granted=True, text="x")
        outcomes: list[str] = []
        barrier = threading.Barrier(2)

        def work(job: Any) -> None:
            barrier.wait(HANG_S)
            try:
                job()
                outcomes.append("done")
            except CollectorError as error:
                outcomes.append(type(error).__name__)

        jobs = (
            lambda: act(one, withdraw_review, number, PLANT_1),
            lambda: act(other, decide_review, proposal, SUN, approved=True),
        )
        threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_S)
        assert sorted(outcomes) == ["StoreError", "done"]
        assert len(get(one, number).events) == 1


def zipped(*names: str, size: int = 1) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, b"0" * size)
    return target.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "kept"),
    [
        ("报告.pdf", PDF, ("报告.pdf", "application/pdf")),
        ("photo.jpeg", b"\xff\xd8\xff\xe0", ("photo.jpeg", "image/jpeg")),
        ("screen.png", b"\x89PNG\r\n\x1a\n", ("screen.png", "image/png")),
        ("曲线.csv", "时间,出力\n".encode("gbk"), ("曲线.csv", "text/csv")),
        ("a.xlsx", zipped("[Content_Types].xml", "xl/workbook.xml"), ("a.xlsx", None)),
        # What it is, its bytes say; the name follows.
        ("photo.exe", b"\xff\xd8\xff\xe0", ("photo.exe.jpg", "image/jpeg")),
        ("../../etc/passwd", PDF, ("passwd.pdf", "application/pdf")),
        ("C:\\x\\y.pdf", PDF, ("y.pdf", "application/pdf")),
        ("", PDF, ("file.pdf", "application/pdf")),
    ],
)
def test_a_file_is_what_its_bytes_say_under_a_safe_name(name: str, data: bytes, kept: tuple[str, str | None]) -> None:
    checked = check_attachment(name, data)
    assert checked.name == kept[0]
    assert kept[1] in (None, checked.media_type)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"MZ\x90\x00", "is none of PDF"),
        (b"<html><script>alert(1)</script>", "is none of PDF"),
        (b'<?xml version="1.0"?><svg/>', "is none of PDF"),
        (b"a\x00b", "is none of PDF"),
        (zipped("a.txt"), "is an archive"),
        (zipped("[Content_Types].xml", "xl/workbook.xml", "xl/vbaProject.bin"), "carries macros"),
        (b"PK\x03\x04broken", "can't be read"),
        (b"%PDF-" + b"0" * MAX_FILE_BYTES, "at most"),
    ],
    ids=range(9),
)
def test_what_is_no_document_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_attachment("a.pdf", data)


def test_an_archive_that_swells_is_refused() -> None:
    with pytest.raises(ConfigError, match="swells"):
        check_attachment("a.pdf", zipped("[Content_Types].xml", "xl/workbook.xml", size=110 * 1024**2))


def test_names_that_steer_a_terminal_a_browser_or_the_reading_direction_are_cleaned() -> None:
    assert safe_name("a\u202egpj.exe") == "agpj.exe"
    assert safe_name("a\x1b[31m\r\nb.csv") == "a[31mb.csv"
    assert safe_name('=cmd|"/c calc"!A1.csv') == "c calc_!A1.csv"
    assert safe_name("..") == "file"
    assert len(safe_name("长" * 400 + ".pdf")) <= 120
    assert safe_name("长" * 400 + ".pdf").endswith(".pdf")


def test_evidence_and_remedies_lie_beside_a_review_with_their_hashes(store: CenterStore) -> None:
    number = ask(store)
    first = act(store, attach, number, PLANT_1, name="../x.pdf", data=PDF)
    assert act(store, attach, number, PLANT_1, name="again.pdf", data=PDF) == first
    remedy = b"unit,service,start,end,reason\n"
    with pytest.raises(Denied, match="review_answer"):
        act(store, attach, number, PLANT_1, name="e.csv", data=remedy, input_kind="exclusions")
    with pytest.raises(StoreError, match="is no kind of input"):
        act(store, attach, number, LI, name="e.csv", data=remedy, input_kind="weather")
    act(store, attach, number, LI, name="exclusions.csv", data=remedy, input_kind="exclusions")
    found = get(store, number)
    assert [(a.purpose, a.name, a.size_bytes) for a in found.attachments] == [
        ("evidence", "x.pdf", len(PDF)),
        ("remedy", "exclusions.csv", len(remedy)),
    ]
    assert store.read(lambda c: remedies_of(c, number, actor=LI)) == [("exclusions", "exclusions.csv", remedy)]
    facts, data = store.read(lambda c: read_attachment(c, first, actor=PLANT_1))
    assert (facts.media_type, data) == ("application/pdf", PDF)
    with pytest.raises(Missing, match="there is none with this number"):
        store.read(lambda c: read_attachment(c, first, actor=PLANT_2))
    # What is imported to put one plant right may be the table, or the register, of all.
    number_of_remedy = found.attachments[1].id
    with pytest.raises(Denied, match="rows of other plants"):
        store.read(lambda c: read_attachment(c, number_of_remedy, actor=PLANT_1))
    assert store.read(lambda c: read_attachment(c, number_of_remedy, actor=LI))[1] == remedy
    draft = add_run(store, kind="what_if")
    act(store, note_what_if, number, LI, run_id=draft)
    assert (get(store, number).events[-1].link_run_id, get(store, number).state) == (draft, ReviewState.ASKED)


def test_nothing_is_put_beside_a_review_that_is_closed(store: CenterStore) -> None:
    number = ask(store)
    act(store, withdraw_review, number, PLANT_1)
    with pytest.raises(StoreError, match="nothing is added any more"):
        act(store, attach, number, PLANT_1, name="x.pdf", data=PDF)


def test_only_so_many_files_lie_beside_a_review(store: CenterStore) -> None:
    number = ask(store)
    for index in range(20):
        act(store, attach, number, PLANT_1, name=f"{index}.pdf", data=PDF + b"%d" % index)
    with pytest.raises(StoreError, match="has 20 files already"):
        act(store, attach, number, PLANT_1, name="more.pdf", data=PDF)


def test_the_register_lists_every_decision_ruling_and_reading(store: CenterStore) -> None:
    number = ask(store, text="=1+1")
    assert get(store, number).office == ""  # no register names one
    text = (REGISTERED / "register.toml").read_text("utf-8")  # of jiangsu
    take(store, "register", text.replace('id = "jiangsu"', 'id = "jiangsu"\nregulator = "江苏能源监管办"', 1))
    decide(store, number, granted=False)
    act(store, escalate_review, number, PLANT_1, on(16), text="x")
    act(store, rule_on_appeal, number, REGULATOR, on(18), granted=True, text="=cmd", document="裁〔2026〕1号")
    act(store, propose_decision, ask(store), LI, on(19), granted=True, text="y")
    found = store.read(lambda c: list_decisions(c, actor=AUDITOR))
    assert [(d.kind, d.subject, d.outcome, d.prepared_by, d.decided_by) for d in found] == [
        ("month_step", "2026-05", "granted", "li", "wang"),
        ("reading", "I-03", "from_lower_limit", "li", "wang"),
        ("review_decision", "review 1", "granted", "li", "wang"),
        ("appeal_ruling", "review 1", "granted", "one", "jianguan"),
        ("review_decision", "review 2", "open", "li", ""),
    ]
    assert found[3].document == "裁〔2026〕1号"
    assert [d.office for d in found] == ["", "", "", "江苏能源监管办", ""]
    assert get(store, number).office == "江苏能源监管办"
    text = decisions_csv(found).decode("utf-8-sig")
    assert ",'=cmd" in text
    with pytest.raises(Denied):
        store.read(lambda c: list_decisions(c, actor=PLANT_1))
