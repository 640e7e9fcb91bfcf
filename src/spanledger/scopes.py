"""Who is paying: the workflow, step and keys that calls made here are booked to.

The scope lives in the OpenTelemetry context, which is a context variable: asyncio tasks inherit it, and threads started by executors
inherit it through OpenTelemetry's threading instrumentation, which is installed with us. Scopes are immutable; entering one
derives a new one from the current.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from opentelemetry import baggage
from opentelemetry import context as otel_context

from spanledger import interrupts
from spanledger.outside import sound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

    from spanledger.model import Activity

log = logging.getLogger("spanledger")
_KEY = otel_context.create_key("spanledger-scope")
_NO_KEYS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Scope:
    """What a call is booked to. ``run`` is the live record of the workflow run (telemetry's own; opaque here)."""

    workflow: str | None = None
    execution: str | None = None
    step: str | None = None
    attempt: int | None = None
    activity: Activity | None = None
    keys: Mapping[str, str] = field(default_factory=lambda: _NO_KEYS)
    run: Any = None

    def derive(self, keys: Mapping[str, str] | None = None, **changes: Any) -> Scope:
        """This scope with some fields replaced and keys added."""
        if keys:
            changes["keys"] = MappingProxyType({**self.keys, **keys})
        return replace(self, **changes)


NOBODY = Scope()


def current(context: Context | None = None) -> Scope:
    """The scope in force, with baggage entries set by others as keys where we have none of that name."""
    context = otel_context.get_current() if context is None else context
    if not context:
        return NOBODY
    scope: Scope = otel_context.get_value(_KEY, context) or NOBODY  # type: ignore[assignment]  # our key, our type
    carried = baggage.get_all(context)
    if not carried:
        return scope
    inherited = text_keys({key: value for key, value in carried.items() if key not in scope.keys})
    return scope.derive(inherited) if inherited else scope


def within(scope: Scope, context: Context | None = None) -> Context:
    """A context in which ``scope`` is in force."""
    return otel_context.set_value(_KEY, scope, context)


def text_keys(keys: Mapping[Any, object]) -> dict[str, str]:
    """Keys and values as text, without those that are None or empty: baggage and applications may give any object.

    One that cannot be made text costs this key, not the call.
    """
    texts: dict[str, str] = {}
    for key, value in keys.items():
        if value is None:
            continue
        name = text(key, "the name of a scope key")
        content = name if name is None else text(value, f"scope key {name}")
        if name is not None and content:  # an empty value would be a second nobody in reports
            texts[name] = content
    return texts


def text(value: object, what: str) -> str | None:
    """A value as text, whatever object it is: a number, a UUID, a member of an enumeration.

    Args:
        value: what the application or another library gave.
        what: which of their values it is, for people.

    Returns:
        None if it cannot be made text. It is then left out, which is told once.
    """
    try:
        return sound(value)
    except Exception as error:
        if interrupts.raised_by_handler(error):
            raise
        _tell_unreadable(what, type(value).__name__)
        return None


@lru_cache(maxsize=512)
def _tell_unreadable(what: str, kind: str) -> None:
    log.warning("%s: its value, a %s, cannot be made text; calls are booked without it", what, kind)
