# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of the audit log as sentences: what was done, and what a reader needs of its details."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from collector.base.text import Text, both, full_width, join, tr, tr_in
from collector.center.inputs.names import named_plant, named_subject
from collector.center.quality.substitution import said_subject as said_of_substitution
from collector.center.runs.month_state import STATE_WORDS
from collector.center.web.code_words import (
    DECISIONS,
    INPUT_KINDS,
    QUANTITIES,
    REVIEW_EVENTS,
    ROLES,
    RUN_KINDS,
    SCOPES,
)
from collector.model.interval import time_to_read
from collector.report import words as report_words

ACTIONS: Final[Mapping[str, Text]] = {
    "account.create": tr("made an account"),
    "account.disable": tr("closed an account"),
    "account.password": tr("set a password"),
    "account.role": tr("changed a role"),
    "books.post": tr("posted to the books"),
    "digest.send": tr("told somebody what waits"),
    "file.hand_out": tr("took a file"),
    "filing.hand_out": tr("took a filing"),
    "filing.make": tr("made the filings"),
    "import.take": tr("imported a file"),
    "import.undo": tr("took an import back"),
    "key.configured": tr("names the keys of the plant"),
    "key.enrol": tr("enrolled a key"),
    "key.revoke": tr("revoked a key"),
    "month.correction": tr("opened a correction"),
    "month.disclosed": tr("disclosed the month"),
    "month.effective": tr("put the month into effect"),
    "month.filed": tr("filed the month"),
    "month.in_review": tr("put the month under review"),
    "month.published": tr("published the month"),
    "month_filing.decide": tr("decided a filing"),
    "month_filing.first": tr("took up a filing"),
    "month_filing.withdraw": tr("took back the proposal of a filing"),
    "month_publication.decide": tr("decided a publication"),
    "month_publication.first": tr("took up a publication"),
    "month_publication.withdraw": tr("took back the proposal of a publication"),
    "month_step.decide": tr("decided a step of a month"),
    "month_step.withdraw": tr("took back the proposal of a step"),
    "month_filing.propose": tr("proposed to put a month into effect"),
    "month_publication.propose": tr("proposed to publish a month"),
    "month_step.propose": tr("proposed a step of a month"),
    "quarantine.readmit": tr("looked at the quarantine again"),
    "records.ask": tr("asked for records again"),
    "records.ask_not_sent": tr("an ask for records could not be sent"),
    "repair.done": tr("repaired a day"),
    "question.answered": tr("answered a question"),
    "question.ask": tr("asked a question about a day"),
    "question.confirmed": tr("made a question a review"),
    "question.withdrawn": tr("took a question back"),
    "repair.decide": tr("decided a repair"),
    "repair.propose": tr("proposed a repair"),
    "repair.withdraw": tr("took back the proposal of a repair"),
    "review.admitted": tr("took a late review"),
    "review.answered": tr("answered a review"),
    "review.appealed": tr("appealed to the regulator"),
    "review.attach": tr("put a file beside a review"),
    "review.carried_out": tr("said what carried a review out"),
    "review.granted": tr("granted a review"),
    "review.refused": tr("refused a review"),
    "review.ruled_granted": tr("ruled: a review is granted"),
    "review.ruled_refused": tr("ruled: a review is refused"),
    "review.submit": tr("asked for a review"),
    "review.tried": tr("tried a review in a what-if run"),
    "review.withdrawn": tr("took a review back"),
    "review_decision.decide": tr("decided on a review"),
    "review_decision.propose": tr("proposed a decision on a review"),
    "review_decision.withdraw": tr("took back the proposed decision of a review"),
    "run.fail": tr("a run came to nothing"),
    "run.package": tr("took the package of a run"),
    "run.settle": tr("settled a run"),
    "second_factor.recover": tr("logged in with a recovery code"),
    "second_factor.remove": tr("removed a second factor"),
    "second_factor.set_up": tr("set up a second factor"),
    "session.start": tr("logged in"),
    "store.renew": tr("the store got a new name after a restore"),
    "store.new_key": tr("the rows of the store got seals under a new key"),
    "substitution.decide": tr("decided a substitution"),
    "substitution.propose": tr("proposed a substitution"),
    "substitution.withdraw": tr("took back the proposal of a substitution"),
    "substitution_withdrawal.decide": tr("decided on taking a substitution back"),
    "substitution_withdrawal.propose": tr("proposed to take a substitution back"),
    "substitution_withdrawal.withdraw": tr("took back that proposal of a substitution"),
    "token.create": tr("made a token"),
    "token.revoke": tr("revoked a token"),
}
# What a detail is called. One without words is for programs: it stands in CSV and REST only.
_KEYS: Final[Mapping[str, Text]] = {
    "account": tr_in("detail", "account"),
    "added": tr("rows added"),
    "appeal": tr_in("detail", "letter of appeal"),
    "approved_by": tr_in("detail", "approved by"),
    "area": tr_in("detail", "area"),
    "areas": tr("areas"),
    "batches": tr_in("detail", "batches"),
    "claim_value": tr_in("detail", "claimed"),
    "codes_left": tr_in("detail", "codes left"),
    "day": tr_in("detail", "day"),
    "days": tr_in("detail", "days"),
    "decision": tr_in("detail", "decision"),
    "document": tr_in("detail", "document"),
    "edition": tr_in("detail", "edition"),
    "end_ms": tr_in("detail", "until"),
    "file": tr_in("detail", "file"),
    "filing": tr_in("detail", "filing"),
    "from": tr_in("detail", "from"),
    "from_ms": tr_in("detail", "from"),
    "full_name": tr_in("detail", "full name"),
    "gateway": tr_in("detail", "gateway"),
    "kind": tr_in("detail", "kind"),
    "line_value": tr_in("detail", "the run says"),
    "link_import_id": tr_in("detail", "import"),
    "link_run_id": tr_in("detail", "run"),
    "month": tr_in("detail", "month"),
    "name": tr_in("detail", "name"),
    "note": tr_in("detail", "note"),
    "outcome": tr_in("detail", "outcome"),
    "part": tr_in("detail", "part"),
    "path": tr("address"),
    "plant": tr_in("detail", "plant"),
    "prepared_by": tr_in("detail", "prepared by"),
    "proposal": tr_in("detail", "proposal"),
    "proposal_id": tr_in("detail", "proposal"),
    "quantity": tr_in("recorded", "Quantity"),
    "reason": tr_in("detail", "reason"),
    "records": tr_in("detail", "records"),
    "replaced": tr("rows replaced"),
    "result_hash": tr_in("detail", "result hash"),
    "review_id": tr_in("detail", "review"),
    "role": tr_in("detail", "role"),
    "run": tr_in("detail", "run"),
    "run_id": tr_in("detail", "run"),
    "same": tr("rows there already"),
    "scope": tr_in("detail", "scope"),
    "service": tr_in("detail", "service"),
    "sha256": tr_in("detail", "hash"),
    "start_ms": tr_in("detail", "from"),
    "status": tr_in("detail", "status"),
    "substitution": tr_in("detail", "substitution"),
    "tasks": tr_in("detail", "tasks"),
    "text": tr_in("detail", "text"),
    "to": tr_in("detail", "to"),
    "to_ms": tr_in("detail", "until"),
    "token": tr_in("detail", "token"),
    "tokens_revoked": tr_in("detail", "tokens revoked"),
    "unit": tr_in("detail", "unit"),
    "value": tr_in("detail", "value"),
    "via": tr("by"),
}
_STATES: Final = {str(state): both(words[1], words[0]) for state, words in STATE_WORDS.items()}
_VIA: Final = {"session": tr_in("detail", "page"), "token": tr_in("detail", "token")}
# Codes that stand as the value of a detail.
_VALUES: Final[Mapping[str, Mapping[str, Text]]] = {
    "areas": {},
    "decision": DECISIONS,
    "from": _STATES,
    "kind": {**INPUT_KINDS, **RUN_KINDS, **REVIEW_EVENTS},
    "outcome": DECISIONS,
    "quantity": QUANTITIES,
    "role": ROLES,
    "to": _STATES,
    "via": _VIA,
}
_TABLES: Final = {"area": report_words.AREAS, "service": report_words.SERVICES, "status": report_words.STATUSES}
_NUMBERED: Final = {
    "question": tr_in("subject", "question {number}"),
    "review": tr_in("subject", "review {number}"),
    "run": tr_in("subject", "run {number}"),
    "substitution": tr_in("subject", "substitution {number}"),
}
_LONGEST: Final = 160


