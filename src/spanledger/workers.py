"""Who pays for what pools of processes work on: the scope goes along with each piece of work.

A worker outlives the scope in which its pool started it, and a forked one would book all of its calls to that for good. So a worker
starts with nobody's scope, and each piece of work brings the one in which it was handed in. A process that is started for one thing
(``multiprocessing.Process``, ``os.fork``) keeps the scope it was forked in.
"""

from __future__ import annotations

import functools
import logging
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from spanledger import scopes
from spanledger.engine import patching
from spanledger.engine.runtime import active

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_WORKERS = {("concurrent.futures.process", "_process_worker"), ("multiprocessing.pool", "worker")}
"""What the processes of pools run."""
_HAND_IN = {
    "concurrent.futures.process": ("ProcessPoolExecutor.submit",),
    "multiprocessing.pool": ("Pool.apply_async", "Pool._map_async", "Pool.imap", "Pool.imap_unordered"),
}
"""What takes work, as a function that comes first; other methods of pools go through these."""
log = logging.getLogger("spanledger")


def carry_scopes(keep: Callable[[patching.Patch], None]) -> None:
    """Gives each piece of work its scope; ``keep`` is given what was patched."""
    patching.when_imported("multiprocessing.util", _begin_with_nobody)
    for module in _HAND_IN:
        patching.when_imported(module, partial(_patch, keep))


def _begin_with_nobody(util: ModuleType) -> None:
    util.register_after_fork(_forget, lambda _: _forget())


def _forget() -> None:
    from multiprocessing import current_process  # noqa: PLC0415  # there already

    target = getattr(current_process(), "_target", None)
    if active() is not None and (getattr(target, "__module__", None), getattr(target, "__name__", None)) in _WORKERS:
        otel_context.attach(scopes.within(scopes.NOBODY))


def _patch(keep: Callable[[patching.Patch], None], module: ModuleType) -> None:
    for name in _HAND_IN[module.__name__]:
        try:
            keep(patching.patch(module, name, _handing_in))
        except AttributeError:
            log.debug("%s has no %s: work that it takes has no scope", module.__name__, name)


def _handing_in(original: Any) -> Any:
    @functools.wraps(original)
    def hand_in(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args and active() is not None and not _of_threads(self):
            args = (_with_scope(args[0]), *args[1:])
        return original(self, *args, **kwargs)

    return hand_in


def _of_threads(pool: object) -> bool:
    """``ThreadPool`` is a ``Pool``; OpenTelemetry's threading instrumentation sees to its threads."""
    return isinstance(pool, sys.modules["multiprocessing.pool"].ThreadPool) if "multiprocessing.pool" in sys.modules else False


def _with_scope(function: Any) -> Any:
    scope = scopes.current()
    return function if scope is scopes.NOBODY else _Work(function, replace(scope, keys={}, run=None), dict(scope.keys))


@dataclass(frozen=True, slots=True)
class _Work:
    """A function and its scope, without what cannot be pickled: the live record of the run stays behind."""

    function: Callable[..., Any]
    scope: scopes.Scope
    keys: dict[str, str]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        token = otel_context.attach(scopes.within(self.scope.derive(self.keys)))
        try:
            return self.function(*args, **kwargs)
        finally:
            otel_context.detach(token)
