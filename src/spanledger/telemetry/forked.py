"""Empties in a forked child what the SDK has summed up of our instruments.

The SDK lets a child go on from its parent's sums, under an instance id of its own: whatever the parent counted is counted once more by each
child. A reader of differences would also tell that our own counters, which begin at zero, fell by all that the parent had counted.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def begin_at_zero(instrument: Any) -> None:
    """Empties all instruments of this one's scope, in all readers; does nothing with an SDK that keeps them where we do not find them.

    Takes no lock, since a thread that does not exist here may hold it, and leaves none behind that it could hold.
    """
    real = getattr(instrument, "_real_instrument", instrument)  # of one that was made before the provider was set
    try:
        kept = [vars(match) for match in _matches(real)]
    except (AttributeError, TypeError):
        return
    if all(type(each.get("_attributes_aggregation")) is dict and "_lock" in each for each in kept):
        for each in kept:
            each.update(_attributes_aggregation={}, _lock=threading.Lock())


def _matches(instrument: Any) -> Iterator[Any]:
    """What holds the sums of one instrument for one reader and one view.

    https://github.com/open-telemetry/opentelemetry-python/blob/main/opentelemetry-sdk/src/opentelemetry/sdk/metrics/_internal/metric_reader_storage.py
    """
    for storage in instrument._measurement_consumer._reader_storages.values():  # noqa: SLF001
        for other, matches in list(storage._instrument_view_instrument_matches.items()):  # noqa: SLF001
            if other.instrumentation_scope == instrument.instrumentation_scope:
                yield from matches
