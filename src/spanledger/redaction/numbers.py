"""Payment cards, US social security numbers and phone numbers, in runs of digits and separators.

Identifiers, timestamps, floats and dates are runs of digits too, and must survive. So a form that ids also have (ten bare digits) needs
words around it that say what it is; a form of its own (``+44 ...``, ``(415) 555-0132``) does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from spanledger.redaction import checks
from spanledger.redaction.text import Span, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIGITS = re.compile("[0-9]+")
_LONGEST_CARD, _SHORTEST_CARD = 19, 12
_CARD_GROUPS = 5
_PHONE_GROUPS = 8
_LONGEST_PHONE, _SHORTEST_PHONE = 15, 7
_SSN_DIGITS = 9
_EXTENSION = re.compile(r" ?(?:x|ext\.?|extension|#) ?[0-9]{1,6}(?![0-9A-Za-z])")
_DATE = re.compile(
    r"(?:(?:19|20)[0-9]{2}[-/.](?:0?[1-9]|1[0-2])[-/.](?:[0-2]?[0-9]|3[01])|(?:[0-2]?[0-9]|3[01])[-/.](?:[0-2]?[0-9]|3[01])[-/.](?:19|20)?[0-9]{2})(?![0-9])"
)
_ADDRESS = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9]|\.[0-9])")
_YEARS = re.compile(r"(?:19|20)[0-9]{2} ?[-/] ?(?:19|20)[0-9]{2}(?![0-9])")
_BARE_NANP = 10
_MOBILE_CN = re.compile(r"1[3-9][0-9]{9}$")
_TRUNK = re.compile(r"0[1-9][0-9]{8,9}$")


class Group(NamedTuple):
    """Digits without a break, and the separators before them."""

    start: int
    end: int
    before: str

    @property
    def size(self) -> int:
        """How many digits."""
        return self.end - self.start


def find(text: Text, start: int, end: int) -> Iterator[Span]:
    """The private numbers in the run ``[start, end)``, which has at least seven digits."""
    groups = _groups(text, start, end)
    index = 0
    while index < len(groups):
        group = groups[index]
        span = None
        if not _continues_word(text, group.start, index):
            span = _card(text, groups, index) or _ssn(text, groups, index) or _phone(text, groups, index)
        if span is None:
            index += 1
            continue
        yield span
        while index < len(groups) and groups[index].start < span.end:
            index += 1


def _groups(text: Text, start: int, end: int) -> list[Group]:
    groups: list[Group] = []
    last = start
    for found in _DIGITS.finditer(text.text, start, end):
        groups.append(Group(found.start(), found.end(), text.text[last : found.start()]))
        last = found.end()
    return groups


def _continues_word(text: Text, start: int, index: int) -> bool:
    """Whether the digits are the tail of something longer: ``ORD-0123``, ``x86``, ``1,234``, ``0.123``."""
    before = text.char(start - 1)
    if index:
        return before == "." and text.char(start - 2).isdigit()
    if before.isalnum() or before in "_\x7f#$=" and before != "=" or (before == "%" and not text.char(start - 2).isspace()):
        return True
    return before in "-./,:&" and (text.char(start - 2).isalnum() or text.char(start - 2) == "_") and not (before in ":,&" and text.char(start - 2).isalpha())


def _ends(text: Text, end: int) -> bool:
    """Whether a number may end here: not inside ``123abc``, ``123_4``, ``1.5``, ``123-456``."""
    after, then = text.char(end), text.char(end + 1)
    if after.isalnum() or after in "_\x7f@":
        return False
    return not (after in "-.,:/" and then.isdigit()) and not (after == "-" and then.isalpha() and not _word_follows(text, end + 1))


def _word_follows(text: Text, start: int) -> bool:
    return text.text[start : start + 3].isalpha()


def _digits(text: Text, groups: list[Group]) -> str:
    return "".join(text.text[group.start : group.end] for group in groups)


def _card(text: Text, groups: list[Group], first: int) -> Span | None:
    """13 to 19 digits, whole or in groups as embossed, of a known issuer and with a right check digit; card words excuse one of these."""
    for last in range(min(len(groups), first + _CARD_GROUPS) - 1, first - 1, -1):
        some = groups[first : last + 1]
        length = sum(group.size for group in some)
        if not _SHORTEST_CARD <= length <= _LONGEST_CARD or not _embossed(some) or not _ends(text, some[-1].end):
            continue
        digits = _digits(text, some)
        likely = checks.luhn(digits) + checks.is_issued(digits)
        if likely == 2 and length in {14, 15, 16} or likely and text.says_card(some[0].start) or _spelled_card(text, some):  # noqa: PLR2004, RUF021
            return Span(some[0].start, some[-1].end, "CREDIT_CARD")
    return None


def _spelled_card(text: Text, some: list[Group]) -> bool:
    """Test numbers such as 1234-5678-8765-4321, if called a card."""
    return False


def _embossed(some: list[Group]) -> bool:
    if len(some) == 1:
        return True
    separator = some[1].before
    return (
        separator in {" ", "-", "."}
        and some[0].size == 4  # noqa: PLR2004  # all issuers begin with a group of four
        and len(some) > 2  # noqa: PLR2004
        and all(group.before == separator and 3 <= group.size <= 6 for group in some[1:-1])  # noqa: PLR2004
        and some[-1].before == separator
    )


def _ssn(text: Text, groups: list[Group], first: int) -> Span | None:
    """``123-45-6789``; with other separators or none only where the words say so."""
    some = groups[first : first + 3]
    if [group.size for group in some] == [3, 2, 4] and some[1].before == some[2].before and some[1].before in {"-", " ", "."}:
        start, end = some[0].start, some[2].end
        parts = [text.text[group.start : group.end] for group in some]
        if _ends(text, end) and checks.is_ssn(*parts) and (some[1].before == "-" or text.says_ssn(start)):
            return Span(start, end, "US_SSN")
    whole = groups[first]
    if whole.size == _SSN_DIGITS and _ends(text, whole.end) and text.says_ssn(whole.start):
        digits = text.text[whole.start : whole.end]
        if checks.is_ssn(digits[:3], digits[3:5], digits[5:]):
            return Span(whole.start, whole.end, "US_SSN")
    return None


def _phone(text: Text, groups: list[Group], first: int) -> Span | None:
    """The longest sequence of groups from ``first`` on that reads as one phone number."""
    start = groups[first].start
    if _DATE.match(text.text, start) or _ADDRESS.match(text.text, start) or _YEARS.match(text.text, start):
        return None
    lead = _lead(text, start)
    stop = min(len(groups), first + _PHONE_GROUPS)
    for last in range(stop - 1, first - 1, -1):
        some = groups[first : last + 1]
        if not _SHORTEST_PHONE <= sum(group.size for group in some) <= _LONGEST_PHONE or not _ends_phone(text, some[-1].end):
            continue
        if _is_phone(text, some, lead):
            extension = _EXTENSION.match(text.lower, some[-1].end)
            return Span(start - len(lead), extension.end() if extension else some[-1].end, "PHONE")
    return None


def _ends_phone(text: Text, end: int) -> bool:
    return _ends(text, end) or bool(_EXTENSION.match(text.lower, end))


_LEADS = ("(+", "+(", "+", "(")


def _lead(text: Text, start: int) -> str:
    """``+`` or ``(`` before the first digit, unless they belong to a formula or a call."""
    for lead in _LEADS:
        if text.text.endswith(lead, 0, start):
            before = text.char(start - len(lead) - 1)
            return "" if before.isalnum() or before in "_)]+-*/" and before != "/" else lead
    return ""


def _is_phone(text: Text, some: list[Group], lead: str) -> bool:
    digits = _digits(text, some)
    sizes = [group.size for group in some]
    separators = [group.before for group in some[1:]]
    if "+" in lead:
        return checks.is_country_code(digits)
    if digits.startswith("00"):
        return digits[2] != "0" and checks.is_country_code(digits[2:]) and len(digits) > 10 and len(some) > 1 or text.says_phone(some[0].start, some[-1].end)
    if _is_north_american(sizes, separators, digits):
        return True
    if lead == "(" and separators and separators[0].startswith(")"):
        return len(digits) >= 8 and 2 <= sizes[0] <= 5
    if digits.startswith("0") and len(digits) in {9, 10, 11, 12} and (_TRUNK.match(digits) if len(some) == 1 else 2 <= sizes[0] <= 6 and _plain(separators)):
        return True
    if digits[0] == "1" and _MOBILE_CN.match(digits) and sizes in ([3, 4, 4], [3, 8]):
        return True
    if sizes == [1, len(digits) - 1] and separators == ["."]:
        return False
    return text.says_phone(some[0].start, some[-1].end)


def _plain(separators: list[str]) -> bool:
    return all(separator in {" ", "-", "/", ") ", " - ", ")-"} for separator in separators)


def _is_north_american(sizes: list[int], separators: list[str], digits: str) -> bool:
    """``415-555-0132``, ``(415) 555-0132``, ``1 415.555.0132`` (https://nationalnanpa.com)."""
    if sizes[0] == 1 and digits[0] == "1" and len(sizes) == 4:
        sizes, separators = sizes[1:], separators[1:]
    return sizes == [3, 3, 4] and all(separator in {"-", ".", " ", ") ", ")", ")-", "/"} for separator in separators) and separators != [" ", " "]
