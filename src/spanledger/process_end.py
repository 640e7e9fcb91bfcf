"""Ends of a process that ``atexit`` does not see; see docs/decisions/0017-ends-past-atexit.md."""

from __future__ import annotations

import functools
import gc
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from spanledger.engine import patching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

_LAST = -1_000
"""A finalizer with a lower priority runs later; multiprocessing's own reach down to -100."""
_known: set[tuple[Any, Any]] = set()
"""What has been registered, and how."""


def of_workers(action: Callable[[], None]) -> None:
    """Runs ``action``, which must not raise, in each worker of multiprocessing and Celery that ends by itself; not in one that is killed.

    Once for all: there is no way back, and another call with the same action changes nothing.
    """
    patching.when_imported("multiprocessing.util", partial(_once, _in_multiprocessing, action))
    patching.when_imported("celery.signals", partial(_once, _in_celery, action))


def together(actions: Sequence[Callable[[], object]], seconds: float) -> None:
    """Does all of this at once and waits so many seconds at most; what takes longer is left to end with the process."""
    ends = time.monotonic() + seconds
    threads = [threading.Thread(target=action, name="spanledger-flush", daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))


def _once(register: Callable[..., None], action: Callable[[], None], module: ModuleType) -> None:
    if (register, action) not in _known:
        _known.add((register, action))
        register(action, module)


def _in_multiprocessing(action: Callable[[], None], util: ModuleType) -> None:
    from multiprocessing import parent_process  # noqa: PLC0415  # there already, as its part is; else nobody should pay for it

    def finally_do(_: object = None) -> None:
        util.Finalize(None, action, exitpriority=_LAST)

    # A worker forgets its parent's finalizers before it does what is registered here.
    util.register_after_fork(action, finally_do)
    if parent_process() is not None:  # this is one, in which only now something to record was imported
        finally_do()


def _in_celery(action: Callable[[], None], signals: ModuleType) -> None:
    # weak=False: nobody else holds the receiver. https://docs.celeryq.dev/en/stable/userguide/signals.html#worker-process-shutdown
    signals.worker_process_shutdown.connect(lambda **_: action(), weak=False)


def by_own_signal(action: Callable[[], None]) -> patching.Patch:
    """Runs ``action``, which must not raise, before the process sends itself a signal that it has no handler for.

    That is how uvicorn ends: it stops its server, puts back the handlers it had found, and raises the signal that stopped it once more.
    """
    return patching.patch(signal, "raise_signal", partial(_before_dying, action))


def _before_dying(action: Callable[[], None], original: Callable[[int], None]) -> Callable[..., Any]:
    @functools.wraps(original)
    def raise_signal(signalnum: int, /) -> None:
        if signal.getsignal(signalnum) is signal.SIG_DFL:
            gc.collect()  # streams that were dropped within cycles end now or never
            action()
        original(signalnum)

    return raise_signal
