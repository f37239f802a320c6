# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences that are stored in English: in rows of alarms and findings, in a statement's files, in rulebooks.

Pages and terminal show them in the reader's language.
"""

from __future__ import annotations

from typing import Final

from collector.base.text import recognise, tr

# The first template that fits is used.
KEPT: Final = (
    tr("no amount: {reason}"),
    tr("was never heard of"),
    tr("{silence}; its gateway went offline"),  # before its first half, which would take all of it for a time
    tr("nothing heard since {time}"),
    tr("refused within an hour: {counts}"),
    tr("{count} days wait to be written, the oldest {day}"),
    tr("{free} of {total} GB free"),
    tr("said {time} that its clock is not synchronised"),
    tr("sends more than its share: held back {held} of the last {passed} s, {taken} messages taken, {dropped} let go"),
    tr("plants that are not enrolled, or not vouched for"),
    tr("nothing could be committed"),
    tr("two buffers record under this id at once: a second machine, a cloned disk? Stop one of them"),
    tr("only {share} of its time is known"),
    tr("an order's breaker edge can't be told for certain"),
    tr("the accident plan that designates the unit is not named"),
    tr("telemetry {telemetry} MWh, meter {meter} MWh"),
    tr(
        "the register ran back before {first} (last before {last}); was the meter changed? "
        "Its change belongs in the table of meter changes"
    ),
    tr("{count} days not compared, the first {first}, the last {last}"),
    tr("{hours} h stamped by a clock that was not synchronised: counted and used (I-17)"),
    tr("{hours} h stamped by a clock that was not synchronised: taken as missing (I-17)"),
    tr("not delivered"),
    tr("valley and peak hours without a filing"),
    tr("a day whose telemetry and meter differ by more is a finding"),
    tr("cells are separated by semicolons, as the header shows"),
    tr("cells are separated by tabs, as the header shows"),
    tr("read as {encoding} text"),
    tr("a plan beyond this ratio of P_N is refused"),
    tr("a reserve beyond this ratio of P_N is refused"),
    tr("AGC limits beyond this ratio of P_N are refused"),
    tr("a tariff above this, or below 0, is refused"),
    tr("a record holds until the next one, at most this long"),
    tr("a change of the AVC target below this share of the band is no order (I-21)"),
    tr("a hole in breaker or condenser status shorter than this hides no stop (I-20)"),
    tr("active or reactive power beyond this multiple of P_N is no value"),
    tr("an AVC order is judged this long after it (I-11)"),
    tr("example: 12 yuan/MWh by annual plan"),
    tr("example: hot reserve is paid no longer"),
    tr("example: the basic peak range of the new area"),
    tr("not in the text: Northeast China 2024, hydro"),
    tr("not in the text: Northeast China 2024, thermal"),
    tr("not in the text: Northeast China 2024; a smaller change of set-point, as a share of P_N, is no command"),
    tr("not in the text: Northeast China 2024; output that left its value, or is at the set-point, as a share of P_N"),
    tr("records further apart than this can't tell response or rate"),
    tr("voltage of a running unit above this multiple of nominal_kv is no value"),
    tr("voltage of a running unit below this share of nominal_kv is no value"),
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


def in_words(sentence: str) -> str:
    """A stored sentence as a text for both languages; an unknown sentence unchanged."""
    return recognise(sentence, KEPT)
