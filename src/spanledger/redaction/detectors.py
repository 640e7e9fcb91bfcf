"""All detectors over one text: which kinds of places the engine sees, who reads each, and one list of spans without overlaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spanledger.redaction import checks, named, network, numbers, vendors
from spanledger.redaction.engine import PLACES, Engine, Kind
from spanledger.redaction.labels import MASK
from spanledger.redaction.text import Budget, Digits, Span, Text
from spanledger.redaction.view import OPAQUE, view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_ONE: dict[int, Callable[[Text, int, int], Iterator[Span]]] = {
    Kind.AT: network.email,
    Kind.NUMBER: numbers.find,
    Kind.DOTTED: network.ipv4,
    Kind.COLONS: network.colons,
    Kind.DASHED: network.dashes,
    Kind.IBAN: network.iban,
    Kind.URL: network.url,
    Kind.SPELLED: network.spelled_email,
    Kind.HIDDEN_SSN: numbers.hidden_ssn,
}
"""Readers of one place at a time."""
_ALL: dict[int, Callable[[Text, Iterable[tuple[int, int]]], Iterator[Span]]] = {
    Kind.LONG_WORD: vendors.long_words,
    Kind.KEYWORD: named.values,
    Kind.PEM: vendors.pem,
    Kind.CRYPT: vendors.password_hashes,
}
"""Readers that remember how far they got."""
NUMERIC = frozenset({Kind.NUMBER, Kind.DOTTED, Kind.COLONS, Kind.DASHED, Kind.IBAN, Kind.HIDDEN_SSN})
"""Kinds that identifiers, versions and times could be taken for."""


_SURE = frozenset({Kind.NUMBER, Kind.IBAN})
"""Those of them that have a form or a checksum which identifiers lack."""


def find(engine: Engine, source: str, budget: Budget, digits: Digits = Digits.ANY) -> list[Span]:
    """Private values in ``source``, in order and apart from each other."""
    if "[" in source:
        source = MASK.sub(lambda mask: OPAQUE * len(mask[0]), source)
    found = _once(engine, source, budget, digits)
    more = found
    while any(_touches(source, span) for span in more):  # "jane@example.com536-90-4399": what is gone is an edge of what is left
        source = _without(source, more)
        more = _once(engine, source, budget, digits)
        found = _apart(found + more)
    return found


_JOINS = frozenset("+(-._:&@")
"""Signs that can make one number or address of what stands on their two sides."""
_EMPHASIS = frozenset("_*")
"""Signs that end a number only beside an edge."""


def _touches(source: str, span: Span) -> bool:
    before, after = source[max(0, span.start - 2) : span.start], source[span.end : span.end + 2]
    if after[:1].isalnum() or before[-1:].isalnum() or after[:1] in _EMPHASIS or before[-1:] in _EMPHASIS:
        return True
    return (after[:1] in _JOINS and after[1:].isdigit()) or (before[-1:] in _JOINS and before[0].isdigit())


def _without(source: str, spans: list[Span]) -> str:
    pieces: list[str] = []
    done = 0
    for span in spans:
        pieces += (source[done : span.start], OPAQUE * (span.end - span.start))
        done = span.end
    pieces.append(source[done:])
    return "".join(pieces)


def _once(engine: Engine, source: str, budget: Budget, digits: Digits) -> list[Span]:
    seen = view(source)
    kinds = engine.present(seen.text)
    if not kinds:
        return []
    text = Text(seen.text, source, budget, seen.origin)
    spans: list[Span] = []
    for kind in sorted(kinds):
        numeric = digits and kind in NUMERIC
        if numeric and (digits is Digits.NONE or kind not in _SURE):
            continue
        places = _counted(engine.find(kind, text.lower if PLACES[kind].lower else text.text), budget)
        found = _read(kind, text, places)
        spans.extend(span for span in found if not numeric or _is_sure(text, span))
    if not spans:
        return spans
    return [Span(seen.origin(span.start), seen.origin(span.end), span.label) for span in _apart(spans)]


def _is_sure(text: Text, span: Span) -> bool:
    """Whether a number has what identifiers lack: a country code after a plus, the dashes of an SSN, the checksum of a card or an IBAN."""
    shown = text.text[span.start : span.end]
    if span.label == "CREDIT_CARD":
        return checks.is_usual_card("".join(sign for sign in shown if sign.isdigit()))
    return span.label == "IBAN" or (span.label == "PHONE" and "+" in shown[:2]) or (span.label == "US_SSN" and "-" in shown)


def _read(kind: int, text: Text, places: Iterable[tuple[int, int]]) -> Iterator[Span]:
    if kind in _ALL:
        yield from _ALL[kind](text, places)
        return
    reader = _ONE[kind]
    for start, end in places:
        yield from reader(text, start, end)


def _counted(places: Iterable[tuple[int, int]], budget: Budget) -> Iterator[tuple[int, int]]:
    for place in places:
        budget.spend()
        yield place


def _apart(spans: list[Span]) -> list[Span]:
    """Overlapping spans become one, under the label of the longest; what reads as an address after ``user:password@`` is a host."""
    spans.sort()
    apart: list[Span] = []
    longest = 0
    for span in spans:
        size = span.end - span.start
        if not apart or span.start >= apart[-1].end:
            apart.append(span)
            longest = size
        elif not (span.label == "EMAIL" and apart[-1].label == "URL_CREDS"):
            last = apart[-1]
            apart[-1] = Span(last.start, max(last.end, span.end), span.label if size > longest else last.label)
            longest = max(longest, size)
    return apart
