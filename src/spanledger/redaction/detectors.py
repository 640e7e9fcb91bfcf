"""All detectors over one text: which kinds of places the engine sees, who reads each, and one list of spans without overlaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spanledger.redaction import named, network, numbers, vendors
from spanledger.redaction.engine import PLACES, Engine, Kind
from spanledger.redaction.text import Budget, Span, Text
from spanledger.redaction.view import view

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
}
"""Readers of one place at a time."""
_ALL: dict[int, Callable[[Text, Iterable[tuple[int, int]]], Iterator[Span]]] = {
    Kind.LONG_WORD: vendors.long_words,
    Kind.KEYWORD: named.values,
    Kind.PEM: vendors.pem,
    Kind.CRYPT: vendors.password_hashes,
}
"""Readers that remember how far they got."""
NUMERIC = frozenset({Kind.NUMBER, Kind.DOTTED, Kind.COLONS, Kind.DASHED, Kind.IBAN})
"""Kinds that identifiers, versions and times could be taken for."""


def find(engine: Engine, source: str, budget: Budget, *, identifier: bool = False) -> list[Span]:
    """Private values in ``source``, in order and apart from each other. ``identifier``: digits are an id, not a number of a person."""
    seen = view(source)
    kinds = engine.present(seen.text)
    if not kinds:
        return []
    text = Text(seen.text, source, budget)
    spans: list[Span] = []
    for kind in sorted(kinds):
        if identifier and kind in NUMERIC:
            continue
        places = _counted(engine.find(kind, text.lower if PLACES[kind].lower else text.text), budget)
        spans.extend(_read(kind, text, places))
    if not spans:
        return spans
    return [Span(seen.origin(span.start), seen.origin(span.end), span.label) for span in _apart(spans)]


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
