"""What the detectors share: the text under examination and a found span."""

from __future__ import annotations

import re
from typing import NamedTuple

_PHONE = re.compile(
    r"phone|\btel\b|telef|\btf\b|\bph\b|mobile?\b|\bmovil|\bcell\b|cellular|handset|\bfax|call(?:ed|s|ing)?\b|llam|\bdial|whatsapp|\bsms\b|"
    r"\bcontact|hotline|reach (?:me|us|him|her|them)|\bpager|text (?:me|us)|rufnummer|telemovel|celular|"
    r"\u7535\u8bdd|\u96fb\u8a71|\u624b\u673a|\u53f7\u7801|\uc804\ud654|\u0924\u0947\u0932|\u092b\u093c?\u094b\u0928|\u043b\u0435\u0444\u043e\u043d|"
    r"m[o\u00f3]vil|tel[e\u00e9]fono|\u5ea7\u673a|\u4f20\u771f"
)
_PHONE_AFTER = re.compile(r"[ \-.,:()]{0,3}(?:office|mobile|fax|cell|home|work|phone|ext)\b")
_CARD = re.compile(
    r"\bcards?\b|credit|debit|\bvisa\b|amex|american express|master ?card|maestro|diners|discover|\bcc\b|\bpan\b|tarjeta|karte|\u5361"
)
_SSN = re.compile(r"\bssns?\b|\bssn_|_ssn\b|social(?: |-|_)?sec|\bsocial\b|\bsoc ?sec")
_VERSION = re.compile(r"(?:version|release|build|firmware|\bver|\bv|==|>=|<=|~=|section|\brev|chapter|\bsdk)[\"']?[ =:.]{0,3}$")
_BEFORE = 48
"""Characters before a number that can say what it is."""


class Span(NamedTuple):
    """A private value: ``text[start:end]``, and what it is."""

    start: int
    end: int
    label: str


class Text:
    """One text: its ASCII view, the same in lower case, and, where the offsets allow, its original words in lower case."""

    __slots__ = ("_phones", "lower", "text", "words")

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.lower = text.lower()
        words = self.lower if text is source else source.lower()
        self.words = words if len(words) == len(text) else self.lower
        self._phones: bool | None = None

    def char(self, index: int) -> str:
        """The character at ``index``, or a space outside the text."""
        return self.text[index] if 0 <= index < len(self.text) else " "

    def says_phone(self, start: int, end: int) -> bool:
        """Whether the words before or right after a number say that it is a phone number."""
        if self._phones is None:  # most texts with numbers never speak of phones; one search tells
            self._phones = bool(_PHONE.search(self.words) or _PHONE_AFTER.search(self.words))
        if not self._phones:
            return False
        return bool(_PHONE.search(self.words, max(0, start - _BEFORE), start) or _PHONE_AFTER.match(self.words, end))

    def says_card(self, start: int) -> bool:
        """Whether the words before a number speak of payment cards."""
        return bool(_CARD.search(self.words, max(0, start - _BEFORE), start))

    def says_ssn(self, start: int) -> bool:
        """Whether the words before a number speak of US social security."""
        return bool(_SSN.search(self.words, max(0, start - _BEFORE), start))

    def says_version(self, start: int) -> bool:
        """Whether the words before a dotted number call it a version."""
        return bool(_VERSION.search(self.lower, max(0, start - 16), start))