def said_action(action: str) -> str:
    """The action of an audit entry in words, or its code where it has no words."""
    return ACTIONS.get(action, action)


def said_subject(subject: str, names: Mapping[str, str]) -> str:
    """The subject of an audit entry or decision in words: `review 3` is translated, `P1` has its name before it.

    `names`: of plants; none for the account of a person, which may be called as a plant is.
    """
    kind, _, number = subject.partition(" ")
    template = _NUMBERED.get(kind) if number.isdecimal() else None
    if template is not None:
        return Text(str(template), {"number": number}, "subject")
    return named_subject(said_of_substitution(subject), names)


def said_detail(detail: Mapping[str, Any], names: Mapping[str, str]) -> Text:
    """The details as `name: value`. Empty ones and those without words are left out; long values are cut.

    `names`: of plants.
    """
    whole = {**detail, **detail["content"]} if isinstance(detail.get("content"), Mapping) else detail
    parts = [
        tr("{name}: {value}", name=_KEYS[name], value=_value(name, value, names))
        for name, value in whole.items()
        if name in _KEYS and value not in (None, "", [], {})
    ]
    return join("; ", parts)


def _value(name: str, value: Any, names: Mapping[str, str]) -> str:
    if name == "scope":  # the log has the scopes of a token with blanks between
        return join(", ", [SCOPES.get(code, code) for code in str(value).split()])
    if name == "plant":
        return named_plant(str(value), names)
    if name == "areas" and isinstance(value, Mapping):
        return join(", ", [join(" ", (_of("area", area), _of("status", status))) for area, status in value.items()])
    if name.endswith("_ms"):
        return time_to_read(int(value))
    if name in _TABLES:
        return _of(name, str(value))
    return _VALUES.get(name, {}).get(str(value)) or _plain(value)


def _of(name: str, code: str) -> Text:
    chinese, english = report_words.of(_TABLES[name], code)
    return both(english or code, full_width(chinese))


def _plain(value: Any) -> str:
    """A value without the marks of JSON."""
    if isinstance(value, Mapping):
        given = [(name, each) for name, each in value.items() if each not in (None, "", [], {})]
        text: str = join(", ", (f"{name} {_plain(each)}" for name, each in given))
    elif isinstance(value, list):
        text = join(", ", map(_plain, value))
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
