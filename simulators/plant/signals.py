# SPDX-License-Identifier: GPL-3.0-or-later
"""The signals of the plants, one per unit and quantity; each change is passed to every face that shows the signal.

A value is the stored integer of model/quantity.py (kW, kvar, V, µHz, Wh, 0 or 1), None where the device has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from collector.base.errors import CollectorError
from collector.model.quantity import BY_NAME, to_scaled

Sink = Callable[[int | None, int], None]


class Signal:
    """One quantity of one unit. Sinks get (value, instant of the change in UTC ms).

    A pinned signal shows a value set by hand; the plant's own value changes meanwhile and is shown again after
    `let_go`.
    """

    __slots__ = ("_pinned", "_shown", "_sinks", "quantity", "unit", "value")

    def __init__(self, unit: str, quantity: str) -> None:
        self.unit = unit
        self.quantity = quantity
        self.value: int | None = None
        self._shown: int | None = None
        self._pinned = False
        self._sinks: tuple[Sink, ...] = ()

    def connect(self, sink: Sink) -> None:
        """Add a sink for this signal, which first receives its present value."""
        self._sinks = (*self._sinks, sink)
        sink(self._shown, 0)

    def set(self, value: int | None, time_utc_ms: int) -> None:
        """Change the value at an instant; an unchanged value is not passed on."""
        if value != self.value:
            self.value = value
            if not self._pinned:
                self._show(value, time_utc_ms)

    def pin(self, value: int | None, time_utc_ms: int) -> None:
        """Show this value until `let_go`, instead of the plant's own."""
        self._pinned = True
        if value != self._shown:
            self._show(value, time_utc_ms)

    def let_go(self, time_utc_ms: int) -> None:
        """Show the plant's own value again."""
        self._pinned = False
        if self._shown != self.value:
            self._show(self.value, time_utc_ms)

    def _show(self, value: int | None, time_utc_ms: int) -> None:
        self._shown = value
        for sink in self._sinks:
            sink(value, time_utc_ms)


class Board:
    """All signals of a simulation by (unit, quantity)."""

    def __init__(self) -> None:
        self._signals: dict[tuple[str, str], Signal] = {}

    def signal(self, unit: str, quantity: str) -> Signal:
        """The signal of a unit and quantity, created on first use."""
        key = (unit, quantity)
        found = self._signals.get(key)
        if found is None:
            found = self._signals[key] = Signal(unit, BY_NAME[quantity].name)
        return found

    def signals(self) -> Iterable[Signal]:
        """All signals, in the order of their first use."""
        return self._signals.values()

    def show(self, unit: str, quantity: str, value: Decimal | str | int | None, *, time_utc_ms: int = 0) -> None:
        """Set a value in the unit of the quantity's name (MW, kV, 0/1), for tests and manual use."""
        scaled = None if value is None else to_scaled(Decimal(value), BY_NAME[quantity].scale)
        self.signal(unit, quantity).set(scaled, time_utc_ms)

    def find(self, unit: str, quantity: str) -> Signal:
        """Find a signal that is shown or played.

        Raises:
            CollectorError: there is no such signal.
        """
        found = self._signals.get((unit, quantity))
        if found is None:
            units = {key[0] for key in self._signals}
            what = f"this unit has no {quantity}" if unit in units else f"there are {', '.join(sorted(units))}"
            raise CollectorError(f"no such signal; {what}", subject=f"{unit} {quantity}")
        return found
