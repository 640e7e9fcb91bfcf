"""Reading an SDK's objects cheaply, and without raising on values that should not be there.

Asking a pydantic model for an attribute it does not have costs two microseconds, so objects are read as mappings of their fields.
A call is read once, between much other code, with nothing of ours in the processor's caches. There, plain look-ups in straight lines
are the fastest: ``map``, ``filter`` and generators make fewer steps of it, and each of them costs more than it saves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from spanledger.telemetry.semconv import REQUEST_PARAMS, as_param

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.model import Usage

NOTHING: Mapping[str, Any] = {}
_ABSENT = frozenset({"NotGiven", "Omit"})
_PLAIN = frozenset({str, list, dict, tuple, type(None)})
"""What arguments nearly always are: no iterator and not one of ``_ABSENT``. Asking an abstract class costs more than this look-up."""
_NANO = 1_000_000_000
MOST_TOKENS = 10**11
"""No call has as many; at today's prices what they cost still fits into the 64 bits that OTLP and databases have for a number."""
_MOST_NANO_USD = 2**53
"""Nine million dollars: more than a call can cost, and exact in JSON."""
_PARTS_OF_INPUT = ("cache_read", "cache_write", "cache_write_1h")
_PARTS = (
    ("reasoning", "output"),
    ("output_audio", "output"),
    ("output_image", "output"),
    ("input_audio", "input"),
    ("input_image", "input"),
    ("cache_read_audio", "cache_read"),
    ("cache_read_image", "cache_read"),
)


def fields(thing: Any) -> Mapping[str, Any]:
    """The fields of an SDK object or of decoded JSON, with those its class does not know; empty for anything else."""
    if thing is None:
        return NOTHING
    if isinstance(thing, dict):
        return thing
    try:
        if not thing.__pydantic_extra__:
            return thing.__dict__  # type: ignore[no-any-return]
        return {**thing.__dict__, **thing.__pydantic_extra__}
    except AttributeError:  # no model of pydantic 2
        return getattr(thing, "__dict__", NOTHING)


def known(thing: Any) -> Mapping[str, Any]:
    """The declared fields only, without a copy: for stream events, where ``fields`` would cost too much.

    What nearly every event of a stream passes has this written out.
    """
    return thing if isinstance(thing, dict) else getattr(thing, "__dict__", NOTHING)


def items(value: Any) -> list[Any] | tuple[Any, ...]:
    """A list or tuple as it is; empty for anything else, so that nobody's iterator is consumed."""
    return value if isinstance(value, (list, tuple)) else ()


def first(*values: Any) -> Any:
    """The first value that is not None."""
    for value in values:
        if value is not None:
            return value
    return None


def text(value: Any) -> str | None:
    """A non-empty string, nothing else."""
    return value if isinstance(value, str) and value else None


def strings(value: Any) -> list[str] | None:
    """A string or several, as a list."""
    if isinstance(value, str):
        return [value]
    return [item for item in items(value) if isinstance(item, str)] or None


class Rule(NamedTuple):
    """How a request parameter is read. Values of the type ``plain`` are taken as they are; None from ``read`` means none is told."""

    attribute: str
    read: Callable[[Any], Any]
    plain: type | None = None


def rule(short: str, read: Callable[[Any], Any] | None = None) -> Rule:
    """The rule of a parameter by its short name; ``read`` makes of an argument what the attribute says."""
    attribute, kind = REQUEST_PARAMS[short]
    if read is None:
        return Rule(attribute, lambda value: as_param(kind, value), kind)
    return Rule(attribute, lambda value: as_param(kind, read(value)))


def contents(sent: Mapping[str, Any], names: tuple[str, ...]) -> tuple[Any, ...]:
    """Those of the named arguments that were given: the SDKs' ``NotGiven`` and ``Omit`` mean that one was not."""
    found = []
    for name in names:
        value = sent.get(name)
        if value is not None and (type(value) in _PLAIN or type(value).__name__ not in _ABSENT):
            found.append(value)
    return tuple(found)


