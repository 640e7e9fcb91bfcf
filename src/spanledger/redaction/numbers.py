"""Payment cards, US social security numbers and phone numbers, in runs of digits and separators.

Identifiers, timestamps, floats and dates are runs of digits too, and must survive. So a form that ids also have (ten bare digits) needs
words around it that say what it is; a form of its own (``+44 ...``, ``(415) 555-0132``) does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from spanledger.redaction import checks
from spanledger.redaction.text import Span, Text
from spanledger.redaction.view import LETTER, SIGN

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIGITS = re.compile("[0-9]+")
_LONGEST_CARD, _SHORTEST_CARD = 19, 12
_CARD_GROUPS = 5
_TABLE = 2 * 4
"""As many groups of four digits as two cards have."""
_CARD_GROUP = 4
"""Digits of the first group in print, whoever issued the card."""
_PHONE_GROUPS = 8
_LONGEST_PHONE, _SHORTEST_PHONE = 15, 7
_SSN_DIGITS = 9
_EXTENSION = re.compile(r" ?(?:x|ext\.?|extension|#) ?[0-9]{1,6}(?![0-9A-Za-z])")
_DATE = re.compile(
    r"(?:(?:19|20)[0-9]{2}[-/.](?:0?[1-9]|1[0-2])[-/.](?:[0-2]?[0-9]|3[01])|(?:[0-2]?[0-9]|3[01])[-/.](?:[0-2]?[0-9]|3[01])[-/.](?:19|20)?[0-9]{2})(?![0-9])"
    r"(?!\.[0-9]{2}\.[0-9]{2}(?![0-9.]))"
)
"""Not the first three pairs of ``06.12.34.56.78``, a French number."""
_ADDRESS = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9]|\.[0-9])")
_DECIMAL = re.compile(r"[0-9]{6,}\.[0-9]{1,3}(?![0-9]|\.[0-9])")
_YEARS = re.compile(r"(?:19|20)[0-9]{2} ?[-/] ?(?:19|20)[0-9]{2}(?![0-9])")
_EXTENSION_DIGITS = 4
_YEAR = 4
_MOBILE_CN = re.compile(r"1[3-9][0-9]{9}$")
_TRUNK = re.compile(r"0[1-9][0-9]{9}$")
_EPOCH = re.compile(r"1[5-9][0-9]{8}(?:[0-9]{3})?")
"""Seconds or milliseconds of the years 2017 to 2033."""


_APART = frozenset(" (/+")
"""A separator with one of these can stand between two numbers; others hold one together."""
_NO_EDGE = frozenset("$%@\\" + LETTER)
_EMPHASIS = "_*"
"""Signs of Markdown around a number, which ``_`` also joins to a name and ``*`` to a formula."""


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
    whole, dot, fraction = text.text[start:end].partition(".")
    if not dot and whole.isdigit():
        yield from _bare(text, start, end)
        return
    if whole.isdigit() and fraction.isdigit():  # a float
        return
    groups = _groups(text, start, end)
    done = 0
    for index, group in enumerate(groups):
        if group.start < done or not _begins(text, group.start, group.before):
            continue
        date = _DATE.match(text.text, group.start) if group.size <= _YEAR else None
        if date:
            done = date.end()
            continue
        span = _card(text, groups, index) or _ssn(text, groups, index) or _phone(text, groups, index)
        if span:
            done = span.end
            yield span


def _bare(text: Text, start: int, end: int) -> Iterator[Span]:
    """Digits alone, as most identifiers are: the words around must speak for anything but a card or a number with its trunk prefix."""
    if end - start > _LONGEST_CARD or not _begins(text, start, "") or not _ends_or_extends(text, end):
        return
    if _EPOCH.fullmatch(text.text, start, end) and not text.names_phone(start):  # "tool call at 1700000000"
        return
    groups = [Group(start, end, "")]
    span = _card(text, groups, 0) or _ssn(text, groups, 0)
    if span is None and (
        text.text[start] == "0" or text.speaks_of_phones() or text.char(start - 1) in "+(" + SIGN or text.char(end) == SIGN
    ):
        span = _phone(text, groups, 0)
    if span:
        yield span


def _groups(text: Text, start: int, end: int) -> list[Group]:
    groups: list[Group] = []
    last = start
    for found in _DIGITS.finditer(text.text, start, end):
        text.budget.spend()
        first, done = found.span()
        groups.append(Group(first, done, text.text[last:first]))
        last = done
    return groups


def _begins(text: Text, start: int, separator: str) -> bool:
    """Whether a number may begin here, not in the middle of ``ORD-0123``, ``x86``, ``0.123`` or ``978-3-16``."""
    if separator:
        return not _APART.isdisjoint(separator)
    if _is_joined(text.text[max(0, start - 4) : start].rstrip("_")[-1:]):
        return False
    before, earlier = text.char(start - 1), text.char(start - 2)
    if before == "#":  # "SSN #536-90-4399"
        return earlier != "&"
    return not ((before in "-." and (earlier.isalnum() or earlier == "_")) or (before in ":&" and earlier.isdigit()))


def _is_joined(sign: str) -> bool:
    """Whether digits beside this sign are part of a longer word."""
    return sign.isalnum() or sign in _NO_EDGE


def _ends(text: Text, end: int) -> bool:
    """Whether a number may end here, not inside ``123abc``, ``123_4``, ``1.5``, ``123-456`` or ``123-A``."""
    after, then = text.char(end), text.char(end + 1)
    if after == "_":  # the end of an emphasis
        after = text.text[end : end + 4].lstrip("_")[:1]
    if after.isalnum() or (after and after in "@" + LETTER):
        return False
    if after == "-" and then.isalpha():
        return text.text[end + 1 : end + 4].isalpha()
    return not (after in "-.:" and then.isdigit())


def _ends_or_extends(text: Text, end: int) -> bool:
    return _ends(text, end) or bool(_EXTENSION.match(text.lower, end))


def _digits(text: Text, groups: list[Group]) -> str:
    return "".join(text.text[group.start : group.end] for group in groups)


def _card(text: Text, groups: list[Group], first: int) -> Span | None:
    """13 to 19 digits, whole or in groups as embossed, of a known issuer and with a right check digit; card words excuse one of these."""
    if not _SHORTEST_CARD <= groups[first].size <= _LONGEST_CARD and groups[first].size != _CARD_GROUP:
        return None
    for last in range(min(len(groups), first + _CARD_GROUPS) - 1, first - 1, -1):
        some = groups[first : last + 1]
        length = sum([group.size for group in some])
        if not _SHORTEST_CARD <= length <= _LONGEST_CARD or not _embossed(some) or not _ends(text, some[-1].end):
            continue
        digits = _digits(text, some)
        is_usual = checks.is_usual_card(digits) and not _is_in_table(groups, first, last)
        if is_usual or (_is_likely_card(digits) and text.says_card(some[0].start)):
            return Span(some[0].start, some[-1].end, "CREDIT_CARD")
    return None


def _is_likely_card(digits: str) -> bool:
    return len(digits) in checks.USUAL_CARDS or checks.luhn(digits) or checks.is_issued(digits)


def _is_in_table(groups: list[Group], first: int, last: int) -> bool:
    """Whether the groups stand in a row longer than two cards: among many numbers of four digits some have a right check digit."""
    if first == last:
        return False
    separator = groups[last].before
    while first and last - first < _TABLE and groups[first].before == separator and groups[first - 1].size == _CARD_GROUP:
        first -= 1
    while (
        last + 1 < len(groups) and last - first < _TABLE and groups[last + 1].before == separator and groups[last + 1].size == _CARD_GROUP
    ):
        last += 1
    return last - first >= _TABLE


def _embossed(some: list[Group]) -> bool:
    if len(some) == 1:
        return True
    separator = some[1].before
    return (
        separator in {" ", "-", ".", "+"}
        and some[0].size == _CARD_GROUP
        and len(some) > 2
        and all(group.before == separator and 3 <= group.size <= 6 for group in some[1:-1])
        and some[-1].before == separator
    )


def _ssn(text: Text, groups: list[Group], first: int) -> Span | None:
    """``123-45-6789``; with other separators or none only where the words say so."""
    some = groups[first : first + 3]
    if [group.size for group in some] == [3, 2, 4] and some[1].before == some[2].before and some[1].before in {"-", " ", "."}:
        start, end = some[0].start, some[2].end
        parts = [text.text[group.start : group.end] for group in some]
        if _ends(text, end) and checks.is_ssn(*parts) and (some[1].before == "-" or text.says_ssn(start, end)):
            return Span(start, end, "US_SSN")
    whole = groups[first]
    if whole.size == _SSN_DIGITS and _ends(text, whole.end) and text.says_ssn(whole.start, whole.end):
        digits = text.text[whole.start : whole.end]
        if checks.is_ssn(digits[:3], digits[3:5], digits[5:]):
            return Span(whole.start, whole.end, "US_SSN")
    return None


def hidden_ssn(text: Text, start: int, end: int) -> Iterator[Span]:
    """``XXX-XX-6789``: the last four digits are what people are asked for to prove who they are."""
    if not text.char(start - 1).isalnum() and not text.char(end).isalnum():
        yield Span(start, end, "US_SSN")


def _phone(text: Text, groups: list[Group], first: int) -> Span | None:
    """The longest sequence of groups from ``first`` on that reads as one phone number."""
    start = groups[first].start
    if _ADDRESS.match(text.text, start) or _YEARS.match(text.text, start) or _DECIMAL.match(text.text, start):
        return None
    lead = _lead(text, start)
    longest = _LONGEST_PHONE + (_EXTENSION_DIGITS if "+" in lead else 0)
    for last in range(_reach(groups, first, longest), first - 1, -1):
        some = groups[first : last + 1]
        if sum([group.size for group in some]) < _SHORTEST_PHONE or not _ends_or_extends(text, some[-1].end):
            continue
        if _is_spaced(some) and _is_phone(text, some, lead):
            extension = _EXTENSION.match(text.lower, some[-1].end)
            return Span(start - len(lead), extension.end() if extension else some[-1].end, "PHONE")
    return None


def _is_spaced(some: list[Group]) -> bool:
    """Whether ``+`` stands between groups as forms write a space: ``1+415+555+0132``, ``(415)+555-0132``."""
    separators = {group.before for group in some[1:] if group.before != ")+"}
    return "+" not in "".join(separators) or (separators == {"+"} and some[0].size < _SHORTEST_PHONE)


def _reach(groups: list[Group], first: int, longest: int) -> int:
    """Index of the last group that a number of at most ``longest`` digits can include."""
    total, last = 0, first
    for last in range(first, min(len(groups), first + _PHONE_GROUPS)):
        total += groups[last].size
        if total > longest:
            return last - 1
    return last


_LEADS = ("(+", "+(", "+", "(")


def _lead(text: Text, start: int) -> str:
    """``+`` or ``(`` before the first digit, unless they belong to a formula or a call."""
    for lead in _LEADS:
        if text.text.endswith(lead, 0, start):
            outside = text.text[max(0, start - len(lead) - 3) : start - len(lead)].rstrip(_EMPHASIS)[-1:]
            return "" if outside and (outside.isalnum() or outside in ")]+-") else lead
    return ""


def _is_phone(text: Text, some: list[Group], lead: str) -> bool:
    digits = _digits(text, some)
    if "+" in lead:
        return checks.is_country_code(digits)
    if _is_formed(text, some, digits, lead):
        return not text.says_other(some[0].start) or text.says_phone(some[0].start, some[-1].end)
    return text.says_phone(some[0].start, some[-1].end)


def _is_formed(text: Text, some: list[Group], digits: str, lead: str) -> bool:
    """Whether the digits are written as only phone numbers are."""
    sizes = [group.size for group in some]
    separators = [group.before for group in some[1:]]
    if _is_north_american(sizes, separators, digits):
        return True
    if len(some) == 1:
        beside = SIGN in (text.char(some[0].start - 1), text.char(some[0].end))
        return bool(_TRUNK.match(digits)) or (beside and bool(_MOBILE_CN.match(digits)))
    if lead == "(" and separators[0].startswith(")"):
        return len(digits) >= 8 and 2 <= sizes[0] <= 5
    if digits[0] == "0":
        return _has_trunk_prefix(text, some, digits, separators)
    return sizes in ([3, 4, 4], [3, 8]) and bool(_MOBILE_CN.match(digits))


def _has_trunk_prefix(text: Text, some: list[Group], digits: str, separators: list[str]) -> bool:
    """``0044 20 7946 0958`` and ``020 7946 0958``, but not the middle of a longer number."""
    if text.char(some[0].start - 1) == " " and text.char(some[0].start - 2).isdigit():
        return False
    if digits[1] == "0":
        return digits[2] != "0" and len(digits) > 10 and checks.is_country_code(digits[2:])
    return 9 <= len(digits) <= 12 and some[0].size <= 6 and all(separator in _TRUNK_SEPARATORS for separator in separators)


_TRUNK_SEPARATORS = frozenset({" ", "-", "/", ") ", " - ", ")-", " ("})
_NANP_SEPARATORS = frozenset({"-", ".", " ", ") ", ")", ")-", "/", ")+"})


def _is_north_american(sizes: list[int], separators: list[str], digits: str) -> bool:
    """``415-555-0132``, ``(415) 555-0132``, ``1 415.555.0132`` (https://nationalnanpa.com)."""
    if sizes[0] == 1 and digits[0] == "1" and len(sizes) == 4:
        sizes, separators = sizes[1:], separators[1:]
    if sizes != [3, 3, 4] or separators == [" ", " "]:  # "100 200 3000" is a row of a table
        return False
    return all(separator in _NANP_SEPARATORS for separator in separators)
