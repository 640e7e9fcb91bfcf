"""What the detectors share: the text under examination and a found span."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_PHONE = re.compile(
    r"phone|toll.?free|callback|messages? (?:to|on)\b|\btel\b|telef|\btf\b|\bph\b|mobile?\b|\bmovil|\bcell\b|cellular|handset|\bfax|"
    r"call(?:ed|s|ing)?\b|llam|\bdial|whatsapp|\bsms\b|\bcontact|hotline|reach (?:\w{1,10} ){0,2}(?:me|us|him|her|them|team)|\bpager|"
    r"\b(?:be|am|is|are) reach(?:ed|able) (?:at|on|by|via)\b|\b(?:my|his|her|our|their) number\b|\bmob\b|\bwa\.me/|"
    r"\bt[e\u00e9]\u0301?l\b|"
    r"text (?:me|us)|rufnummer|telemovel|celular|m[o\u00f3]\u0301?vil|tel[e\u00e9]\u0301?fono|"
    r"\u043b\u0435\u0444\u043e\u043d|\u7535\u8bdd|\u96fb\u8a71|"
    r"\u624b\u673a|\u53f7\u7801|\u5ea7\u673a|\u4f20\u771f|\uc804\ud654|\u0924\u0947\u0932|\u092b\u093c?\u094b\u0928"
)
_PHONE_NAME = re.compile(r"phone|\btel\b|mobile?\b|\bcell\b|\bfax|whatsapp|\bsms\b|telef|celular|rufnummer")
_PHONE_ROOTS = (
    "phone", "call", "tel", "mob", "contact", "fax", "cell", "office", "home", "work", "ext", "reach", "messag", "sms", "text", "dial",
    "whats", "llam", "tf", "ph", "toll", "handset", "hotline", "pager", "ruf", "movil", "t\u00e9l", "te\u0301l",
    "wa.me/", "my num", "his num", "her num", "our num", "their num", "m\u00f3vil", "celular", "\u043b\u0435\u0444",
    "\u7535", "\u96fb", "\u624b", "\u53f7", "\u5ea7", "\u4f20", "\uc804", "\u0924", "\u092b",
)  # fmt: skip
"""What the words of ``_PHONE`` and ``_PHONE_AFTER`` begin with; looking for all of them takes a tenth of the pattern's time."""
_PHONE_AFTER = re.compile(r"[ \-.,:()]{0,3}(?:office|mobile|fax|cell|home|work|phone|ext)\b")
_COUNTED_AFTER = re.compile(r" (?:times|calls|tokens|requests|bytes|rows|items|ms|seconds|users|records)\b")
_CARD = re.compile(
    r"\bcards?\b|credit|debit|\bvisa\b|amex|american express|master ?card|maestro|diners|discover|\bcc\b|\bpan\b|tarjeta|karte|\u5361"
)
_OTHER = re.compile(
    r"\b(?:npi|mrn|isbn|issn|ean|sku|policy|order|invoice|record|part|serial|ticket|tracking|routing|counts?|case|claim|"
    r"provider identifier)\b"
)
"""Numbers that are called something else."""
_HOST = re.compile(r"\bip|addr|host|server|subnet|prefix|gateway|\bdns\b|\u5730\u5740")
_SSN = re.compile(r"\bssns?\b|\bssn_|_ssn\b|social(?: |-|_)?sec|\bsocial\b|\bsoc ?sec")
_SSN_AFTER = re.compile(r"[ \-.,:()]{0,3}(?:(?:is|was|as|for) )?(?:(?:my|his|her|the|their|your|a) )?(?:ssn|social sec)")
_VERSION = re.compile(r"(?:version|release|build|firmware|\bver|\bv|==|>=|<=|~=|sections?|\brev|chapter|\bsdk)[\"']?[ =:.]{0,3}$")
_BEFORE = 48
"""Characters before a number that can say what it is."""


