"""What a call needs from the rest of the house, put together once by ``install``."""

from __future__ import annotations

import os
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spanledger import fork

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from spanledger.budgets.gate import Gate
    from spanledger.engine.call import Call
    from spanledger.engine.guard import Guard
    from spanledger.engine.reaper import Reaper
    from spanledger.ledger.ledger import Ledger
    from spanledger.pricing.book import PriceBook
    from spanledger.settings import Settings
    from spanledger.telemetry.events import Events
    from spanledger.telemetry.metrics import Metrics
    from spanledger.telemetry.semconv import Generation


@dataclass
class Runtime:
    """One installation: its collaborators and the calls under way."""

    settings: Settings
    ledger: Ledger
    gate: Gate
    book: PriceBook
    tracer: Tracer
    metrics: Metrics
    events: Events
    guard: Guard
    reaper: Reaper
    names: Generation
    capture_spans: bool = False
    capture_events: bool = False
    open_calls: dict[str, Call] = field(default_factory=dict)
    fetching: threading.RLock = field(default_factory=threading.RLock)
    """Held by who settles a response that was fetched; by one thread twice where a signal handler fetches in the middle."""


in_force: Runtime | None = None
"""The installation in force; None before ``instrument()`` and after ``uninstrument()``, when all wrappers are inert."""


def active() -> Runtime | None:
    """``in_force``, for those whom a call more costs nothing."""
    return in_force


def activate(runtime: Runtime | None) -> None:
    """Puts an installation in force, or none."""
    global in_force  # noqa: PLW0603  # the process has one installation
    in_force = runtime


# Ids come from a generator of our own: the application may seed the global one, which would repeat ids across processes.
_random = random.Random(os.urandom(16))  # noqa: S311  # ids, not secrets


def new_id() -> str:
    """A new entry or execution id: 32 hexadecimal digits."""
    return digits(_random.getrandbits(128), IN_32_DIGITS)  # in C, so that threads do not disturb each other


IN_32_DIGITS, IN_16_DIGITS = 1 << 128, 1 << 64


def digits(number: int, beyond: int) -> str:
    """Hexadecimal digits with leading zeros, as ``format`` gives them in more steps. ``beyond``: the first number that has too many."""
    return hex(number | beyond)[3:]


def _after_fork() -> None:
    global _random  # noqa: PLW0603  # a child must not go on with its parent's ids
    _random = random.Random(os.urandom(16))  # noqa: S311
    if in_force is not None:
        for call in in_force.open_calls.values():
            call.opened.clear()  # the parent ends its own calls; a stream that the child inherited must not end one
        in_force.open_calls = {}
        in_force.fetching = threading.RLock()


fork.in_child(_after_fork)
