"""Redacts resources: what a program says of itself with everything it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import Resource

from spanledger.interrupts import raised_by_handler

if TYPE_CHECKING:
    from spanledger.redaction.redactor import Redactor

_MOST_KNOWN = 32
"""A program has one or a few, and a forked one new ones."""


def redacted_resource(redactor: Redactor, resource: Resource) -> Resource | None:
    """The resource with private values replaced; ``None`` if nothing changes."""
    attributes, schema = redactor.attributes(resource.attributes), resource.schema_url and redactor.text(resource.schema_url)
    if attributes is None and schema == resource.schema_url:
        return None
    return Resource(resource.attributes if attributes is None else attributes, schema)


class Resources:
    """Resources are few and shared by all spans of a provider; each is redacted once."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._last: tuple[Resource | None, Resource | None] = (None, None)
        self._known: dict[int, tuple[Resource, Resource | None]] = {}
        """By identity: comparing them takes longer than redacting."""

    def redacted(self, resource: Resource | None) -> Resource | None:
        """The resource to show instead of this one, or ``None`` if it can be shown."""
        source, shown = self._last
        if resource is source:
            return shown
        if resource is None:
            return None
        self._last = known = self._known.get(id(resource)) or self._remembered(resource)
        return known[1]

    def shown(self, resource: Resource | None) -> Resource:
        """The resource as it can be shown; an empty one if it cannot be redacted."""
        try:
            return self.redacted(resource) or resource or Resource({})
        except Exception as error:  # of the first of its kind is told already
            if raised_by_handler(error):
                raise
            return Resource({})

    def _remembered(self, resource: Resource) -> tuple[Resource, Resource | None]:
        shown = redacted_resource(self._redactor, resource)
        if len(self._known) >= _MOST_KNOWN:
            self._known = {}  # not cleared: another thread may be reading it
        if shown is not None:
            self._known[id(shown)] = (shown, None)
        self._known[id(resource)] = known = (resource, shown)
        return known
