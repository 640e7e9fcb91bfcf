"""Client libraries: one file each, as a value. Adding one is described in docs/adding-an-adapter.

An adapter is imported when its library is: a program pays for the libraries it uses, not for all that are known.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spanledger.engine.adapter import Adapter

KNOWN = ("openai", "anthropic")
"""Import names of the libraries there are adapters for; the module here has the same name."""


def load(library: str) -> Adapter:
    """The adapter of one of the ``KNOWN`` libraries."""
    adapter: Adapter = importlib.import_module(f"{__name__}.{library}").ADAPTER
    return adapter
