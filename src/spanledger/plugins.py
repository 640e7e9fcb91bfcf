"""Plugin (tool) calls: ``@plugin``, and functions named in ``SPANLEDGER_PLUGINS``."""
# ruff: noqa: SLF001  # a wrapper's own attributes have such names, as wrapt wants it

from __future__ import annotations

import contextvars
import functools
import importlib.util
import inspect
import sys
import threading
from contextlib import nullcontext
from importlib.machinery import PathFinder
from types import CoroutineType
from typing import TYPE_CHECKING, Any, overload

from spanledger.engine import drive
from spanledger.engine.adapter import Reader, Target
from spanledger.engine.guard import log
from spanledger.engine.loops import running_loop
from spanledger.engine.runtime import active
from spanledger.engine.wrapper import BoundWrapper, Wrapper
from spanledger.errors import ConfigurationError
from spanledger.model import Activity, Cost, CostStatus, Request, Response, Unit, Usage
from spanledger.outside import sound
from spanledger.pricing.plugin_price import plugin_price

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from types import ModuleType

    Price = tuple[Unit, int]


def parse_price(where: str, text: str) -> Price:
    """``"0.002 USD"`` -> nano-USD per call, ``"250 tokens"`` -> tokens-equivalent per call. Raises ConfigurationError."""
    try:
        return plugin_price(text)
    except ValueError as problem:
        raise ConfigurationError(where, f"cannot read {text!r} ({problem})", "a price such as '0.002 USD' or '250 tokens'") from None


def parse_prices(where: str, items: tuple[str, ...]) -> tuple[dict[str, Price], list[ConfigurationError]]:
    """``("send_email=0.001 USD", ...)`` -> prices by plugin name, and what could not be read.

    A plugin may also be named as in ``SPANLEDGER_PLUGINS``: ``myapp.mail:send_email`` is the price of ``send_email``.
    """
    prices: dict[str, Price] = {}
    problems: list[ConfigurationError] = []
    for item in items:
        name, _, text = item.partition("=")
        try:
            if not name.strip():
                raise ConfigurationError(where, f"{item!r} names no plugin", "a name before the price, as in send_email=0.001 USD")
            price = parse_price(where, text)
            prices |= dict.fromkeys((name.strip(), name.rpartition(":")[2].strip()), price)
        except ConfigurationError as problem:
            problems.append(problem)
    return prices, problems


