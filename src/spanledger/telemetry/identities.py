"""A weak set of whatever objects, told apart by what they are: some providers are dataclasses (Logfire's), which have no hash."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Identities:
    """Forgets what nobody else holds."""

    def __init__(self) -> None:
        self._references: dict[int, weakref.ref[Any]] = {}

    def add(self, one: Any) -> None:
        """Adds an object; TypeError if it cannot be held weakly."""
        references, key = self._references, id(one)
        references[key] = weakref.ref(one, lambda _gone: references.pop(key, None))

    def __contains__(self, one: Any) -> bool:
        reference = self._references.get(id(one))
        return reference is not None and reference() is one

    def __iter__(self) -> Iterator[Any]:
        return iter([one for reference in list(self._references.values()) if (one := reference()) is not None])

    def clear(self) -> None:
        """Forgets all."""
        self._references.clear()
