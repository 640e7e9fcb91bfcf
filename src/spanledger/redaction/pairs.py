"""Where one value says what another is: ``{"name": ..., "value": ...}``, headers as pairs, options of a command, refused fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LONGEST_NAME = 64
_NAMED = ("value", "Value")
VALUES = (*_NAMED, "input")
_NAMES = ("name", "key", "Name", "Key")
_LARGEST = 8
"""Entries of a mapping that is a name and its value."""
USER_OPTIONS = frozenset({"-u", "--user"})
"""``curl -u user:password``"""


def name_in(mapping: Mapping[Any, Any]) -> str | None:
    """What a mapping calls its value."""
    if len(mapping) > _LARGEST:
        return None
    if any(word in mapping for word in _NAMED):
        name = next((mapping[word] for word in _NAMES if word in mapping), None)
    else:
        name = _refused_in(mapping)
    return name if isinstance(name, str) and len(name) <= LONGEST_NAME else None


def _refused_in(mapping: Mapping[Any, Any]) -> str | None:
    """The field of an error of pydantic. Of a field that is missing, the input is all there is instead, under names of its own."""
    place, value = mapping.get("loc"), mapping.get("input")
    return field(place) if isinstance(place, (list, tuple)) and isinstance(value, (str, int, float, list, tuple)) else None


_TYPES = re.compile(r"str|int|float|bool|bytes|[0-9]+|function-.*|.*\[.*")
"""What may stand in a place after the name: an index, or which type of a union or which check refused the value."""


def field(place: Iterable[Any]) -> str | None:
    """The name that ends the place of a value."""
    names = [part for part in place if isinstance(part, str) and not _TYPES.fullmatch(part)]
    return names[-1] if names else None


_SCORES = frozenset({"logprob", "logprobs", "logit"})


def is_scored(mapping: Mapping[Any, Any]) -> bool:
    """Whether this is a piece of a model's answer with its probability: the ``token`` in it is text."""
    return not _SCORES.isdisjoint(mapping)


def is_piece(name: str, text: str) -> bool:
    """Whether a text called a token is one of a model, as credentials have neither spaces nor ``<|...|>``."""
    return name.lower().endswith("token") and (any(map(str.isspace, text)) or text.startswith("<|"))


_ORDERS = frozenset({"asc", "desc", "ASC", "DESC"})


def is_pair(item: Any) -> bool:
    """Whether this, among other items, is a name and a value, as clients and servers keep headers, and not what to sort by."""
    if type(item) not in {tuple, list} or len(item) != 2:
        return False
    name, value = item
    is_order = isinstance(value, str) and value in _ORDERS
    return isinstance(name, (str, bytes)) and len(name) <= LONGEST_NAME and not is_order


def option(item: Any) -> str | None:
    """The option of a command that the next item belongs to."""
    is_one = isinstance(item, str) and len(item) <= LONGEST_NAME and (item in USER_OPTIONS or (item.startswith("--") and "=" not in item))
    return item if is_one else None