class PluginReader:
    """Reads calls of one plugin. ``price`` given in code wins over the settings' and the price file's."""

    def __init__(self, name: str, function: Callable[..., Any], price: Price | None) -> None:
        self.name, self.price = name, price
        self._parameters = _parameters(function)

    def reader(self) -> Reader:
        """The engine's view."""
        return Reader(request=self.request, response=self.response, chunk=self.chunk, content=self.content)

    def request(self, instance: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Request:
        """A plugin's cost is known before it runs."""
        skip = 1 if instance is not None and self._parameters[:1] in (["self"], ["cls"]) else 0
        named = dict(zip(self._parameters[skip:], args, strict=False))
        return Request(
            "execute_tool", Activity.PLUGIN, "spanledger", tool_name=self.name, content={**named, **kwargs}, charge=self._charge()
        )  # fmt: skip

    def _charge(self) -> tuple[Usage, Cost]:
        unit, amount = self.price or _configured_price(self.name)
        if unit is Unit.USD:
            return Usage(0, 0), Cost(amount, CostStatus.EXACT, "plugin")
        return Usage(amount, 0), Cost(0, CostStatus.EXACT, "plugin")

    def response(self, result: Any, into: Response) -> None:
        """The result is recorded only where content is captured; the conventions ask for an object."""
        if into.output is not None:
            into.output = [result if isinstance(result, dict) else {"result": result}]

    def chunk(self, event: Any, into: Response) -> None:
        """Nothing to read in what a plugin yields."""

    def content(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name."""
        return {"tool_arguments": dict(arguments)}


def _parameters(function: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


_prices: dict[str, Price] = {}
_default: Price = (Unit.TOKENS, 400)


def configure(prices: dict[str, Price], default_tokens: int) -> None:
    """Sets the prices from the environment."""
    global _prices, _default  # set once by install
    _prices, _default = prices, (Unit.TOKENS, default_tokens)


def _configured_price(name: str) -> Price:
    known = _prices.get(name)
    if known is None and (runtime := active()) is not None:
        known = runtime.book.plugin(name)
    return known or _default


def wrap(function: Any, name: str, price: Price | None = None) -> Any:
    """The function, recorded as a plugin. Static and class methods are taken as they stand in their class.

    One that is a plugin already stays as it is, so that its calls are counted once.

    Raises:
        AttributeError: it is no function.
    """
    plain = function.__func__ if isinstance(function, (staticmethod, classmethod)) else function
    if _is_plugin(plain):
        return function
    if not callable(plain):
        message = f"{name} is no function"
        raise AttributeError(message)
    wrapped = drive.wrap(function, "plugin", Target("", name, PluginReader(name, plain, price).reader(), plugin=True))
    wrapped._self_plugin = name
    return wrapped


def _is_plugin(function: Any) -> bool:
    if isinstance(function, BoundWrapper):
        function = function._self_parent
    return isinstance(function, Wrapper) and hasattr(function, "_self_plugin")


@overload
def plugin(function: Callable[..., Any], /) -> Any: ...
@overload
def plugin(name: str, /, *, price: str | None = None, timeout: float | None = None) -> Callable[[Callable[..., Any]], Any]: ...
@overload
def plugin(*, name: str | None = None, price: str | None = None, timeout: float | None = None) -> Callable[[Callable[..., Any]], Any]: ...
def plugin(
    function: Callable[..., Any] | str | None = None, /, *, name: str | None = None, price: str | None = None, timeout: float | None = None
) -> Any:
    """Records every call of a function as a plugin (tool) call: span ``execute_tool``, duration, errors, price, budgets.

    Args:
        name: ``gen_ai.tool.name``, also as the only positional argument; the function's name if not given.
        price: per call, ``"0.002 USD"`` or ``"250 tokens"`` (tokens-equivalent, default 400). Also settable by name in
            ``SPANLEDGER_PLUGIN_PRICES`` and in the price file.
        timeout: seconds after which the caller gets ``TimeoutError``. A coroutine is cancelled then; a plain function, which Python
            cannot stop, runs on in its thread and its result is dropped. A generator, synchronous or not, has no timeout: it works
            between the readings of its caller. A warning says so where it is decorated.

    Raises (when the function is called): BudgetExceeded, TimeoutError if a timeout was given.
    """
    if function is None or isinstance(function, str):
        return functools.partial(_decorate, name=function or name, price=price, timeout=timeout)
    return _decorate(function, name=name, price=price, timeout=timeout)


def _decorate(function: Any, *, name: str | None, price: str | None, timeout: float | None) -> Any:
    tool = sound(name or getattr(function, "__name__", type(function).__name__))
    if _is_plugin(function):  # the outermost name and price are those that are meant
        function = function.__wrapped__
    if not callable(function) and not isinstance(function, classmethod):
        log.warning("@plugin: a %s cannot be called and is not recorded; put @plugin below what makes it one", type(function).__name__)
        return function
    fixed: Price | None = None
    if price is not None:
        try:
            fixed = parse_price(f"@plugin(name={tool!r})", price)
        except ConfigurationError as problem:  # a wrong price must not stop the application's import
            log.warning("%s; the default price is used", problem)
    limit = _seconds(timeout, tool)
    return wrap(_timed(function, limit, tool) if limit is not None else function, tool, fixed)


def _seconds(timeout: object, tool: str) -> float | None:
    """A wrong timeout must not stop the application's import either, nor its calls."""
    if timeout is None or (isinstance(timeout, (int, float)) and not isinstance(timeout, bool) and 0 <= timeout <= threading.TIMEOUT_MAX):
        return timeout
    log.warning("@plugin(name=%r): timeout is %.100r; expected seconds as a number, such as 10 or 0.5; there is no timeout", tool, timeout)
    return None


def _timed(function: Any, seconds: float, tool: str) -> Any:
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(_timed(function.__func__, seconds, tool))
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        log.warning(
            "@plugin(timeout=%g): %s is a generator and runs without a timeout; put it around what the generator waits for", seconds, tool
        )
        return function
    return _timed_call(function, seconds)


def _timed_call(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):

        @functools.wraps(function)
        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            return await _awaited_in_time(function(*args, **kwargs), seconds)

        return asynchronous

    @functools.wraps(function)
    def synchronous(*args: Any, **kwargs: Any) -> Any:
        result = _in_time(lambda: function(*args, **kwargs), seconds)
        return _awaited_in_time(result, seconds) if isinstance(result, CoroutineType) else result

    return synchronous


async def _awaited_in_time(coroutine: Awaitable[Any], seconds: float) -> Any:
    if running_loop() is None:
        return await _awaited_elsewhere(coroutine, seconds)
    import asyncio  # noqa: PLC0415  # costs 20 ms, and only programs that have imported it come here

    async with asyncio.timeout(seconds):
        return await coroutine


async def _awaited_elsewhere(coroutine: Awaitable[Any], seconds: float) -> Any:
    """In trio. A loop that is neither has no clock that we know: there it takes the time it takes."""
    trio = sys.modules.get("trio")
    with nullcontext() if trio is None else trio.move_on_after(seconds):
        return await coroutine
    message = f"plugin did not return within {seconds} s"
    raise TimeoutError(message)


def _in_time(work: Callable[[], Any], seconds: float) -> Any:
    outcome: list[tuple[Any, BaseException | None]] = []

    def run() -> None:
        try:
            outcome.append((work(), None))
        except BaseException as error:  # noqa: BLE001  # raised again in the caller's thread
            outcome.append((None, error))

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="spanledger-plugin", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        message = f"plugin did not return within {seconds} s"
        raise TimeoutError(message)
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


def parse_target(where: str, text: str) -> tuple[str, str]:
    """``"myapp.mail:send_email"`` -> module and dotted name (``*`` for all public functions). Raises ConfigurationError."""
    module, colon, name = (part.strip() for part in text.partition(":"))
    words = [*module.split("."), *(name.split(".") if name != "*" else [])]
    if not colon or not all(word.isidentifier() for word in words):
        raise ConfigurationError(where, f"cannot read {text!r}", "module:function, module:Class.method or module:*")
    return module, name


def parse_targets(where: str, texts: tuple[str, ...]) -> tuple[list[tuple[str, str]], list[ConfigurationError]]:
    """The targets, and what could not be read."""
    targets: list[tuple[str, str]] = []
    problems: list[ConfigurationError] = []
    for text in texts:
        try:
            targets.append(parse_target(where, text))
        except ConfigurationError as problem:
            problems.append(problem)
    return targets, problems


def missing(where: str, targets: Iterable[tuple[str, str]]) -> list[ConfigurationError]:
    """What is wrong with targets whose module cannot be found."""
    return [
        ConfigurationError(
            where,
            f"module {module} cannot be found, so {module}:{name} is not recorded",
            "a module that can be imported in the program's folder",
        )
        for module, name in targets
        if not is_there(module)
    ]


def is_there(module: str) -> bool:
    """Whether a module is imported or can be, from here too. It is not imported to see, and neither are its packages: as long as
    they are not, only the outermost is looked for."""
    package = module.rpartition(".")[0]
    if module in sys.modules or (package and package not in sys.modules):
        return module in sys.modules or is_there(package)
    try:
        return importlib.util.find_spec(module) is not None or PathFinder.find_spec(module, [""]) is not None
    except ModuleNotFoundError:  # what should be its package is a module
        return False
    except Exception:  # noqa: BLE001  # another's finder, which may raise anything: that says nothing
        return True


def public_functions(module: ModuleType) -> list[str]:
    """Names of the functions that a module defines itself and does not hide."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and inspect.isroutine(value) and getattr(value, "__module__", None) == module.__name__
    ]
