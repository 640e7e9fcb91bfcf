"""The ASCII view, and the way back from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.redaction.view import LETTER, SIGN, view

CASES = [
    ("plain text", "plain text"),
    ("caf\u00e9 \u4e2d\u6587", f"caf{LETTER} {SIGN}{SIGN}"),
    ("\uff14\uff11\uff15\uff20\uff0e", "415@."),
    ("\u0661\u06f2\u0969", "123"),
    ("a\u00a0b\u2013c \u201cd\u201d \u2019", 'a b-c "d" \''),
    ("a\u200bb\u00adc\ufeff", "abc"),
    (r"a\u0040b\n\"c\" \\ \x40", 'a@b\n"c" \\ @'),
    (r"{\\\"a\\\": \\'b\\' \\c", "{\"a\": 'b' \\c"),
    ("a%40b%20c%2Bd", "a@b c+d"),
    ("50%415 100%beta %C3%A9", "50%415 100%beta %C3%A9"),
    ("a&#64;b&#x40;c&commat;d&amp;e &unknown;", "a@b@c@d&e &unknown;"),
    ("&#9999999; &#999999; \\ud83d\\ude00", "&#9999999; " + SIGN + " " + SIGN * 2),
]


@pytest.mark.parametrize(("source", "seen"), CASES)
def test_what_is_seen(source: str, seen: str) -> None:
    assert view(source).text == seen


@pytest.mark.parametrize(
    "source",
    [
        "mail jane%40example.com!",
        r"mail jane\u0040example.com!",
        "mail jane&#64;example.com!",
        "mail ja\u200bne@exam\u00adple.com!",
        "mail jane@example.com!",
    ],
)
def test_offsets_lead_back(source: str) -> None:
    seen = view(source)
    start = seen.text.index("jane@")
    end = start + len("jane@example.com")
    assert source[seen.origin(start) : seen.origin(end)] == source[5:-1]


PIECES = st.sampled_from([*"ab@%&\\;u0", "%40", "&#64;", "\\u0040", "\\n", "\u200b", "\u00e9", "\uff11", "\x00", "\U0001f600"])


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_a_view_is_ascii_and_its_offsets_rise(source: str) -> None:
    seen = view(source)
    origins = [seen.origin(index) for index in range(len(seen.text) + 1)]
    assert seen.text.isascii()
    assert origins == sorted(origins)
    assert all(0 <= origin <= len(source) for origin in origins)
    assert source.isascii() is False or set("\\%&\x00") & set(source) or seen.text == source
