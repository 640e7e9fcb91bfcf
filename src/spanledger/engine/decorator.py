"""What ``workflow``, ``step`` and ``scope`` share: context managers, synchronous and asynchronous, that decorate functions of every kind.

One object may be entered again, nested and in parallel: every use of it has state of its own. A decorated generator's use is in force while
the generator runs, and suspended while its reader does.
"""
# ruff: noqa: SLF001  # a use of an object is another object of its class

from __future__ import annotations

import functools
import inspect
import sys
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from opentelemetry import context as otel_context

from spanledger.engine.context import attach, detach
from spanledger.engine.guard import log
from spanledger.engine.runtime import active

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from contextvars import Token
    from types import TracebackType
    from typing import Self

    from opentelemetry.context import Context

P = ParamSpec("P")
R = TypeVar("R")

_entered_here: ContextVar[tuple[Managed, ...]] = ContextVar("spanledger-entered", default=())
"""The uses that this thread or task is inside of, the innermost last."""


class Managed:
    """A context manager that is also a decorator. The object itself is its first use; each further one is a fresh object."""

    def __init__(self) -> None:
        self._first = [True]
        """Emptied by the first use, in one step, so that of two threads only one is it."""
        self._uses: dict[int, Self] = {}
        """Entered and not yet left, by ``id``; each step on it is atomic."""
        self._open = False
        self._in_async_generator = False
        """Whether the ``with`` stands in one."""
        self._token: Token[Context] | None = None
        self._context: Context = otel_context.Context()
        """What the use has put in force."""
        self._inside: Context = self._context
        """What was in force when the use was suspended: the same, or what the decorated generator has put on top."""

    def _fresh(self) -> Self:
        raise NotImplementedError

    def _enter(self) -> None:
        raise NotImplementedError

    def _leave(self, error: BaseException | None) -> None:
        raise NotImplementedError

    def _next_use(self) -> Self:
        try:
            self._first.pop()
        except IndexError:
            return self._fresh()
        return self

    def __enter__(self) -> Self:
        use = self._next_use()
        use._in_async_generator = _is_in_async_generator()
        use._begin()
        self._uses[id(use)] = use
        _entered_here.set((*_still_open(), use))
        return use

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        here = _still_open()
        use = next((use for use in reversed(here) if id(use) in self._uses), None)
        left = self._uses.pop(id(use), None) if use is not None else self._entered_elsewhere()
        if left is not None:
            if use is not None and use is not here[-1]:
                later = here[here.index(use) + 1]
                _bequeath(use, later)
                later._tell_misplaced()
            left._end(error)
            _entered_here.set(_still_open())

    def _entered_elsewhere(self) -> Self | None:
        """The newest use: web frameworks enter in one worker thread and leave in another."""
        with suppress(KeyError):
            return self._uses.popitem()[1]
        return None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if isinstance(function, (staticmethod, classmethod)):
            return cast("Callable[P, R]", type(function)(self(function.__func__)))
        for is_kind, decorated in _KINDS:
            if is_kind(function):
                return cast("Callable[P, R]", functools.wraps(function)(decorated(self._fresh, function)))
        return cast("Callable[P, R]", functools.wraps(function)(_function(self._fresh, function)))

    def _attach(self, context: Context) -> None:
        self._context = context
        self._token = attach(context)

    def _begin(self) -> None:
        self._enter()
        self._open = True

    def _suspend(self) -> None:
        self._inside = otel_context.get_current()
        self._detach()

    def _resume(self) -> None:
        self._token = attach(self._inside)

    def _detach(self) -> bool:
        """False if left in another thread or task than entered: nothing of ours is in force here."""
        token, self._token = self._token, None
        try:
            if token is not None:
                detach(token)
        except ValueError:
            return False
        return True

    def _tell_misplaced(self) -> None:
        """In the background, since this may be a finaliser at work."""
        runtime = active()
        if runtime is not None:
            runtime.reaper.put(partial(_tell_misplaced, type(self).__name__, getattr(self, "name", "")))

    def _end(self, error: BaseException | None) -> None:
        """Leaves, once. What may be a finaliser at work is left in the background, since leaving writes to the ledger."""
        dropped = isinstance(error, GeneratorExit) and not self._in_async_generator  # a coroutine, say, whose event loop is gone
        if not self._detach() and not dropped:
            self._tell_misplaced()
        was_open, self._open = self._open, False
        runtime = active()
        if was_open and isinstance(error, GeneratorExit) and runtime is not None:
            runtime.reaper.put(partial(self._leave, GeneratorExit()))  # not the error itself: it keeps the frames it came through
        elif was_open:
            self._leave(error)

    def _call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Enters and calls; the use is still in force afterwards, unless the function raised."""
        self._begin()
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            self._end(error)
            raise


_told: set[str] = set()
"""Of which kinds a misplaced ``with`` was told."""


def _tell_misplaced(kind: str, name: str) -> None:
    if kind not in _told:
        _told.add(kind)
        log.warning(
            "%.100s: its with was left in another context than it was entered in, or before one that was entered later, as happens in"
            " generators: calls are booked to the wrong scope or to none; decorate the generator instead: @spanledger.%s(...)",
            f"{kind} {name}".strip(), kind,
        )  # fmt: skip


def _still_open() -> tuple[Managed, ...]:
    """Without those that were left in another thread or task."""
    return tuple(use for use in _entered_here.get() if use._open)


def _is_in_async_generator() -> bool:
    frame = sys._getframe(2)
    while frame.f_code is Managed.__aenter__.__code__ and frame.f_back is not None:
        frame = frame.f_back
    return bool(frame.f_code.co_flags & inspect.CO_ASYNC_GENERATOR)


def _bequeath(left: Managed, later: Managed) -> None:
    """Of two that overlap (two generators read by turns) the one entered first is left first: the later stays in force until it is left,
    and gives back what was in force before both.

    Not so in an asynchronous generator, which may have been left by ``break``: the event loop closes it later, in a task of its own,
    and nobody would give back here what was in force before.
    """
    if later._in_async_generator:
        left._detach()
        later._token = attach(otel_context.get_current())
    else:
        later._token, left._token = left._token, None


def _coroutine_function(fresh: Callable[[], Managed], function: Callable[..., Any]) -> Callable[..., Any]:
    async def asynchronous(*args: Any, **kwargs: Any) -> Any:
        with fresh():
            return await function(*args, **kwargs)

    return asynchronous


def _function(fresh: Callable[[], Managed], function: Callable[..., Any]) -> Callable[..., Any]:
    def synchronous(*args: Any, **kwargs: Any) -> Any:
        use = fresh()
        result = use._call(function, args, kwargs)
        if isinstance(result, CoroutineType):  # of a function that is no coroutine function itself
            use._suspend()
            return _awaited(use, result, _Dropped(use))
        use._end(None)
        return result

    return synchronous


async def _awaited(use: Managed, coroutine: CoroutineType[Any, Any, Any], _dropped: _Dropped) -> Any:
    """``_dropped`` ends the use should this never run."""
    use._resume()
    try:
        result = await coroutine
    except BaseException as error:
        use._end(error)
        raise
    use._end(None)
    return result


def _generator_function(fresh: Callable[[], Managed], function: Callable[..., Any]) -> Callable[..., Any]:
    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        use = fresh()
        inner = use._call(function, args, kwargs)
        use._suspend()
        step: Callable[[], Any] = inner.__next__
        while True:
            use._resume()
            try:
                item = step()
            except StopIteration as stop:
                use._end(None)
                return stop.value
            except BaseException as error:
                del step  # it may hold the error, and the error this frame
                use._end(error)
                raise
            use._suspend()
            try:
                sent = yield item
            except BaseException as thrown:  # noqa: BLE001  # GeneratorExit too: all of it is the decorated generator's to see
                step = partial(inner.throw, thrown)
            else:
                step = inner.__next__ if sent is None else partial(inner.send, sent)

    return generator


def _async_generator_function(fresh: Callable[[], Managed], function: Callable[..., Any]) -> Callable[..., Any]:
    async def async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        use = fresh()
        inner = use._call(function, args, kwargs)
        use._suspend()
        dropped = _Dropped(use)
        step: Callable[[], Any] = inner.__anext__
        while True:
            use._resume()
            try:
                item = await step()
            except StopAsyncIteration:
                use._end(None)
                return
            except BaseException as error:
                del step, dropped
                use._end(error)
                raise
            use._suspend()
            try:
                sent = yield item
            except BaseException as thrown:  # noqa: BLE001
                step = partial(inner.athrow, thrown)
            else:
                step = inner.__anext__ if sent is None else partial(inner.asend, sent)

    return async_generator


class _Dropped:
    """Lives in the frame of what may be collected without running its code: an asynchronous generator whose event loop is gone, a coroutine
    that nobody awaits."""

    __slots__ = ("_use",)

    def __init__(self, use: Managed) -> None:
        self._use = use

    def __del__(self) -> None:
        self._use._end(GeneratorExit())


_KINDS = (
    (inspect.iscoroutinefunction, _coroutine_function),
    (inspect.isgeneratorfunction, _generator_function),
    (inspect.isasyncgenfunction, _async_generator_function),
)
