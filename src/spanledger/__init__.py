"""Spanledger keeps the books on LLM and plugin usage in Python programs.

    pip install spanledger
    opentelemetry-instrument python app.py

Nothing needs to be imported for that. This module is for programs that want to say more: who pays (``workflow``, ``step``, ``scope``),
what is a plugin (``plugin``), what a run has used so far (``totals``) and what happens while it happens (``subscribe``).

Importing it imports no client library and starts nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spanledger.errors import BudgetExceeded
    from spanledger.install import flush, instrument, uninstrument
    from spanledger.plugins import plugin
    from spanledger.telemetry.events import Event, subscribe
    from spanledger.workflows import scope, step, totals, workflow

__version__ = "0.1.0"

_HOMES = {
    "BudgetExceeded": "errors",
    "Event": "telemetry.events",
    "flush": "install",
    "instrument": "install",
    "plugin": "plugins",
    "scope": "workflows",
    "step": "workflows",
    "subscribe": "telemetry.events",
    "totals": "workflows",
    "uninstrument": "install",
    "workflow": "workflows",
}

__all__ = [
    "BudgetExceeded",
    "Event",
    "flush",
    "instrument",
    "plugin",
    "scope",
    "step",
    "subscribe",
    "totals",
    "uninstrument",
    "workflow",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: a program that only sets a scope should not pay for the rest."""
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    import importlib  # noqa: PLC0415

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
