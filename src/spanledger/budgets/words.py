"""The words of a setting, read from left to right, and the one form of complaint about them."""

from __future__ import annotations

import re
from typing import NoReturn

from spanledger.errors import ConfigurationError

# Compiled by their first use: a program without budgets need not wait for them.
_WORD = r"""(?:'[^']*'|"[^"]*"|[^\s,'"])+|['"]"""
_QUOTED = r"""'([^']*)'|"([^"]*)\""""
_PLAIN = r"""[^\s,'"]+"""


class Words:
    """Words are separated by spaces and commas; a part in quotes may contain both.

    Args:
        where: the variable the text comes from.
        text: what it says.
    """

    def __init__(self, where: str, text: str) -> None:
        self._where, self._text = where, text
        self._words: list[str] = re.findall(_WORD, text)
        self.at = 0
        """Index of the next word."""

    def peek(self) -> str | None:
        """The next word in lower case; None at the end."""
        return self._words[self.at].lower() if self.at < len(self._words) else None

    def take(self, expected: str) -> str:
        """The next word as written. Raises ConfigurationError at the end."""
        if self.at >= len(self._words):
            self.fail(expected)
        self.at += 1
        return self._words[self.at - 1]

    def take_if(self, word: str) -> bool:
        """Takes the next word if it is this one."""
        found = self.peek() == word
        self.at += found
        return found

    def fail(self, expected: str, at: int | None = None) -> NoReturn:
        """Raises ConfigurationError: the word at this index (default: the next), or the end, is not what was expected."""
        at = self.at if at is None else at
        problem = f"cannot read '{self._words[at]}' (word {at + 1}) in" if at < len(self._words) else "something is missing at the end of"
        raise ConfigurationError(self._where, f"{problem} '{self._text}'", expected)

    def fail_taken(self, expected: str) -> NoReturn:
        """The same about the word just taken."""
        self.fail(expected, self.at - 1)


def quote(text: str) -> str:
    """The text as one word or part of one."""
    return text if re.fullmatch(_PLAIN, text) else "'" + text.replace("'", "'\"'\"'") + "'"


def unquote(word: str) -> str:
    """What a word says without its quotes."""
    return re.sub(_QUOTED, lambda quoted: quoted.group(1) or quoted.group(2) or "", word)
