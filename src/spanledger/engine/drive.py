"""Runs one patched call: synchronous, asynchronous, generator or manager.

Which of these is known when patching; the rest is decided by what comes back.
"""

from __future__ import annotations

import inspect
from functools import partial, wraps
from types import CoroutineType, FunctionType
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from spanledger.engine import runtime as installation
from spanledger.engine import waiting
from spanledger.engine.call import Call, library_in_call
from spanledger.engine.context import attach, current, detach, leave
from spanledger.engine.managers import LiveAsyncManager, LiveManager
from spanledger.engine.receive import Kind, kind_of, receive
from spanledger.engine.wrapper import Wrapper
from spanledger.errors import LedgerBusy
from spanledger.model import Activity, Request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from spanledger.engine.adapter import Target
    from spanledger.engine.runtime import Runtime

    Kwargs = dict[str, Any]


_PLAIN = Kind.PLAIN  # see docs/decisions/0010-straight-lines-on-the-hot-path.md


def wrap(function: Any, library: str, target: Target) -> Any:
    """Wraps a function as it stands in its class or module (static and class methods included)."""
    plain = function.__func__ if isinstance(function, (staticmethod, classmethod)) else function
    # Of a client library it is known that its decorators leave a function's kind alone; an application's contextmanager does not.
    driver = _driver(plain if target.plugin else inspect.unwrap(plain), target)
    if driver is _function and type(function) is FunctionType and "." in target.name and not target.plugin:
        return _method(function, library, target)

    def wrapper(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: Kwargs) -> Any:
        runtime, context = installation.in_force, current()
        if runtime is None or (context and _is_none_of_ours(library, target)):
            return wrapped(*args, **kwargs)
        try:
            kwargs, request = prepare(runtime, library, target, instance, args, kwargs)
            call = Call(runtime, library, target, wrapped, args, kwargs, request, context)
        except Exception as error:  # noqa: BLE001  # a bug of ours must not stop the application's call
            runtime.guard.caught("prepare", error)
            return wrapped(*args, **kwargs)
        return driver(call)

    return Wrapper(function, wrapper)


def _method(function: Callable[..., Any], library: str, target: Target) -> Callable[..., Any]:
    """The same for the plain method that most calls are, as a function: a proxy is bound anew by every call, which costs more than it does.

    See docs/decisions/0019-functions-for-methods.md.
    """

    @wraps(function)
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        runtime, context = installation.in_force, current()
        if runtime is None or (context and _is_none_of_ours(library, target)):
            return function(self, *args, **kwargs)
        try:
            kwargs, request = prepare(runtime, library, target, self, args, kwargs)
            call = Call(runtime, library, target, function, (self, *args), kwargs, request, context)
        except Exception as error:  # noqa: BLE001  # as in wrap
            runtime.guard.caught("prepare", error)
            return function(self, *args, **kwargs)
        return _function(call)

    return method


def _is_none_of_ours(library: str, target: Target) -> bool:
    """Whether a call is not to be recorded. An empty context, as of a script without spans of its own, never says so."""
    return _part_of_another(library, target) or not is_instrumentation_enabled()


def _part_of_another(library: str, target: Target) -> bool:
    """Whether the library itself makes this call, inside one of its calls that is being recorded."""
    return not target.plugin and library_in_call() == library


def _driver(plain: Any, target: Target) -> Callable[[Call], Any]:
    if target.manager or target.tap is not None:
        return _manager
    if inspect.isasyncgenfunction(plain):
        return _async_generator
    if inspect.isgeneratorfunction(plain):
        return _generator
    return _coroutine_function if inspect.iscoroutinefunction(plain) else _function


def prepare(  # noqa: PLR0913, PLR0917  # what was called, and with what
    runtime: Runtime, library: str, target: Target, instance: Any, args: tuple[Any, ...], kwargs: Kwargs
) -> tuple[Kwargs, Request]:
    """The keyword arguments to really send, and the request they are. An adapter that fails costs the details, not the entry."""
    guard, reader, request = runtime.guard, target.reader, None
    change, read = reader.prepare, reader.request
    if change is not None:
        try:
            kwargs = change(kwargs, runtime.settings.stream_usage)
        except Exception as error:  # noqa: BLE001
            guard.caught("adapter.prepare", error)
    try:
        request = read(instance, args, kwargs)
    except Exception as error:  # noqa: BLE001
        guard.caught("adapter.request", error)
    if not isinstance(request, Request):
        model = kwargs.get("model")
        request = Request("chat", Activity.LLM, library, model if isinstance(model, str) else None)
    return kwargs, request


