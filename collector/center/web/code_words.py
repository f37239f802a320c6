# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of the center in words, as pages show them; those of the settlement stand in `report.words`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.base.text import Text, both, full_width, into, tr, tr_in
from collector.center.operate.inbox.tasks import KIND_WORDS
from collector.center.people.access import ROLE_WORDS
from collector.model.quantity import QUANTITIES as MODEL_QUANTITIES
from collector.report import words as report_words
from collector.report.compare import DISPATCH, KERNEL, READING, RECORDS, REGISTER, RULEBOOK, UNEXPLAINED

ROLES: Final[Mapping[str, Text]] = {**ROLE_WORDS, "local": tr("command line")}

SCOPES: Final[Mapping[str, Text]] = {
    "read": tr("read"),
    "import": tr("import"),
    "settle": tr("settle"),
    "prepare": tr("prepare steps"),
    "approve": tr("approve"),
    "review": tr("ask for or answer reviews"),
    "regulate": tr("approve filings"),
    "administer": tr("accounts and keys"),
}

INPUT_KINDS: Final[Mapping[str, Text]] = {
    "register": tr("register"),
    "plan": tr("plan"),
    "orders": tr("orders"),
    "reserve": tr("reserve"),
    "voltage_band": tr("voltage band"),
    "exclusions": tr_in("input", "exclusions"),
    "revenue": tr("revenue"),
    "rates": tr("rates"),
    "start_stop_table": tr("start-stop table"),
    "meter_changes": tr("meter changes"),
    "reserve_calls": tr("calls of reserves"),
    "reserve_minimum": tr("least reserve"),
    "records": tr("records"),
    "rulebook": tr("rulebook"),
}


def code_in_words(table: str, key: str, language: str) -> str:
    """A code of a table here or in `report.words` in a language; an unknown code as it is."""
    if (of_center := globals().get(table)) is not None:
        return str(into(of_center.get(key, key), language))
    chinese, english = report_words.of(getattr(report_words, table), key)
    return english or chinese if language == "en" else full_width(chinese)


_CAUSES: Final[Mapping[str, Text]] = {
    RECORDS: tr("records"),
    REGISTER: tr("the register"),
    RULEBOOK: tr("the rulebook"),
    KERNEL: tr("the program that measures"),
    "lines": tr("lines, own or of other plants"),
    UNEXPLAINED: tr("not explained by what differs"),
}


def cause_words(cause: str) -> Text:
    """A possible cause of a difference between two runs (`report.compare`) in words."""
    if cause.startswith(READING):
        return tr("another reading of the text: {id}", id=cause.removeprefix(READING).strip())
    if cause.startswith(DISPATCH):
        kind = cause.removeprefix(DISPATCH).removeprefix(": ")
        return tr("delivered by dispatch: {kind}", kind=INPUT_KINDS.get(kind, kind))
    return _CAUSES[cause]


RUN_KINDS: Final[Mapping[str, Text]] = {
    "trial": tr("trial"),
    "correction": tr("trial of a correction"),
    "what_if": tr("what-if"),
    "running": tr("running month"),
    "disclosed": tr("formal settlement"),
}

# Of a run, an area or a plant in it: only of a run that a month stood on is anything final.
RUN_STATUSES: Final[Mapping[str, Text]] = {
    "final": tr("nothing missing"),
    "provisional": tr("provisional"),
    "blocked": tr("can't be settled"),
}

# Of those without a statement; one that is done shows the status of its statement.
RUN_STATES: Final[Mapping[str, Text]] = {
    "queued": tr("queued"),
    "running": tr("under way"),
    "failed": tr("failed"),
    "interrupted": tr("interrupted"),
    "expired": tr_in("run", "expired"),
}

TAKING_STEPS: Final[Mapping[str, Text]] = {
    "waiting": tr("waiting for its turn"),
    "reading": tr("reading the file"),
    "comparing": tr("comparing with what is in force"),
    "writing": tr("writing its rows"),
}
RUN_DOINGS: Final[Mapping[str, Text]] = {
    "sealing": tr("sealing days"),
    "laying_out": tr("laying out the inputs"),
    "reading": tr("reading day files"),
    "measuring": tr("measuring plant-days"),
    "closing": tr("adding up"),
    "writing": tr("writing the statement"),
}

