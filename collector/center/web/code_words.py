# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of the center in words, as pages show them; those of the settlement stand in `report.words`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.base.text import Text, tr, tr_in

ROLES: Final[Mapping[str, Text]] = {
    "operator": tr("operator"),
    "approver": tr("approver"),
    "auditor": tr("auditor"),
    "regulator": tr("regulator"),
    "plant": tr("plant"),
    "local": tr("command line"),
    "administrator": tr("administrator"),
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
    "records": tr("records"),
}

RUN_KINDS: Final[Mapping[str, Text]] = {
    "trial": tr("trial"),
    "correction": tr("correction"),
    "what_if": tr("what-if"),
}

# Of those without a statement; one that is done shows the status of its statement.
RUN_STATES: Final[Mapping[str, Text]] = {
    "queued": tr("queued"),
    "running": tr("under way"),
    "failed": tr("failed"),
    "interrupted": tr("interrupted"),
}

RUN_DOINGS: Final[Mapping[str, Text]] = {
    "sealing": tr("sealing days"),
    "laying_out": tr("laying out the inputs"),
    "reading": tr("reading day files"),
    "measuring": tr("measuring plant-days"),
    "closing": tr("adding up"),
    "writing": tr("writing the statement"),
}

DUTY_STATES: Final[Mapping[str, Text]] = {
    "done": tr("done"),
    "open": tr_in("duty", "open"),
    "late": tr("late"),
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
    "substitution": tr("substitution"),
}

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
    "power": tr("active power, MW"),
    "plan": tr("plan, MW"),
    "setpoint": tr("AGC setpoint, MW"),
    "reactive": tr("reactive power, Mvar"),
}

# What a page says once, after a form of it was carried out; the code travels in the address.
NOTICES: Final[Mapping[str, Text]] = {
    "password_changed": tr("The password is changed, its sessions have ended, its tokens are revoked; log in again."),
    "logged_out": tr("You are logged out."),
    "token_revoked": tr("The token is revoked."),
    "run_begun": tr("The run has begun; its outcome will be shown here."),
    "step_proposed": tr("Proposed; another person decides."),
    "decided": tr("Decided."),
    "withdrawn": tr("Withdrawn."),
    "filings_made": tr("The three filings are made."),
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
    409: tr("This can't be done"),
    413: tr("Too large"),
    422: tr("The file has findings"),
    500: tr("A fault of the system; the center's log says more"),
}

# Sentences that stand in English in a statement's files, in the rulebook or among the findings in the data; the first
# that fits is taken.
KEPT: Final = (
    tr("no amount: {reason}"),
    tr("only {share} of its time is known"),
    tr("an order's breaker edge can't be told for certain"),
    tr("the accident plan that designates the unit is not named"),
    tr("telemetry {telemetry} MWh, meter {meter} MWh"),
    tr("{hours} h stamped by a clock that was not synchronised: counted and used (I-17)"),
    tr("{hours} h stamped by a clock that was not synchronised: taken as missing (I-17)"),
    tr("not delivered"),
    tr("valley and peak hours without a filing"),
    tr("a day whose telemetry and meter differ by more is a finding"),
    tr("a record holds until the next one, at most this long"),
    tr("below this share of known time a line is blocked"),
    tr("below this share of known time the month is provisional"),
    tr("how near to its limit a unit is at it"),
    tr("not in the text and no stand-in: not judged"),
    tr("not in the text: Northeast China {year}, hydro"),
    tr("not in the text: Northeast China {year}, thermal"),
    tr("reading {id}"),
    tr("reading adopted by this project"),
    tr("without a breaker signal: on grid above this ratio of P_N"),
    tr("stand-in"),
    tr("the table is lost from the text"),
    tr("{count} stretches; the first: {first}"),
    tr("marked out of range by the gateway"),
    tr("at most {rate} a second"),
    tr("{before} to {after} in {seconds} s"),
    tr("{value} for {seconds} s"),
    tr("a change within {seconds} s while others move"),
    tr("clock unsynchronised"),
    tr("clock unknown"),
    tr("clock synchronised"),
    tr("clock era {before} to {after}"),
    tr("one clock era"),
    tr("at least {limit}: {kind} generates"),
    tr("{before} to {after}"),
    tr("never less"),
    tr("telemetry {energy} MWh"),
    tr("meter {energy} MWh ± {ratio}"),
    tr("AGC in service"),
    tr("out of service off the grid"),
    tr("{count} instants; the first: {lost} beside {kept}"),
    tr("one value an instant"),
)
