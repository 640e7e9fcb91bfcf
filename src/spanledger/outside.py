"""Names and texts from outside, made harmless for what keeps and shows them: a ledger, an exporter, a terminal, a spreadsheet."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069]")
"""What moves the cursor, commands the terminal, turns the direction of writing, or is no character."""

_FORMULA = re.compile(r"(?:^|(?<=[;\t]))(?=\s*[=+\-@])")
"""Where a cell begins that has a formula."""


def sound(text: object) -> str:
    """Text that can be stored and sent. JSON, the environment and names of files may bring in lone surrogates, which have no UTF-8; an
    exporter gives up all spans of a batch for one such name."""
    whole = text if isinstance(text, str) else str(text)
    return whole.encode("utf-8", "replace").decode()


def plain(text: str) -> str:
    """Text as the terminal may have it: control characters are shown, not obeyed."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def plain_json(text: str) -> str:
    """JSON as the terminal may have it, saying the same. Its encoder has escaped what is below a space; its line breaks stay."""
    return _CONTROL.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def no_formula(name: str | None) -> str | None:
    """A name that no spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection).

    Nor what follows a semicolon or a tab in it, which separate cells for a spreadsheet of a country with decimal commas.
    """
    return _FORMULA.sub("'", name) if name else name