def begin(call: Call) -> None:
    """Gate, then span. Raises BudgetExceeded."""
    call.admit(wait=True)
    call.start()


async def begin_async(call: Call) -> None:
    """The same without blocking the event loop: a free ledger answers at once, a busy one is waited for in a thread."""
    call.is_async = True
    try:
        call.admit(wait=False)
    except LedgerBusy:
        try:
            await waiting.in_thread(call.admit_in_thread)
        except BaseException:  # cancelled: the thread goes on
            call.withdraw()
            raise
    call.start()


def _function(call: Call) -> Any:
    call.admit(wait=True)  # as begin
    call.start()
    token = attach(call.context)
    try:
        result = call.function(*call.args, **call.kwargs)  # as Call.send
    except BaseException as error:
        call.end(error)
        raise
    finally:
        detach(token)
    kind = kind_of(type(result))
    if kind is _PLAIN:
        call.result(result)
        call.end()
        return result
    if kind is Kind.AWAITABLE and (not call.target.plugin or type(result) is CoroutineType):  # a task, a query are more than awaitable
        call.is_async = True
        return _awaited(call, result, _Dropped(call))
    return _received(call, result)


async def _coroutine_function(call: Call) -> Any:
    # openai's managers make the coroutine outside of themselves and await it inside.
    if _part_of_another(call.library, call.target):
        return await call.send()
    call = call.now()
    await begin_async(call)
    return await _awaited(call, call.send())


async def _awaited(call: Call, awaitable: Awaitable[Any], _dropped: _Dropped | None = None) -> Any:
    """``_dropped``, for a call that began before this runs, ends it should this never run."""
    token = otel_context.attach(call.context)
    try:
        result = await awaitable
    except GeneratorExit:  # the coroutine is closed or collected
        call.abandon("dropped")
        leave(token)
        raise
    except BaseException as error:
        otel_context.detach(token)
        call.end(error)
        raise
    otel_context.detach(token)
    return _received(call, result)


def _received(call: Call, result: Any) -> Any:
    """What the application gets; should watching fail, it gets the library's own object. What a plugin returns is not watched."""
    if call.target.plugin:
        call.result(result)
        call.end()
        return result
    try:
        return receive(call, result)
    except Exception as error:  # noqa: BLE001  # our bug, not the application's
        call.end()
        call.runtime.guard.caught("receive", error)
        return result


def _manager(call: Call) -> Any:
    manager, tap = call.send(), call.target.tap
    if hasattr(manager.__class__, "__aenter__"):  # not its type: wrapt's proxies have it, whatever they stand for
        return LiveAsyncManager(manager, call, tap, begin_async)
    return LiveManager(manager, call, tap, begin)


def _generator(call: Call) -> Generator[Any, Any, Any]:
    call = call.now()
    begin(call)
    inner = call.send()
    step: Callable[[], Any] = inner.__next__
    while True:
        token = otel_context.attach(call.context)
        try:
            item = step()
        except StopIteration as stop:
            call.end()
            return stop.value
        except BaseException as error:
            call.end(error)
            raise
        finally:
            otel_context.detach(token)
        if call.chunk(item):
            step = inner.__next__
            continue
        try:
            sent = yield item
        except GeneratorExit:
            call.abandon("closed")
            inner.close()
            raise
        except BaseException as thrown:  # noqa: BLE001  # handed on to the library's generator, which raises it or goes on
            step = partial(inner.throw, thrown)
        else:
            step = inner.__next__ if sent is None else partial(inner.send, sent)


async def _async_generator(call: Call) -> AsyncGenerator[Any, Any]:
    call = call.now()
    await begin_async(call)
    dropped = _Dropped(call)  # an asynchronous generator nobody closes is collected without running its code
    inner = call.send()
    step: Callable[[], Any] = inner.__anext__
    while True:
        token = otel_context.attach(call.context)
        try:
            item = await step()
        except StopAsyncIteration:
            call.end()
            return
        except BaseException as error:
            call.end(error)
            raise
        finally:
            otel_context.detach(token)
        if call.chunk(item):
            step = inner.__anext__
            continue
        try:
            sent = yield item
        except GeneratorExit:
            call.abandon("closed")
            await inner.aclose()
            raise
        except BaseException as thrown:  # noqa: BLE001
            if not isinstance(thrown, Exception):  # asyncio.run cancels the closing of a generator that somebody left
                call.end(outcome="closed")
            step = partial(inner.athrow, thrown)
        else:
            step = inner.__anext__ if sent is None else partial(inner.asend, sent)
        del item
    del dropped


class _Dropped:
    """Lives in a generator's frame; collected with it."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def __del__(self) -> None:
        self._call.abandon("dropped")
