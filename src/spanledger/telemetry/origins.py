"""Redacts instrumentation scopes: what tracers, loggers and meters are called, and the attributes they were made with.

All that is exported carries the scope it comes from. Each is redacted once, in place, when it is made or when its provider is led.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from opentelemetry.attributes import BoundedAttributes

if TYPE_CHECKING:
    from spanledger.redaction.redactor import Redactor

MADE = ("opentelemetry.sdk.util.instrumentation", "InstrumentationScope.__init__")
_MAKERS = ("_tracers", "_active_loggers", "_meters")
"""Where the SDK's providers keep what they made."""


def redact(scope: Any, redactor: Redactor) -> None:
    """Redacts all that one scope says."""
    name, attributes = redactor.text(scope.name), redactor.attributes(scope.attributes)
    version, schema = redactor.value("version", scope.version), redactor.value(None, scope.schema_url)
    scope._name, scope._version, scope._schema_url = name, version, schema  # noqa: SLF001  # there is no other way
    if attributes is not None:
        scope._attributes = BoundedAttributes(attributes=attributes)  # noqa: SLF001


def redact_known(provider: Any, redactor: Redactor) -> None:
    """Redacts the scopes of all that a provider has made so far."""
    for field in _MAKERS:
        makers = getattr(provider, field, None)
        if isinstance(makers, (dict, WeakSet)):
            for maker in list(makers.values() if isinstance(makers, dict) else makers):
                redact(maker._instrumentation_scope, redactor)  # noqa: SLF001  # see above
