"""Where one value says what another is: ``{"name": ..., "value": ...}``, headers as pairs, the options of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_NAME = 64
VALUES = ("value", "Value")
_NAMES = ("name", "key", "Name", "Key")
_LARGEST = 8
"""Entries of a mapping that is a name and its value."""
USER_OPTIONS = frozenset({"-u", "--user"})
"""``curl -u user:password``"""


def name_in(mapping: Mapping[Any, Any]) -> str | None:
    """What a mapping calls its value."""
    if len(mapping) > _LARGEST or not any(word in mapping for word in VALUES):
        return None
    name = next((mapping[word] for word in _NAMES if word in mapping), None)
    return name if isinstance(name, str) and len(name) <= LONGEST_NAME else None


_SCORES = frozenset({"logprob", "logprobs", "logit"})


def is_scored(mapping: Mapping[Any, Any]) -> bool:
    """Whether this is a piece of a model's answer with its probability: the ``token`` in it is text."""
    return not _SCORES.isdisjoint(mapping)


def is_piece(name: str, text: str) -> bool:
    """Whether a text called a token is one of a model, as credentials have neither spaces nor ``<|...|>``."""
    return name.lower().endswith("token") and (any(map(str.isspace, text)) or text.startswith("<|"))


def is_pair(item: Any) -> bool:
    """Whether this, among other items, is a name and a value, as clients and servers keep headers."""
    return type(item) in {tuple, list} and len(item) == 2 and isinstance(item[0], (str, bytes)) and len(item[0]) <= LONGEST_NAME


def option(item: Any) -> str | None:
    """The option of a command that the next item belongs to."""
    is_one = isinstance(item, str) and len(item) <= LONGEST_NAME and (item in USER_OPTIONS or (item.startswith("--") and "=" not in item))
    return item if is_one else None
