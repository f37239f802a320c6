# SPDX-License-Identifier: GPL-3.0-or-later
"""Doctor's words for the center's refusals, for bad qualities, and for a device's own reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from collector.agent.device.contract import Why
from collector.base.text import Text, tr

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """One problem. `subject`: file, device, link; `remedy`: the action to take."""

    severity: Severity
    subject: str
    message: str
    remedy: str


# The meaning of a refusal by the center, and who must act.
CODES: Final = {
    "unknown_key": tr("the center does not know the plant's key: send it the .pub file and have it enrolled"),
    "bad_signature": tr("the signature does not fit: compare plant.signing_key_file with the key the center has"),
    "wrong_topic": tr("plant or gateway differ between topic and batch: does another program publish here?"),
    "unknown_plant": tr("the center has no such plant: compare [[plant]] id with its register, letter by letter"),
    "foreign_unit": tr("a unit is not this plant's at the center: compare [[unit]] ids with its register"),
    "malformed": tr("the center could not read it: compare the versions of agent and center"),
    "unknown_version": tr("the center is older than this agent: have it upgraded, the batches go then"),
    "bad_checksum": tr("the bytes change on the way: look at the broker, and at what stands between here and there"),
    "oversized": tr("larger than the center takes: lower buffer.batch_max_bytes"),
    "time_out_of_range": tr("too old, or ahead of the center: compare the two clocks (timedatectl)"),
    "too_many_days": tr("one batch over too many days: did the clock run wild? The center can raise its limit"),
    "too_many_gaps": tr("too many gaps: the center can raise receiver.max_gaps_per_batch"),
    "too_many_streams": tr("too many buffer files so far: the center can raise receiver.max_streams_per_plant"),
    "over_share": tr("too many units in a batch: the center can raise receiver.max_units_per_batch"),
}
QUALITIES: Final = {
    "refused": tr("the address does not exist at the device: compare the point table with the device's list"),
    "garbled": tr("the answer can't be understood: baud rate, parity, two devices with one address"),
    "suspect": tr(
        "a guard point does not match: has the firmware changed? Or a gateway fills a block with FFFF or 0000"
    ),
    "out_of_range": tr(
        "outside the limits, or a state that its map does not name: scale, order, unit or map; "
        "`agent read --candidates` shows other decodings"
    ),
    "invalid": tr("the device itself says so: look at the device"),
    "stale": tr("older than stale_after_periods: the period is too short for the line, or the device froze"),
}


# A device's own reason for a bad point: severity, words, who must act.
WHY: Final[dict[str, tuple[Severity, str, str]]] = {
    Why.INVALID: (
        "error",
        tr("the station itself marks them invalid (IV)"),
        tr("look at the station and its transducers"),
    ),
    Why.OVERFLOW: (
        "error",
        tr("the station says that they are beyond its range (OV)"),
        tr("measuring range at the station"),
    ),
    Why.NOT_TOPICAL: (
        "error",
        tr("the station itself has not refreshed them (NT)"),
        tr("its own way to the bay device is broken: ask the station's people"),
    ),
    Why.BLOCKED: (
        "error",
        tr("the station has blocked them (BL): they stand at an earlier value"),
        tr("ask the station's people who blocked them and until when"),
    ),
    Why.SUBSTITUTED: (
        "warning",
        tr("the station substitutes them (SB): a person or a program entered the values"),
        tr("used, and recorded as substituted; ask the station's people who entered them and until when"),
    ),
    Why.TRAVELLING: (
        "error",
        tr("the switch is between its two positions (00) for longer than transit_s"),
        tr("auxiliary contacts or their wiring; a slow disconnector needs a larger transit_s"),
    ),
    Why.UNDEFINED: (
        "error",
        tr("the station sends no value: both positions at once (11), or no number"),
        tr("auxiliary contacts or their wiring at the station"),
    ),
    Why.OTHER_TYPE: (
        "error",
        tr("the station sends them as another type than the table says"),
        tr("correct the type in the point table: the types it sends are named here"),
    ),
    Why.ABSENT: (
        "error",
        tr("the interrogation did not bring them"),
        tr("compare address and common address with the station's list; must it be enabled there?"),
    ),
}

CLOCKS: Final = {
    "unsynchronised": tr("not synchronised; every record says so"),
    "unknown": tr("nobody says whether it is synchronised; every record says so"),
}

# Qualities in words.
QUALITY_NAMES: Final = {
    "good": tr("good"), "substituted": tr("substituted"), "late_tag": tr("late tag"), "stale": tr("stale"),
    "invalid": tr("invalid"), "out_of_range": tr("out of range"), "suspect": tr("suspect"), "silent": tr("silent"),
    "refused": tr("refused"), "garbled": tr("garbled"),
}  # fmt: skip


def way_of(place: str) -> Text:
    """The connection of the uplink in words. `place`: HOST:PORT of a broker, or a folder."""
    return tr("folder {folder}", folder=place) if place.startswith("/") else tr("broker {broker}", broker=place)