def given(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is really sent: the fields of ``extra_body`` win over arguments of the same name, as in the SDKs."""
    extra = kwargs.get("extra_body")
    return {**kwargs, **extra} if extra and isinstance(extra, dict) else kwargs


def params(sent: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Request parameters as attributes. The SDKs' ``NotGiven`` and ``Omit`` fit no rule and fall out."""
    found = {}
    for key, value in sent.items():
        known = rules.get(key)
        if known is None:
            continue
        attribute, read, plain = known
        told = value if type(value) is plain else read(value)
        if told is not None:
            found[attribute] = told
    return found


def context(seen: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, str] | None:
    """What prices depend on, by the names of its fields; only what was told."""
    if seen.keys().isdisjoint(names):
        return None
    return {name: value for name in names if isinstance(value := seen.get(name), str) and value} or None


def tier_of(seen: Mapping[str, Any]) -> dict[str, str] | None:
    """The service tier, which is all that the prices of OpenAI's APIs depend on besides the host; None if there is none."""
    tier = seen.get("service_tier")
    return {"service_tier": tier} if tier and isinstance(tier, str) else None


def lists_for_iterators(kwargs: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """One-shot iterators among the named arguments made lists, so that they can be read more than once; else ``kwargs`` itself."""
    found = kwargs
    for name in names:
        value = kwargs.get(name)
        if value is not None and type(value) not in _PLAIN and isinstance(value, Iterator):
            found = {**found, name: list(value)}
    return found


class Counts:
    """Reads token counts. Remembers whether one was impossible: a negative or an absurdly large number is as good as none."""

    odd = False

    def __call__(self, *values: Any) -> int | None:
        """The first value that is a count."""
        for value in values:
            if value is None:
                continue
            if type(value) is float and value.is_integer():
                value = int(value)  # noqa: PLW2901  # JSON encoders of some servers write 12.0
            if type(value) is int:
                if 0 <= value <= MOST_TOKENS:
                    return value
                self.odd = True
        return None


def clamp(usage: Usage) -> Usage:
    """Cuts parts that are larger than their total, and says so in ``clamped``; providers do send such numbers."""
    room = usage.input
    for part in _PARTS_OF_INPUT:
        value = getattr(usage, part)
        if room is not None and value is not None:
            if value > room:
                setattr(usage, part, room)
                usage.clamped = True
            room -= min(value, room)
    for part, whole in _PARTS:
        value, limit = getattr(usage, part), getattr(usage, whole)
        if value is not None and limit is not None and value > limit:
            setattr(usage, part, limit)
            usage.clamped = True
    return usage


def nano_usd(value: Any) -> int | None:
    """US dollars, as a JSON number or text, in nano-USD; by way of the decimal digits, not of the binary fraction."""
    if type(value) not in (int, float, str) or not re.fullmatch(r"\d+(\.\d*)?([eE][-+]?\d{1,2})?", str(value)):
        return None
    return _possible(round(Decimal(str(value)) * _NANO))


def _possible(nano: int) -> int | None:
    return nano if nano <= _MOST_NANO_USD else None


def told_cost(usage: Mapping[str, Any]) -> int | None:
    """What the provider itself says that the call cost, in nano-USD.

    xAI tells ticks of 1e-10 USD, Perplexity an object, OpenRouter and Vercel a number of USD beside ``is_byok``; with a key of one's
    own (``is_byok``) that number is their fee only, and ``upstream_inference_cost`` comes on top
    (https://openrouter.ai/docs/use-cases/usage-accounting). A bare ``cost`` of other servers may be in any currency.

    A cost of 0 is OpenRouter's and Vercel's to tell, who have free models. xAI and Perplexity have none: hosts that resell Grok (Azure)
    pass the field of ticks on without filling it, and the sums of Perplexity begin at 0 and are rounded.
    """
    ticks = usage.get("cost_in_usd_ticks")
    if type(ticks) is int and ticks > 0:
        return _possible(round(Decimal(ticks) / 10))
    cost = usage.get("cost")
    if cost is None:
        return None
    parts = fields(cost)
    if "total_cost" in parts:
        return (nano_usd(parts["total_cost"]) or None) if parts.get("currency", "USD") == "USD" else None
    if "is_byok" not in usage:
        return None
    fee = nano_usd(cost)
    if not usage["is_byok"]:
        return fee
    upstream = nano_usd(fields(usage.get("cost_details")).get("upstream_inference_cost"))
    return None if fee is None or upstream is None else fee + upstream
