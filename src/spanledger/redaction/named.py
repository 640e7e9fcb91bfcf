"""Secrets that only their name gives away: ``password=...``, ``"apiKey": "..."``, ``--token ...``, ``Authorization: Bearer ...``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spanledger.redaction import keys
from spanledger.redaction.text import Span, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MASK = re.compile(r"\[[A-Z][A-Z_]{1,30}(?::[a-f][0-9a-f]{9}|:[a-z]+)?\]")
"""What redaction itself writes; left alone when it is read again."""
_NAME = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-."
_LONGEST_NAME = 64
_ASSIGNED = re.compile(
    r"""([0-9A-Za-z_.\-]{0,48}(?:[ ](?:key|token|secret|password|id)\b)?)      # the rest of the name
        [\"'`\])}]{0,3}                                                        # what closes it
        ([ \t]{0,4}(?:=>|:=|[=!]==?|=|:|,|\ is\b)[ \t]{0,4}|[ \t\n]{1,4})?         # what assigns
        (?:[\"'`]{0,3}(?:value|default)[\"'`]{0,1}[ ]?[=:][ ]?)?               # <add key="..." value="...">
        (?:[fbru]?([\"'`])([^\"'`\n]{1,2000})|([^\s\"'`,;<>()\[\]{}]{1,2000}))    # a quoted or a bare value
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SECRETS = frozenset({"PASSWORD", "SECRET", "API_KEY", "AUTHORIZATION", "COOKIE", "JWT", "PRIVATE_KEY"})
_NO_VALUE = frozenset(
    "none null nil true false undefined str string int integer bytes bool boolean any object optional required empty missing invalid wrong "
    "secretstr password passwd secret token key changed reset hidden redacted example unknown and or not is are was were for in on of the a "
    "to with field fields must should will may can has have from type".split()
)
_CODE = re.compile(r"[A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)+$|[*.xX#-]+$|\$\{?[A-Za-z_]\w*\}?$|\$\(|%[sdr(]|\{\{?")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")
_SEGMENT = re.compile("[0-9A-Za-z]{16,}")
_SCHEME = re.compile(r"(?:bearer|basic|token|api-?token|apikey|digest|negotiate|bot|key|aws4-hmac-sha256)\b[ :]{1,3}", re.IGNORECASE)
_TOKEN = re.compile(r"[0-9A-Za-z._~+/=|\-]{8,4096}")
_USER = re.compile(r"[ =]{1,3}[\"']?([^\s:\"']{1,128}:[^\s\"']{1,256})")
_LINE = re.compile(r"[^\"'\n\r]{4,4096}")
_ROLES = frozenset(
    "cache partition primary foreign public idempotency sort routing lookup group dict dedup hash row index range object s3 unique natural map "
    "sub config registry translation message storage redis kv json label i18n query header field attribute press".split()
)


def values(text: Text, places: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """The values that belong to sensitive names around ``places``."""
    done = 0
    for start, end in places:
        if start < done:
            continue
        span = _special(text, start, end) or _assigned(text, start, end)
        if span:
            done = span.end
            yield span


def _special(text: Text, start: int, end: int) -> Span | None:
    stem = text.lower[start:end]
    if stem in {"bearer", "basic "}:
        return _scheme(text, start, end)
    if stem in {"--user", " -u "}:
        found = _USER.match(text.text, end - (stem == " -u "))
        return Span(found.start(1), found.end(1), "URL_CREDS") if found else None
    return None


def _scheme(text: Text, start: int, end: int) -> Span | None:
    """``Bearer x`` and ``Basic x`` (RFC 6750, RFC 7617); both are words of prose too, so x must look random."""
    gap = len(text.text[end : end + 4]) - len(text.text[end : end + 4].lstrip(" "))
    found = _TOKEN.match(text.text, end + gap)
    if not found or (gap == 0 and text.lower[end - 1] != " ") or text.char(start - 1).isalnum():
        return None
    token = found[0]
    if (any(sign.isdigit() for sign in token) and len(token) >= 12) or _is_random(token):
        return Span(found.start(), found.end(), "AUTHORIZATION")
    return None


def _assigned(text: Text, start: int, end: int) -> Span | None:
    left = text.text[max(0, start - _LONGEST_NAME) : start]
    begin = start - len(left) + len(left.rstrip(_NAME))
    found = _ASSIGNED.match(text.text, end)
    if not found:
        return None
    name = text.text[begin : found.end(1)].rstrip(".-")
    label = keys.label(name) or ("API_KEY" if found[1].endswith("token") and " " in found[1] else None)
    quoted = found[3] is not None
    first, last = found.span(4 if quoted else 5)
    value = text.text[first:last]
    if MASK.match(text.text, first) or (value and MASK.match(text.text, first - 1)):
        return None
    sign = (found[2] or "").strip(" \t\n")
    if label == "COOKIE":
        line = _LINE.match(text.text, first)
        return Span(first, line.end(), label) if line and sign and "=" in line[0] else None
    if label == "AUTHORIZATION" or (label and _SCHEME.match(value)):
        return _authorization(text, first, quoted, last) if sign else None
    if not quoted:
        value = value.rstrip(".:!?\\")
        last = first + len(value)
    if label in _SECRETS and _is_value(text, value, last, label, sign, quoted=quoted):
        return Span(first, last, label)
    weak = None if label else keys.maybe(name) or _key_of(name)
    if weak and sign and _is_random(value) and not _CODE.match(value):
        return Span(first, last, weak)
    return None


def _key_of(name: str) -> str | None:
    """``tomtom_key`` names a secret, ``cache_key`` a place."""
    parts = keys.words(name)
    if len(parts) < 2 or parts[-1] not in {"key", "keys", "login", "sig", "signature", "api"}:  # noqa: PLR2004
        return None
    return None if not _ROLES.isdisjoint(parts) else "API_KEY"


def _authorization(text: Text, first: int, quoted: bool, last: int) -> Span | None:
    scheme = _SCHEME.match(text.text, first)
    begin = scheme.end() if scheme else first
    if quoted:
        return Span(begin, last, "AUTHORIZATION") if last - begin >= 6 and not _CODE.match(text.text, begin, last) else None  # noqa: PLR2004
    token = _LINE.match(text.text, begin)
    word = token[0].split()[0] if token and token[0].split() else ""
    if len(word) < 6 or _CODE.match(word) or word.lower() in _NO_VALUE or (word.isalpha() and word.islower()):  # noqa: PLR2004
        return None
    offset = text.text.index(word, begin)
    return Span(offset, offset + len(word), "AUTHORIZATION")


def _is_value(text: Text, value: str, end: int, label: str, sign: str, *, quoted: bool) -> bool:
    """Whether this is a secret, and not code, a type, a placeholder or the next word of a sentence."""
    if value.lower() in _NO_VALUE or len(value) < (3 if label == "PASSWORD" else 6):  # noqa: PLR2004
        return False
    if quoted:
        return (bool(sign) or _is_odd(value)) and not _CODE.match(value) and (label == "PASSWORD" or " " not in value)
    if _CODE.match(value) or text.char(end) in "([":
        return False
    if not sign or sign == ",":
        return _is_odd(value) and (label == "PASSWORD" or _is_random(value))
    return label == "PASSWORD" or _is_odd(value) or len(value) >= 12  # noqa: PLR2004


def _is_odd(value: str) -> bool:
    """Not a word of any language: a digit or a sign among letters."""
    return len(value) >= 6 and any(sign.isdigit() or sign in "!@#$%^&*+=~" for sign in value) and any(sign.isalpha() for sign in value)  # noqa: PLR2004


def _is_random(value: str) -> bool:
    """A long piece of letters and digits mixed, unlike ``claude-3-5-sonnet-20241022``."""
    if _UUID.match(value):
        return True
    found = _SEGMENT.search(value)
    return bool(found) and any(sign.isdigit() for sign in value) and any(sign.isalpha() for sign in value) and "://" not in value