# What can be done about what was left on the table, by its reason.
REMEDIES: Final[Mapping[str, Text]] = {
    "missing": tr("ask the gateway for its records again; look at its links"),
    "agc_off": tr("put AGC in service, or tell the centre why it can't be"),
    "avc_off": tr("put AVC in service, or tell the centre why it can't be"),
    "above_gate": tr("come down to the gate in valley hours"),
    "above_lower_limit": tr("come down below the lower limit in valley hours"),
    "order_failed": tr("look at the AVC controller: orders were not reached in time"),
    "own_fault": tr("the exclusion says own fault: ask for its review if it was not"),
    "uncertain_edge": tr("send the breaker's records of that time"),
    "pending": tr("nothing: the rule's table is not known"),
    "not_spilling": tr("spill as ordered, or ask the centre to end the order"),
    "outside_order": tr("nothing: nothing was asked of the unit"),
    "outside_valley": tr("nothing: outside the hours"),
    "outside_reserve": tr("nothing: no reserve was asked"),
}

DUTY_STATES: Final[Mapping[str, Text]] = {
    "done": tr("done"),
    "open": tr_in("duty", "open"),
    "late": tr("late"),
    "passed": tr("over"),
}

DECISIONS: Final[Mapping[str, Text]] = {
    "granted": tr("granted"),
    "refused": tr("refused"),
    "withdrawn": tr("withdrawn"),
    "open": tr_in("decision", "open"),
}

PROPOSALS: Final[Mapping[str, Text]] = {
    "month_step": tr("step of the month"),
    "month_filing": tr("approval of the filing"),
    "month_publication": tr("publication"),
    "appeal_ruling": tr("ruling on an appeal"),
    "reading": tr("reading adopted"),
    "review_decision": tr("review decision"),
    "substitution_withdrawal": tr("taking a substitution back"),
    "repair": tr("repair of a day file"),
    "substitution": tr("substitution"),
}

TASKS: Final[Mapping[str, Text]] = KIND_WORDS
TASK_STANDINGS: Final[Mapping[str, Text]] = {"late": tr_in("task", "late"), "today": tr("today")}

REVIEW_EVENTS: Final[Mapping[str, Text]] = {
    "admitted": tr("taken although late"),
    "answered": tr_in("review", "answered"),
    "granted": tr_in("review", "granted"),
    "refused": tr_in("review", "refused"),
    "appealed": tr("appealed"),
    "ruled_granted": tr("granted by ruling"),
    "ruled_refused": tr("refused by ruling"),
    "withdrawn": tr("withdrawn"),
    "tried": tr("tried in a what-if run"),
    "carried_out": tr("carried out"),
}

# Of a reading that stands in no article.
CLAUSES: Final[Mapping[str, Text]] = {"time": tr_in("clause", "time")}

# A quantity keeps its name in English, by which files and programs know it.
QUANTITIES: Final[Mapping[str, Text]] = {q.name: both(q.name, q.zh) for q in MODEL_QUANTITIES}

# Where a gateway's key is from; `center.toml` is the name of a file.
KEY_SOURCES: Final[Mapping[str, Text]] = {"store": tr("enrolled here")}

# What `plausibility` finds in the records of a day.
FINDING_CODES: Final[Mapping[str, Text]] = {
    "out_of_range": tr_in("finding", "out of range"),
    "implausible_rate": tr_in("finding", "changes too fast"),
    "frozen": tr_in("finding", "does not move"),
    "conflicting_records": tr_in("finding", "two records of one instant"),
    "clock_unsynchronised": tr_in("finding", "clock not synchronised"),
    "clock_stepped": tr_in("finding", "clock set"),
    "negative_power": tr_in("finding", "takes power"),
    "register_backwards": tr_in("finding", "register ran back"),
    "meter_differs": tr_in("finding", "telemetry and meter differ"),
    "agc_off_grid": tr_in("finding", "AGC in service off the grid"),
    "voltage_implausible": tr_in("finding", "voltage can't be"),
}

# Why time has no usable value: nothing came, what a gap record of a gateway says, or the quality of a value.
GAP_REASONS: Final[Mapping[str, Text]] = {
    "no_record": tr_in("gap", "nothing came"),
    "evicted": tr_in("gap", "let go of by the gateway: its buffer was full"),
    "unreadable": tr_in("gap", "could not be read in the gateway's buffer"),
    "not_kept": tr_in("gap", "no longer kept by the gateway"),
    "unconfirmed": tr_in("gap", "handed over across a one-way device; whether it came nobody knows"),
    "stale": tr_in("gap", "no new value"),
    "invalid": tr_in("gap", "marked invalid by the device"),
    "out_of_range": tr_in("finding", "out of range"),
    "suspect": tr_in("gap", "suspect"),
    "silent": tr_in("gap", "the device was silent"),
    "refused": tr_in("gap", "the device refused"),
    "garbled": tr_in("gap", "the answer could not be read"),
    "late_tag": tr_in("gap", "late"),
    "substituted": tr_in("gap", "substituted"),
}

