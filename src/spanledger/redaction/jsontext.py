"""JSON inside texts, which is redacted as what it means: its escapes hide values from a pattern, and its keys tell what values are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spanledger.interrupts import raised_by_handler
from spanledger.redaction.text import among

if TYPE_CHECKING:
    from collections.abc import Mapping


def looks_like_json(text: str) -> bool:
    """Whether it is worth trying to parse: an object, an array or a string from end to end."""
    first, last = text[0], text[-1]
    if first.isspace() or last.isspace():
        stripped = text.strip()
        first, last = (stripped[0], stripped[-1]) if stripped else (" ", " ")
    return first + last in {"{}", "[]", '""'}


def parse(text: str) -> Any:
    """``None`` for what is no JSON, and for objects with a key twice: a parser would hide the first of them from us."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        if raised_by_handler(error):
            raise
        return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def dump(value: Any, before: str) -> str:
    """JSON text in the style of the text that ``value`` was parsed from."""
    spaced = '": ' in before or ", " in before
    return json.dumps(value, ensure_ascii=before.isascii(), separators=(", ", ": ") if spaced else (",", ":"))


_GIVEN = frozenset({"default", "example", "examples", "const", "items"})
_SCHEMA_WORDS = among(
    "type description title format minLength maxLength pattern nullable properties required anyOf additionalProperties readOnly writeOnly "
    "deprecated oneOf allOf $ref $defs enum minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minItems maxItems uniqueItems"
)
_SCHEMA_SIGNS = among("type anyOf oneOf allOf $ref enum const")


def is_schema(value: Any) -> bool:
    """A JSON schema of a parameter called ``password`` holds no password (https://json-schema.org/understanding-json-schema/reference).

    Except in what is ``given``.
    """
    if not isinstance(value, dict) or _SCHEMA_SIGNS.isdisjoint(value):
        return False
    return all(word in _SCHEMA_WORDS or word in _GIVEN or _is_extension(word) for word in value)


def given(schema: Mapping[Any, Any]) -> frozenset[Any]:
    """The entries of a schema in which values of what it describes may stand, or a schema of them."""
    said = (word for word, value in schema.items() if _is_extension(word) and not isinstance(value, (int, float)))
    return _GIVEN.union(said)


def _is_extension(word: Any) -> bool:
    """``x-example``, ``x-order``: what it means is its maker's matter (https://spec.openapis.org/oas/v3.1.0#specification-extensions)."""
    return isinstance(word, str) and word.startswith("x-")
