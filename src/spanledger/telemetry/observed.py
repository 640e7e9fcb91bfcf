"""Observable instruments whose callbacks can be replaced: the SDK keeps the first ones of a meter for ever.

``uninstrument()`` and ``instrument()`` on one meter provider get the same instruments again; without this they would go on telling
what the first installation counted.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from opentelemetry.metrics import CallbackOptions, Meter, Observation

    Callback = Callable[[CallbackOptions], Iterable[Observation]]

_known: weakref.WeakKeyDictionary[Meter, dict[str, Sequence[Callback]]] = weakref.WeakKeyDictionary()


def counter(meter: Meter, name: str, callbacks: Sequence[Callback], unit: str = "", description: str = "") -> None:
    """Makes an observable counter, or gives the one that the meter has these callbacks instead of its own, as many as before."""
    _observe(meter.create_observable_counter, meter, name, callbacks, unit, description)


def gauge(meter: Meter, name: str, callbacks: Sequence[Callback], unit: str = "", description: str = "") -> None:
    """The same with a gauge."""
    _observe(meter.create_observable_gauge, meter, name, callbacks, unit, description)


def _observe(create: Any, meter: Meter, name: str, callbacks: Sequence[Callback], unit: str, description: str) -> None:  # noqa: PLR0913, PLR0917  # as the two above
    known = _known.setdefault(meter, {})
    again, known[name] = name in known, callbacks
    if not again:
        create(name, [partial(_tell, known, name, number) for number in range(len(callbacks))], unit, description)


def _tell(known: dict[str, Sequence[Callback]], name: str, number: int, options: CallbackOptions) -> Iterable[Observation]:
    return known[name][number](options)
