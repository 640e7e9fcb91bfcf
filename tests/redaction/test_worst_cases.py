"""Half a megabyte made to be hard, with something private at its end: done in time linear in it, and nothing leaks.

Nothing is timed here: with quadratic work anywhere, one of these would take longer than all tests together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spanledger.redaction.redactor import Redactor

if TYPE_CHECKING:
    from spanledger.redaction.engine import Engine

MAIL = "jane.roe" + "@" + "example.com"
UNITS = [
    "a", "1", " ", "@", "a@", "a.", "a@b.", "a@a.a.", "1.1.1.1 ", f"{MAIL} ", "1 ", "(1", "12-", "+1", ":", "a:", "ab:", "-aa", "::1 ", "(", "[", "{", '"',
    "-----BEGIN PRIVATE KEY-----", "password=", "password: x ", "token ", "key", '"key":"', "authorization: ", "authorization:", "authorization=a.", "bearer-", "https://hooks.slack.com/services/", "cookie: a=", "$2b$aaaaaaaaaaaaaaaaaaaaa", "password='", "cookie=a;", "bearer ", "basic ", " -u ", "=",
    "eyJ", "eyJhbGciOiJIUzI1.", "sk-", "a_", "_", "xoxb-", "://", "://a:b", "$1$", "%40", "\\u0040", "\\", "&#64;", "\u00e9", "a\u200b", "\u4e2d", "\uff11",
    "DE89 ", "AA00AAAA", " dot ", " at a dot ", "[EMAIL]", '{"a":', "phone 555 ", "card 4111 ", "0123456789abcdef", "\n",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_half_a_megabyte(engine: Engine, unit: str) -> None:
    text = unit * (500_000 // len(unit)) + f" and {MAIL}"
    assert MAIL not in Redactor(engine=engine).text(text)


def test_a_megabyte_of_prose_is_read_to_its_end(engine: Engine) -> None:
    prose = "The quick brown fox jumps over the lazy dog, and explains how systems are built. " * 12_500
    assert Redactor(engine=engine).text(f"{prose}{MAIL}") == f"{prose}[EMAIL]"
