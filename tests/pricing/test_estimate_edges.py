"""Estimates at their edges: where a fraction of a token is rounded, and pictures that are looked at coarsely."""

from __future__ import annotations

import base64
import struct

import pytest

from spanledger.pricing import tokens
from spanledger.pricing.estimate import estimate_input, estimate_text

AROUND = 1_500
"""Thousandths of a token that an answer of OpenAI's has around its text."""


def test_an_answer_is_rounded_to_the_nearest_token():
    sizes = range(1, 200)
    milli = [tokens.count("a" * size, "openai") + AROUND for size in sizes]
    found = [estimate_text(["a" * size], "openai", "gpt-4o") for size in sizes]
    assert all(abs(1000 * one - exact) <= 500 for one, exact in zip(found, milli, strict=True))


def picture(width: int, height: int, detail: str) -> list[dict[str, object]]:
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0) + b"\0" * 100
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url, "detail": detail}}]}]


@pytest.mark.parametrize(("detail", "size", "patches"), [("high", 1024, 1024), ("low", 1024, 256), ("low", 32, 1), ("auto", 1024, 1024)])
def test_a_picture_looked_at_coarsely_costs_no_more_than_256_patches(detail, size, patches):
    nothing = estimate_input([{"role": "user", "content": ""}], "openai", "gpt-5.4")
    assert estimate_input(picture(size, size, detail), "openai", "gpt-5.4") - nothing == -(-patches * 12 // 10)
