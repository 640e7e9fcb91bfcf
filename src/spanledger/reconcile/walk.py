"""Walking through a JSON text without holding all of it as objects.

A request of some hundred spans is a million small objects, which no processor's cache holds. Decoded span by span it takes half the time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

decode: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().raw_decode
"""The value that begins at a place, and the place behind it. Raises ValueError."""
_BLANK = " \t\r\n"


def members(text: str, place: int, take: Callable[[str, int], int]) -> int:
    """Goes through the object that begins at ``place`` and returns the place behind it.

    ``take`` is given each key and the place where its value begins, and returns the place behind the value.

    Raises:
        ValueError: there is no object, or it is not sound.
    """

    def member(place: int) -> int:
        key, place = decode(text, place)
        if not isinstance(key, str):
            message = f"a key is no text at character {place}"
            raise ValueError(message)
        return take(key, after_blank(text, _behind(text, place, ":")))

    return _items(text, place, "{}", member)


def items(text: str, place: int, take: Callable[[int], int]) -> int:
    """Goes through the list that begins at ``place`` and returns the place behind it; ``take`` as for ``members``. Raises ValueError."""
    return _items(text, place, "[]", take)


def skip(text: str, place: int) -> int:
    """The place behind the value that begins here. Raises ValueError."""
    return decode(text, place)[1]


def after_blank(text: str, place: int) -> int:
    """The next place that is not blank; the text's length if there is none."""
    while text[place : place + 1] in _BLANK and place < len(text):
        place += 1
    return place


def _items(text: str, place: int, brackets: str, take: Callable[[int], int]) -> int:
    place = after_blank(text, _behind(text, place, brackets[0]))
    if text.startswith(brackets[1], place):
        return place + 1
    while True:
        place = after_blank(text, take(after_blank(text, place)))
        if text.startswith(brackets[1], place):
            return place + 1
        place = _behind(text, place, ",")


def _behind(text: str, place: int, sign: str) -> int:
    place = after_blank(text, place)
    if not text.startswith(sign, place):
        message = f"no {sign!r} at character {place}"
        raise ValueError(message)
    return place + 1
