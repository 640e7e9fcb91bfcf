"""Observable instruments that go on when Spanledger is installed anew: the SDK keeps the first ones of a meter for ever.

``uninstrument()`` and ``instrument()`` on one meter provider get the same instruments again, and so the same series. A counter must not
fall: what was counted is kept with the instruments. For the rest they ask the new installation, not the first one for ever.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry import metrics

from spanledger import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from opentelemetry.metrics import CallbackOptions, Observation

    Callback = Callable[[CallbackOptions], Iterable[Observation]]
    Kept = TypeVar("Kept")

_all: weakref.WeakSet[Observed] = weakref.WeakSet()
"""Held by the instruments, which call them."""


class Observed:
    """The observable instruments of one provider and what is kept with them; see ``of``."""

    def __init__(self, provider: Any) -> None:
        self.provider, self.meter = provider, metrics.get_meter("spanledger", __version__, provider)
        self._callbacks: dict[str, Sequence[Callback]] = {}
        self._kept: dict[str, Any] = {}
        _all.add(self)

    def kept(self, name: str, make: Callable[[], Kept]) -> Kept:
        """What an earlier installation counted under this name, or something new."""
        if name not in self._kept:
            self._kept[name] = make()
        found: Kept = self._kept[name]
        return found

    def counter(self, name: str, callbacks: Sequence[Callback], unit: str = "", description: str = "") -> None:
        """Makes an observable counter, or gives the one that there is these callbacks instead of its own, as many as before."""
        self._observe(self.meter.create_observable_counter, name, callbacks, unit, description)

    def gauge(self, name: str, callbacks: Sequence[Callback], unit: str = "", description: str = "") -> None:
        """The same with a gauge."""
        self._observe(self.meter.create_observable_gauge, name, callbacks, unit, description)

    def _observe(self, create: Any, name: str, callbacks: Sequence[Callback], unit: str, description: str) -> None:
        again, self._callbacks[name] = name in self._callbacks, callbacks
        if not again:
            create(name, [partial(self._tell, name, number) for number in range(len(callbacks))], unit, description)

    def _tell(self, name: str, number: int, options: CallbackOptions) -> Iterable[Observation]:
        return self._callbacks[name][number](options)


def of(provider: Any) -> Observed:
    """What is observed with a meter provider, or with the global one if it is None.

    What was made before the global one was set became its own: it can be set once only.
    """
    current = metrics.get_meter_provider()
    provider = current if provider is None else provider
    found = [one for one in _all if one.provider is provider]
    if not found and provider is current:
        found = [one for one in _all if type(one.provider).__module__.startswith("opentelemetry.metrics")]
    return found[0] if found else Observed(provider)
