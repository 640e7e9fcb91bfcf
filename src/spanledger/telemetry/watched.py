"""Attributes of a log record that redact what is written into them.

A log record is changed by each processor that it passes, and its attributes are shared with those that queued it for export before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes

from spanledger.telemetry.late import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spanledger.redaction.redactor import Redactor


class WatchedAttributes(BoundedAttributes):
    """What ``watch`` makes of attributes that are redacted."""

    _redactor: Redactor

    def __setitem__(self, key: str, value: Any) -> None:
        if key and isinstance(key, str):
            self._set_items({key: value})
        else:  # which the SDK drops and counts
            super().__setitem__(key, value)

    def _set_items(self, attributes: Mapping[str, Any]) -> None:
        clean = plain(BoundedAttributes(attributes=attributes))  # by the SDK: what it does not know becomes a text
        safe = self._redactor.attributes(clean)
        super()._set_items(clean if safe is None else safe)


def watch(attributes: Any, redactor: Redactor) -> None:
    """Redacts what is written into ``attributes`` from now on, in place: others hold them already."""
    if type(attributes) is BoundedAttributes:
        attributes.__class__ = WatchedAttributes
    if type(attributes) is WatchedAttributes:
        attributes._redactor = redactor  # noqa: SLF001  # there is no constructor of it