SUBSTITUTION_STATES: Final[Mapping[str, Text]] = {
    "withdrawing": tr("{who} proposes to take it back"),
    "open": tr_in("substitution", "open"),
    "in_force": tr("in force"),
    "refused": tr("refused"),
    "withdrawn": tr_in("substitution", "taken back"),
}

VALUE_STATES: Final[Mapping[str, Text]] = {
    "in_force": tr("in force"),
    "expected": tr("expected"),
    "ended": tr("ended"),
    "unknown": tr("unknown"),
}

ALARMS: Final[Mapping[str, Text]] = {
    "plant_silent": tr("plant is silent"),
    "quarantine_growing": tr("quarantine grows"),
    "days_unsealed": tr("days unsealed"),
    "disk_nearly_full": tr("disk nearly full"),
    "gateway_clock": tr("gateway clock"),
    "gateway_twice": tr("gateway id used twice"),
    "plant_flooding": tr("plant sends too much"),
    "center_not_writing": tr("center can't write"),
}

IMPORT_STATES: Final[Mapping[str, Text]] = {
    "in_force": tr("in force"),
    "undone": tr("taken back"),
}

ASK_STATES: Final[Mapping[str, Text]] = {
    "answered": tr_in("ask", "answered"),
    "open": tr_in("ask", "open"),
}

ALARM_STATES: Final[Mapping[str, Text]] = {
    "stands": tr("stands"),
    "cleared": tr("cleared"),
}

LANES: Final[Mapping[str, Text]] = {
    "on_grid": tr("on grid"),
    "agc_in_service": tr("AGC in service"),
    "avc_in_service": tr("AVC in service"),
    "condenser": tr("condenser"),
    "spilling": tr("spilling"),
    "orders": tr("orders"),
    "reserve": tr("reserve"),
    "exclusions": tr("exclusions"),
    "voltage_band": tr("voltage band"),
}

LIMITS: Final[Mapping[str, Text]] = {
    "rated": tr("rated power"),
    "lower_limit": tr("lower limit"),
    "gate": tr("gate of deep peak shaving"),
    "agc_upper": tr("AGC upper limit"),
    "agc_lower": tr("AGC lower limit"),
}

CURVES: Final[Mapping[str, Text]] = {
    "power": tr("active power"),
    "plan": tr_in("curve", "plan"),
    "setpoint": tr("AGC setpoint"),
    "reactive": tr("reactive power"),
}

# What a page says once, after a form of it was carried out; the code travels in the address.
NOTICES: Final[Mapping[str, Text]] = {
    "import_forgotten": tr("The file was put away; nothing of it was taken."),
    "import_nothing_new": tr("Nothing new: all rows are there already."),
    "password_changed": tr("The password is changed, its sessions have ended, its tokens are revoked; log in again."),
    "logged_out": tr("You are logged out."),
    "token_revoked": tr("The token is revoked."),
    "factor_needed": tr("Your role needs a second factor: set it up here before anything else."),
    "factor_removed": tr("The second factor is removed; log in again."),
    "user_factor": tr("The second factor is removed; the account's sessions ended, its tokens are revoked."),
    "run_begun": tr("A run was asked for; its outcome is shown here."),
    "step_proposed": tr("Proposed; another person decides."),
    "decided": tr("Decided."),
    "withdrawn": tr("Withdrawn."),
    "filings_made": tr("The three filings are made."),
    "question_asked": tr("The question is asked; it waits for its answer."),
    "review_asked": tr("The review is asked for."),
    "review_noted": tr("Noted."),
    "substitution_proposed": tr_in("substitution", "Proposed; another person decides."),
    "substitution_decided": tr_in("substitution", "Decided."),
    "substitution_withdrawn": tr("Taken back; the original counts again."),
    "asked": tr("The gateways are asked."),
    "import_undone": tr("The import is taken back."),
    "user_created": tr("The account is made."),
    "user_password": tr("The password is changed; its sessions have ended, its tokens are revoked."),
    "user_role": tr("The role is changed; its sessions have ended, its tokens are revoked."),
    "user_disabled": tr("The account is closed."),
    "key_enrolled": tr("The key is enrolled and counts from now on."),
    "key_revoked": tr("The key is revoked from now on."),
    "readmitted": tr("What can be accepted now has left the quarantine."),
    "readmitted_none": tr("Nothing of it can be accepted now."),
}

HEADINGS_OF_ERRORS: Final[Mapping[int, Text]] = {
    400: tr("This request can't be understood"),
    403: tr("Not allowed"),
    404: tr("There is no such page or thing"),
    408: tr("The request did not come in time"),
    409: tr("This can't be done"),
    413: tr("Too large"),
    422: tr("The file has findings"),
    500: tr("A fault of the system; the center's log says more"),
}
