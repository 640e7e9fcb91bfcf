"""Finding where a kind of private value may be: places only, no judgement. Two engines, one answer.

The patterns are written in what google-re2 and the standard library have in common, start with something rare, and repeat only with a
bound or as long as they consume, so both take time linear in the text. Neither uses alternations over whole detectors: one automaton of
everything is slower than a set that says which of the small ones to run (https://github.com/google/re2/blob/main/re2/set.h).
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Kind(IntEnum):
    """A kind of place, and its index in ``PLACES``."""

    AT = 0
    NUMBER = 1
    DOTTED = 2
    COLONS = 3
    DASHED = 4
    IBAN = 5
    LONG_WORD = 6
    KEYWORD = 7
    PEM = 8
    URL = 9
    SPELLED = 10
    CRYPT = 11
    HIDDEN_SSN = 12


class Place(NamedTuple):
    """``pattern`` is searched in the text, or in its lower-case form if ``lower``; without any of ``hints`` in it there is no match."""

    pattern: str
    hints: tuple[str, ...]
    lower: bool = False


_LONG = 20
"""Characters of a word that may be a key."""
DIGITS = tuple("0123456789")
_STEMS = (
    "sshpass -p", "pass", "pwd", "pswd", "secret", "token", "api", "auth", "cred", "cookie", "key", "login", "bearer", "basic ", "sig",
    "ssn", "srf", "access", "private", "q~", "--user", " -u ", "identified by '", "senha", "kennwort", "wachtwoord",
    "input_value", "input'", 'input"',
)  # fmt: skip
_HEX = "[0-9A-Fa-f]"

PLACES: tuple[Place, ...] = (
    Place("@", ("@",)),
    Place(r"[0-9](?:[ ()+.\-/]{0,4}[0-9]){6,}", DIGITS),
    Place(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}", (".",)),
    Place(rf":{_HEX}{{0,4}}:", (":",)),
    Place(rf"-{_HEX}{_HEX}-{_HEX}{_HEX}-{_HEX}{_HEX}-", ("-",)),
    Place(r"\b[A-Za-z][A-Za-z][0-9][0-9][ \-]?[A-Za-z0-9]{4}", DIGITS),
    Place(rf"[0-9A-Za-z_\-]{{{_LONG},}}", ()),
    Place("|".join(_STEMS) + r"|_pat\b", (*_STEMS, "_pat"), lower=True),
    Place("-----BEGIN ", ("-----BEGIN ",)),
    Place("://", ("://",)),
    Place(r"[\[( ]dot[\]) ]", (" dot ", "[dot]", "(dot)"), lower=True),
    Place(r"\$[0-9a-z]{1,12}\$", ("$",)),
    Place(r"(?:xxx-xx|\*\*\*-\*\*)-[0-9]{4}", ("xx-", "**-"), lower=True),
)


class Engine(Protocol):
    """Both take ASCII only, so that offsets of characters and bytes are the same."""

    name: str

    def present(self, text: str) -> Sequence[int]:
        """The kinds that may occur; may name one too many, never one too few."""

    def find(self, kind: int, text: str) -> Iterator[tuple[int, int]]:
        """Where the kind's pattern matches, left to right, without overlaps."""


class Standard:
    """The standard library's ``re``; substring searches tell which patterns are worth running."""

    name = "re"
    _SHAPE = bytes(ord("a") if chr(code).isalnum() and code < 0x80 or chr(code) in "_-" else ord(" ") for code in range(256))  # noqa: RUF021  # ASCII

    _IBAN = re.compile(r"[0-9][0-9](?<=\b[A-Za-z][A-Za-z]..)[ \-]?[A-Za-z0-9]{4}")
    """The same as the pattern, from the rarer digits on, which takes half the time."""

    def __init__(self) -> None:
        self._patterns = [re.compile(place.pattern) for place in PLACES]

    def present(self, text: str) -> list[int]:
        """See ``Engine``."""
        lower = text.lower()
        digits = any(digit in text for digit in DIGITS)
        return [kind for kind, place in enumerate(PLACES) if self._hinted(place, lower if place.lower else text, digits)]

    @staticmethod
    def _hinted(place: Place, text: str, digits: bool) -> bool:
        if place.hints is DIGITS:
            return digits
        if not place.hints:
            return len(text) >= _LONG
        return any(hint in text for hint in place.hints)

    def find(self, kind: int, text: str) -> Iterator[tuple[int, int]]:
        """See ``Engine``."""
        if kind == Kind.LONG_WORD:
            return self._long_words(text)
        if kind == Kind.IBAN:
            return ((found.start() - 2, found.end()) for found in self._IBAN.finditer(text))
        return (found.span() for found in self._patterns[kind].finditer(text))

    def _long_words(self, text: str) -> Iterator[tuple[int, int]]:
        """The same words as the pattern finds, which would try each of a word's letters as its start."""
        shape = text.encode("ascii").translate(self._SHAPE)
        word = b"a" * _LONG
        start = shape.find(word)
        while start >= 0:
            end = shape.find(b" ", start)
            end = len(shape) if end < 0 else end
            yield start, end
            start = shape.find(word, end)


class Re2:
    """google-re2: a set automaton reads the text once and names the kinds present."""

    name = "re2"

    def __init__(self) -> None:
        import re2  # noqa: PLC0415  # optional, and not to be loaded where redaction is off

        options = re2.Options()
        options.log_errors = False
        self._patterns = [re2.compile(place.pattern.encode(), options) for place in PLACES]
        self._set = re2.Set.SearchSet(options)
        for place in PLACES:
            self._set.Add(f"(?i:{place.pattern})" if place.lower else place.pattern)
        self._set.Compile()

    def present(self, text: str) -> Sequence[int]:
        """See ``Engine``."""
        kinds: list[int] | None = self._set.Match(text)
        return kinds or ()

    def find(self, kind: int, text: str) -> Iterator[tuple[int, int]]:
        """See ``Engine``."""
        return (found.span() for found in self._patterns[kind].finditer(text.encode("ascii")))


def best() -> Engine:
    """google-re2 where it is installed, else the standard library."""
    try:
        return Re2()
    except ImportError:
        return Standard()
