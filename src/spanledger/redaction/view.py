"""An ASCII view of a text in which disguised characters are what they stand for, and the way back to the text's own offsets.

Full-width letters, digits of other scripts, odd spaces and dashes, zero-width characters, ``%40``, ``&#64;`` and ``\\u0040`` all hide an
address from a pattern but not from a reader. Detectors therefore look at the view. A plain ASCII text without escapes is its own view.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from typing import NamedTuple

LETTER = "\x7f"
"""Stands for a letter of an alphabet that separates words: part of the word it stands in."""
SIGN = "\x1a"
"""Stands for anything else outside ASCII (ideographs, emoji): an edge of the words beside it."""
OPAQUE = "\x19"
"""Stands for each sign of a label that redaction wrote: holds nothing and names nothing."""
_GONE = "\x00"
_COLOUR = "\x1b["
"""Begins what colours a terminal (https://www.ecma-international.org/publications-and-standards/standards/ecma-48/)."""
_IDEOGRAPHS = 0x2E80
"""First code point of the blocks of scripts written without spaces between words."""
_UNSPACED = (range(0x0E00, 0x0F00), range(0x1000, 0x10A0), range(0x1780, 0x1800))
"""Thai, Lao, Burmese and Khmer are written without spaces too."""
_ACCENTS = range(0x0300, 0x0370)
"""Marks that follow their letter in decomposed texts (NFD)."""
_ZEROS = (
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0E50, 0x0ED0, 0x0F20, 0x1040,
    0x17E0, 0x1810, 0xFF10, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6,
)  # fmt: skip
"""The digit zero of each script (Unicode general category Nd); nine follow it in order."""
_SAME = {
    " ": "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63",
    "'": "\u2018\u2019\u201a\u201b",
    '"': "\u201c\u201d\u201e\u201f\u00ab\u00bb",
    ".": "\u2024\u3002\uff61",
    _GONE: "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\u3164\ufe0e\ufe0f\ufeff"
    + "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x2070), *range(0xE0000, 0xE0080)))),  # directions and tags
}


class _Fold(dict[int, str]):
    """What each character outside ASCII stands for; looked up once per character, then remembered."""

    def __missing__(self, code: int) -> str:
        plain = unicodedata.normalize("NFKC", chr(code))  # bold, circled, small ...
        if plain.isascii() and plain.isprintable() and len(plain) == 1 and not plain.isdigit():
            self[code] = plain
            return plain
        letter = code in _ACCENTS or (code < _IDEOGRAPHS and chr(code).isalpha() and not any(code in script for script in _UNSPACED))
        self[code] = LETTER if letter else SIGN
        return self[code]


_FOLD = _Fold({ord(sign): plain for plain, signs in _SAME.items() for sign in signs})
_FOLD.update({zero + n: str(n) for zero in _ZEROS for n in range(10)})
_FOLD.update({code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)})  # https://www.unicode.org/charts/PDF/UFF00.pdf

_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_ESCAPE = re.compile(
    r"\x1b\[[0-9;]{0,16}m()|\\(?:x1b|u001b|033|e)\[[0-9;]{0,16}m()|\x00()|:(//[^\s/?#@:\"'<>\[]*:[^\s/?\"'<>\\]*@)"
    r"|\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})|\\(?:\\{1,14}(?=[\"']))?([nrtbf\"'/\\])|%(?:25)*([0-9A-Fa-f]{2})"
    r"|&#([0-9]{1,6});|&#[xX]([0-9A-Fa-f]{1,5});|&(amp|quot|apos|lt|gt|commat|period|nbsp);"
)
# Alternatives that begin with a plain sign each are tried only where one of these signs is. A run of backslashes before a quote is of JSON
# in JSON in JSON, whose names and values are to be seen, too.
_BACKSLASH = {"n": "\n", "r": "\r", "t": "\t", "b": " ", "f": " "}
_ENTITY = {"amp": "&", "quot": '"', "apos": "'", "lt": "<", "gt": ">", "commat": "@", "period": ".", "nbsp": " "}
_BASES = (0, 0, 0, 0, 16, 16, 0, 16, 10, 16)
"""Number base of each group of ``_ESCAPE`` that holds a code point."""
_LAST_GONE_GROUP, _USER_GROUP, _BACKSLASH_GROUP, _PERCENT_GROUP, _ENTITY_GROUP = 3, 4, 7, 8, 11


class View(NamedTuple):
    """``text`` is ASCII; ``starts[k]`` is where its k-th piece begins and ``origins[k]`` where that piece begins in the source."""

    text: str
    starts: list[int] | None = None
    origins: list[int] | None = None

    def origin(self, index: int) -> int:
        """Offset in the source of offset ``index`` of the view."""
        if self.starts is None or self.origins is None:
            return index
        piece = bisect_right(self.starts, index) - 1
        return self.origins[piece] + index - self.starts[piece]


def view(source: str) -> View:
    """The view of ``source``. Linear in its length."""
    text = source if source.isascii() else _FOREIGN.sub(_fold, source)
    if "\\" in text or "%" in text or "&" in text or _GONE in text or _COLOUR in text:
        return _decoded(text)
    return View(text)


def _fold(found: re.Match[str]) -> str:
    return found[0].translate(_FOLD)


def _decoded(text: str) -> View:
    pieces: list[str] = []
    starts, origins = [0], [0]
    done = length = 0
    for found in _ESCAPE.finditer(text):
        begin, end = found.span()
        meant = _meaning(found)
        pieces += (text[done:begin], meant)
        length += begin - done
        if meant:
            starts.append(length)
            origins.append(begin)
        length += len(meant)
        starts.append(length)
        origins.append(end)
        done = end
    if not pieces:
        return View(text)
    pieces.append(text[done:])
    return View("".join(pieces), starts, origins)


def _meaning(found: re.Match[str]) -> str:
    group = found.lastindex or 0
    if group <= _LAST_GONE_GROUP:
        return ""
    return (
        found[0] if group == _USER_GROUP else _decoded_sign(found, group)
    )  # what is escaped in a password ("p%40ss%2Fw") is no sign of its URL


def _decoded_sign(found: re.Match[str], group: int) -> str:
    if group == _BACKSLASH_GROUP:
        return _BACKSLASH.get(found[group], found[group])
    if group == _ENTITY_GROUP:
        return _ENTITY[found[group]]
    code = int(found[group], _BASES[group - 1])
    if group == _PERCENT_GROUP and (not 0x20 <= code < 0x80 or chr(code).isalnum()):  # what nobody needs to escape is no escape: "50%415"
        return found[0]
    if code < 0x80:  # ASCII
        return chr(code)
    return _FOLD[code]
