"""What is written instead of a private value."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MODES = ("mask", "hash", "drop", "off")
DROPPED, FAILED, TOO_MUCH, UNKNOWN_TYPE = "[REDACTED]", "[REDACTED:error]", "[REDACTED:budget]", "[REDACTED:type]"
MASK = re.compile(r"\[[A-Z][A-Z_]{1,30}(?::[a-f][0-9a-f]{9}|:[a-z]{4,8})?\]")
"""What redaction writes; left alone when it is read again."""
_DIGITS_ONLY = frozenset({"PHONE", "CREDIT_CARD", "US_SSN"})
_ANY_CASE = frozenset({"EMAIL", "IP", "MAC"})


class Labels:
    """Writes ``[EMAIL]``, ``[EMAIL:ab12cd34ef]`` or ``[REDACTED]``, as ``mode`` says. Raises ``ValueError`` for an unknown mode."""

    def __init__(self, mode: str, key: str | None) -> None:
        if mode not in MODES:
            message = f"redaction mode {mode!r} is unknown; expected one of {', '.join(MODES)}"
            raise ValueError(message)
        self.mode = mode
        self._secret = hashlib.blake2b(key.encode("utf-8", "surrogatepass")).digest() if key else os.urandom(32)

    def instead(self, label: str, value: str) -> str:
        """The text for one private value."""
        if self.mode == "drop":
            return DROPPED
        return f"[{label}:{self._hash(label, value)}]" if self.mode == "hash" else f"[{label}]"

    def _hash(self, label: str, value: str) -> str:
        """Ten signs, the first of them a letter, so that what follows is never taken for a number."""
        digest = hashlib.blake2b(_normal(label, value).encode("utf-8", "surrogatepass"), key=self._secret, digest_size=6).digest()
        return "abcdef"[digest[5] % 6] + digest.hex()[:9]


def _normal(label: str, value: str) -> str:
    """One form of what can be written in several, so that it has one hash."""
    if label in _DIGITS_ONLY:
        return "".join(sign for sign in value if sign.isdigit())
    if label in _ANY_CASE:
        return value.strip().lower()
    return "".join(value.split()).upper() if label == "IBAN" else value


def unlike(taken: Mapping[Any, Any], name: Any, clashes: int) -> tuple[Any, int]:
    """A name that is not taken yet, so that no value is lost where two private names have become one; and the clashes so far."""
    free = name
    while free in taken:
        clashes += 1
        free = f"{name}#{clashes + 1}"
    return free, clashes
