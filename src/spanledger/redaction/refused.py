"""What a validator refused: its message names the field in one place and quotes the value in another."""

from __future__ import annotations

import re

from spanledger.redaction import checks, keys, pairs
from spanledger.redaction.assigned import assignment, value_end
from spanledger.redaction.text import Span, Text
from spanledger.redaction.view import OPAQUE

_FARTHEST_FIELD = 320
_BREAK = r"(?:\n|\\{1,8}n)"
_LINE = re.compile(rf"{_BREAK}(?:E )?[ \t]{{0,16}}([\w.\-]{{1,128}})(?:\[[^\n\\]{{0,128}})?(?={_BREAK})", re.ASCII)
"""A line that is nothing but the path of a field, as pydantic writes it, perhaps quoted by pytest or in JSON in JSON."""
_PLACE = re.compile(r"[\"']loc[\"'] ?: ?[\[(]([^\[\](){}\n]{1,256})")
"""The same in the list of errors that pydantic and FastAPI make: ``'loc': ('body', 'password')``."""
_NOTHING = frozenset({"None", "null", "True", "true", "False", "false"})


def in_line(text: Text, start: int, end: int) -> Span | None:
    """``db_password\\n  String should have ... [type=..., input_value='...', input_type=str]``."""
    lines = _LINE.findall(text.text, max(0, start - _FARTHEST_FIELD), start)
    return _refused(text, start, end, pairs.field(lines[-1].split("."))) if lines else None


def in_list(text: Text, start: int, end: int) -> Span | None:
    """``{'loc': ('body', 'password'), 'msg': ..., 'input': '...'}``."""
    places = _PLACE.findall(text.text, max(0, start - _FARTHEST_FIELD), start)
    return _refused(text, start, end, pairs.field(part.strip(" \"'") for part in places[-1].split(","))) if places else None


def _refused(text: Text, start: int, end: int, field: str | None) -> Span | None:
    it = assignment(text, start, end)
    if not field or not it or not it.value or it.value.startswith(OPAQUE) or checks.is_template(it.value):
        return None
    if not it.quoted and it.value in _NOTHING:
        return None
    label = keys.label(field) or (keys.maybe(field) if it.quoted else None)
    return Span(it.first, value_end(text, it), label) if label else None