_NEAR = 24
_MOST_ESCAPES = 16
"""As JSON in JSON in JSON in JSON has before a quote."""


def among(words: str) -> frozenset[str]:
    """A set of words, written as a sentence without commas."""
    return frozenset(words.split())


class Digits(IntEnum):
    """Which digits in a text can be a number of a person."""

    ANY = 0
    SURE = 1
    """Under the name of an id: those of a form or with a checksum that ids do not have."""
    NONE = 2
    """Under the name of a trace, a version, a time."""


class Exhausted(Exception):  # noqa: N818  # not an error: a bound reached
    """The value would take too much work; it is dropped instead."""


class Budget:
    """How many places may still be looked at; shared by all texts of one value."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, amount: int = 1) -> None:
        """Raises ``Exhausted`` when nothing is left."""
        self.left -= amount
        if self.left < 0:
            raise Exhausted


class Span(NamedTuple):
    """A private value: ``text[start:end]``, and what it is."""

    start: int
    end: int
    label: str


class Text:
    """One text: its ASCII view, the same in lower case, and, where the offsets allow, its original words in lower case."""

    __slots__ = ("_origin", "_phones", "_source", "budget", "lower", "text", "words")

    def __init__(self, text: str, source: str, budget: Budget, origin: Callable[[int], int] = int) -> None:
        self.text = text
        self._source, self._origin = source, origin
        self.lower = text.lower()
        words = self.lower if text is source else source.lower()
        self.words = words if len(words) == len(text) else self.lower
        self.budget = budget
        self._phones: bool | None = None

    def char(self, index: int) -> str:
        """The character at ``index``, or a space outside the text."""
        return self.text[index] if 0 <= index < len(self.text) else " "

    def escapes(self, index: int) -> int:
        """How many backslashes stand before the character at ``index`` in the original text."""
        end = self._origin(index)
        run = self._source[end : end + _MOST_ESCAPES]
        end += len(run) - len(run.lstrip("\\"))
        left = self._source[max(0, end - _MOST_ESCAPES) : end]
        return len(left) - len(left.rstrip("\\"))

    def speaks_of_phones(self) -> bool:
        """Whether any of the text's words may be about phones; most texts with numbers have none."""
        if self._phones is None:
            self._phones = any(root in self.words for root in _PHONE_ROOTS)
        return self._phones

    def says_phone(self, start: int, end: int) -> bool:
        """Whether the words before or right after a number say that it is a phone number."""
        if not self.speaks_of_phones():
            return False
        if _COUNTED_AFTER.match(self.words, end):
            return False
        if _PHONE_AFTER.match(self.words, end):
            return True
        said = [found.end() for found in _PHONE.finditer(self.words, max(0, start - _BEFORE), start)]
        return bool(said) and not _OTHER.search(self.words, said[-1], start)

    def names_phone(self, start: int) -> bool:
        """Whether the words before digits name a phone, not only a call, which programs make too."""
        return bool(_PHONE_NAME.search(self.words, max(0, start - _NEAR), start))

    def says_other(self, start: int) -> bool:
        """Whether the words before a number call it something that is no phone number."""
        return bool(_OTHER.search(self.words, max(0, start - _NEAR), start))

    def says_host(self, start: int) -> bool:
        """Whether the words before something speak of network addresses."""
        return bool(_HOST.search(self.words, max(0, start - _BEFORE), start))

    def says_card(self, start: int) -> bool:
        """Whether the words before a number speak of payment cards."""
        return bool(_CARD.search(self.words, max(0, start - _BEFORE), start))

    def says_ssn(self, start: int, end: int) -> bool:
        """Whether the words before or right after a number speak of US social security."""
        return bool(_SSN.search(self.words, max(0, start - _BEFORE), start) or _SSN_AFTER.match(self.words, end))

    def says_version(self, start: int) -> bool:
        """Whether the words before a dotted number call it a version."""
        return bool(_VERSION.search(self.lower, max(0, start - 16), start))
