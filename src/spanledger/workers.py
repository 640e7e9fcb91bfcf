"""Workers of multiprocessing end without what ``atexit`` knows; see docs/decisions/0017-workers.md."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from spanledger.engine.patching import when_imported

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_LAST = -1_000
"""A finalizer with a lower priority runs later; multiprocessing's own reach down to -100."""
_known: set[Callable[[], None]] = set()


def at_their_end(action: Callable[[], None]) -> None:
    """Runs ``action``, which must not raise, in each worker that ends by itself, however it was started; not in one that is killed.

    Once for all: there is no way back, and another call with the same action changes nothing.
    """
    when_imported("multiprocessing.util", partial(_register, action))


def _register(action: Callable[[], None], util: ModuleType) -> None:
    if action not in _known:
        _known.add(action)
        # A worker forgets its parent's finalizers before it does what is registered here.
        util.register_after_fork(action, lambda _: util.Finalize(None, action, exitpriority=_LAST))
