"""Half a megabyte made to be hard, with something private at its end: done in time linear in it, and nothing leaks.

Nothing is timed here: with quadratic work anywhere, one of these would take longer than all tests together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spanledger.redaction import detectors, vendors
from spanledger.redaction.redactor import Redactor
from spanledger.redaction.text import Budget, Text

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from spanledger.redaction.engine import Engine

MAIL = "jane.roe" + "@" + "example.com"
UNITS = [
    "a", "1", " ", "@", "a@", "a.", "a@b.", "a@a.a.", "1.1.1.1 ", f"{MAIL} ", "1 ", "(1", "12-", "+1", ":", "a:", "ab:", "-aa", "::1 ", "(", "[", "{", '"',
    "-----BEGIN PRIVATE KEY-----", "password=", "password: x ", "token ", "key", '"key":"', "authorization: ", "authorization:", "authorization=a.", "bearer-", "https://hooks.slack.com/services/", "cookie: a=", "$2b$aaaaaaaaaaaaaaaaaaaaa", "password='", "cookie=a;", "bearer ", "basic ", " -u ", "=",
    "eyJ", "eyJhbGciOiJIUzI1.", "sk-", "a_", "_", "xoxb-", "://", "://a:b", "$1$", "%40", "\\u0040", "\\", "&#64;", "\u00e9", "a\u200b", "\u4e2d", "\uff11",
    "-----BEGIN PRIVATE KEY----------END ", "-----BEGIN PRIVATE KEY-----!", ".aaaaaaaaaaaaaaaaaaaaaab", "://a:b/", "://a:b?@", "ab12cd34 ", "_", "1+",
    "SECRET-", "KEY-aaaaaaaaaaaaaaaaaaaaaaaa-", "SECRET-aaaaaaaaaaaaaaaaaaaaaaa1", "x_pat=", "A", "A1", "Uid=a;pwd=b;", "user=a;", "live_", "~aaaaaaaaaaaaaaaaaaaaaa|",
    "aaaaaaaaaaaaaaaaaaaa1.", "a.aaaaaaaaaaaaaaaaaaaaa",
    'password="\\"', "password='\\\\\\'\"", "password: a<a | ", "token[",
    "LS0tLS1CRUdJTiaaaaaaaa/", "eyJaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaa/", "DE89 ", "AA00AAAA", " dot ", " at a dot ", "[EMAIL]", '{"a":', "phone 555 ", "card 4111 ", "0123456789abcdef", "\n",
    "    - name: DB_PASSWORD\n", "password: |\n ", "password: |\n  a\n", "  password: |\n", "\\\\\\'", "input_value='", "a\ninput_value=", "\n", "'loc': ('pin'), 'input': 'b' ",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_half_a_megabyte(engine: Engine, unit: str) -> None:
    text = unit * (500_000 // len(unit)) + f" and {MAIL}"
    assert MAIL not in Redactor(engine=engine).text(text)


class Seen:
    """In the place of a pattern: counts the characters between where it begins and where it ends to look."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.characters = 0

    def finditer(self, text: str, start: int, end: int) -> Iterator[re.Match[str]]:
        self.characters += end - start
        return self.pattern.finditer(text, start, end)

    def match(self, text: str, start: int) -> re.Match[str] | None:
        found = self.pattern.match(text, start)
        self.characters += found.end() - start if found else 0
        return found


class Searched(str):
    """A text that counts the characters passed by ``find``."""

    __slots__ = ("characters",)

    def find(self, *arguments: Any) -> int:
        found = super().find(*arguments)
        self.characters += (len(self) if found < 0 else found) - arguments[1]
        return found


@pytest.mark.parametrize(
    "unit", ["-----BEGIN PRIVATE KEY----------END ", "-----BEGIN PRIVATE KEY-----!", "-----BEGIN PRIVATE KEY-----\nMII\n"]
)
def test_private_keys_are_looked_at_once(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = Seen(vendors._BODY)
    monkeypatch.setattr(vendors, "_BODY", body)
    text = Text(unit * 1000 + "-----END ", "", Budget(0))
    text.text = Searched(text.text)
    text.text.characters = 0
    places = [(start, start + 11) for start in range(0, len(unit) * 1000, len(unit))]
    assert list(vendors.pem(text, places))
    assert text.text.characters + body.characters <= 4 * len(text.text)


def test_dotted_words_are_looked_at_in_their_neighbourhood(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Seen(vendors._DOTTED_KEYS)
    monkeypatch.setattr(vendors, "_DOTTED_KEYS", keys)
    text = ".aaaaaaaaaaaaaaaaaaaaaab" * 1000
    assert detectors.find(engine, text, Budget(10_000)) == []
    assert keys.characters <= 10 * len(text)


def test_dotted_words_cost_what_reading_around_them_does(engine: Engine) -> None:
    text = "aaaaaaaaaaaaaaaaaaaa|" * 1000
    budget = Budget(10_000)
    assert detectors.find(engine, text, budget) == []
    assert budget.left < 10_000 - 3 * 1000


def test_a_megabyte_of_prose_is_read_to_its_end(engine: Engine) -> None:
    prose = "The quick brown fox jumps over the lazy dog, and explains how systems are built. " * 12_500
    assert Redactor(engine=engine).text(f"{prose}{MAIL}") == f"{prose}[EMAIL]"
