"""Attributes that are worked out when somebody reads them. See docs/decisions/0011-attributes-when-read.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes

if TYPE_CHECKING:
    from collections.abc import Callable

_OWN = frozenset({"_source", "_make", "_given"})


class LateAttributes(BoundedAttributes):
    """An ended span's attributes, made of others when they are first read: by an exporter, as a rule, in its own thread.

    Args:
        source: what they are made of; not changed any more.
        make: makes them. Must not raise, and must give the same if it is asked twice: two threads may be the first.
        given: what ``make`` gets besides. A closure would be four more objects in memory until the span is exported.
    """

    def __init__(self, source: BoundedAttributes, make: Callable[..., dict[str, Any]], *given: Any) -> None:
        self._source, self._make, self._given = source, make, given  # all else is the source's, see __getattr__

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:  # of a copy that is being made
            raise AttributeError(name)
        if name != "_dict":
            return getattr(self._source, name)
        self._dict = made = self._make(self._source, *self._given)  # all that BoundedAttributes does starts with a look at this field
        return made


class CheckedAttributes(LateAttributes):
    """The same of a span that processors of other makes can still write into: all else of it is looked at again when it is exported."""


STORES = frozenset({BoundedAttributes, LateAttributes})
"""What spans keep their attributes in. ``isinstance`` takes ten times as long: they are mappings, which anything may call itself."""


def plain(attributes: BoundedAttributes) -> dict[str, Any]:
    """The attributes of an ended span without a lock and two calls for every item: nobody writes any more."""
    return attributes._dict  # noqa: SLF001  # see above
