"""How a name gets its value: ``name=value``, ``"name": "value"``, ``name: str = "value"``, ``<name>value</name>``, blocks of YAML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from spanledger.redaction.text import Text

_NAME = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-."
_LONGEST_NAME = 64
_LONGEST_READ = 512
_ASSIGNED = re.compile(
    r"""([0-9A-Za-z_.\-]{0,48}(?:[ ](?:[kK]ey|KEY|[tT]oken|TOKEN|[sS]ecret|SECRET|[pP]assword|id)\b)?)   # the rest of the name
        [\"'`\])}]{0,3}                                                                     # what closes it
        (?:(?:\[[0-9]{0,6}\]                                                                # what is declared: char name[32]
             |[?!]?[ ]?:[ ]?[&*]?(?:'static[ ])?[A-Za-z_][\w.]{0,40}                         # name: &'static str
              (?:[\[<][\w., |]{0,40}[\]>])?\??(?:[ ]\|[ ][\w.]{1,20}){0,3}                  # Optional[str], str | None
             |[ ]\*?string)                                                                 # name string
           (?=[ ]?:?=[ ]?[fbru]?[\"'`]))?
        (\*{0,2}[ \t]{0,24}(?:=>|->|:{1,3}=|[=!]==?|=|:\*{0,2}|,|(?:\?\?|\|\|)=?(?=[ ]?[\"'`])|\||\ is\b:?)[ \t]{0,24}  # what assigns,
          |\r?\n[ \t]{1,64}[\"'`]?value[\"'`]?[ ]?:[ ]?                                           # - name: ... of Kubernetes
          |[ \t\n]{1,4})?                                                                   # also in columns
        (?:(?:\{[ \t\n]{1,8})?[\"'`]{0,3}(?:value|default)[\"'`]{0,1}[ ]?[=:][ ]?)?          # <add key="..." value="...">, HCL
        (?:[fbru]?([\"'`])(?!\3)([^\n]{1,512})|([^\s\"'`,;<>()\[\]{}]{1,512}))              # a quoted or a bare value
    """,
    re.VERBOSE,
)
_ELEMENT = re.compile(r"([0-9A-Za-z_.\-]{0,48})(?:\s[^<>]{0,256})?>\s{0,64}([^<>]{1,8192})</")
_OPENED = re.compile(r"<(?:[A-Za-z_][\w.-]{0,31}:)?$", re.ASCII)
_FARTHEST_OPENED = 34
"""``<wsse:Password Type="...">...</wsse:Password>``"""
_BLOCK = re.compile(
    r"([0-9A-Za-z_.\-]{0,48})[\"']?:[ ]{1,4}[|>][0-9+\-]{0,2}[ ]{0,8}\r?\n([ \t]{1,64})"
    r"([^\s][^\r\n]{0,511}(?:(?:\r?\n){1,3}\2[^\r\n]{1,512}){0,63})"
)
"""``password: |-`` and the lines below it (https://yaml.org/spec/1.2.2/#81-block-scalar-styles)."""
_REST = re.compile(r"[^\s\"'`,;<>()\[\]{}]*")
_QUOTED_REST = re.compile(r"[^\"'`\n]*")
"""What of a value longer than ``_ASSIGNED`` reads at first is left."""
_QUOTE = re.compile("[\"'`]")
_CLOSED_BEFORE = re.compile(r"[\"'`]| ?[,+)\]};.&|]{1,3}(?:\s|$)")
"""What follows a quote that ends a text instead of beginning a value: ``"password: " + x + "..."``."""
_NEXT_PARAMETER = re.compile(r"&[\w.%\[\]-]{1,64}=")


class Assigned(NamedTuple):
    """``name sign value``, and the offsets of the value and of the name's end."""

    name: str
    sign: str
    value: str
    first: int
    last: int
    quoted: bool
    name_end: int


def assignment(text: Text, start: int, end: int) -> Assigned | None:
    """What the name around ``[start, end)`` is given, if anything."""
    left = text.text[max(0, start - _LONGEST_NAME) : start]
    begin = start - len(left) + len(left.rstrip(_NAME))
    if _OPENED.search(text.text[max(0, begin - _FARTHEST_OPENED) : begin]) and (element := _ELEMENT.match(text.text, end)):
        first, value = element.start(2), element[2].rstrip()
        name = text.text[begin : element.end(1)]
        return Assigned(name, ">", value, first, first + len(value), quoted=True, name_end=element.end(1))
    if (block := _BLOCK.match(text.text, end)) and _is_deeper(text, begin, block[2]):
        return Assigned(text.text[begin : block.end(1)], ":", block[3], *block.span(3), quoted=True, name_end=block.end(1))
    found = _ASSIGNED.match(text.text, end)
    return _read(text, begin, found) if found else None


def _is_deeper(text: Text, begin: int, indent: str) -> bool:
    """Whether a line indented so belongs to the name at ``begin``."""
    line = text.text.rfind("\n", max(0, begin - _LONGEST_NAME), begin) + 1
    return begin - line < len(indent)


def _read(text: Text, begin: int, found: re.Match[str]) -> Assigned:
    quoted = found[3] is not None
    first, last = found.span(4 if quoted else 5)
    if quoted:
        last = _quoted_end(text, first, last)
    else:
        value = text.text[first:last] if found[2] else ""  # "password+1" assigns nothing
        if text.char(begin - 1) in "?&" or (begin == 0 and _NEXT_PARAMETER.search(value)):  # the query of a URL, a form
            value = value.split("&", 1)[0]
        last = first + len(value.rstrip(".:\\|"))
    name = text.text[begin : found.end(1)].rstrip(".-")
    return Assigned(name, (found[2] or "").strip(" \t\n"), text.text[first:last], first, last, quoted, found.end(1))


def _quoted_end(text: Text, first: int, limit: int) -> int:
    """The next quote like the one before ``first`` and escaped as that is, or any quote if there is none."""
    if _CLOSED_BEFORE.match(text.text, first):
        return first
    quote, escapes = text.char(first - 1), text.escapes(first - 1)
    end = text.text.find(quote, first, limit)
    while end >= 0 and text.escapes(end) > escapes:
        text.budget.spend()
        end = text.text.find(quote, end + 1, limit)
    other = _QUOTE.search(text.text, first, limit) if end < 0 else None
    return end if end >= 0 else other.start() if other else limit


def value_end(text: Text, it: Assigned) -> int:
    """Where the value ends, of which an assignment holds no more than its beginning."""
    if len(it.value) < _LONGEST_READ or it.sign == ">":
        return it.last
    rest = (_QUOTED_REST if it.quoted else _REST).match(text.text, it.last)
    return rest.end() if rest else it.last
