"""Text without UTF-8 (a file's name in another encoding, half a surrogate pair in JSON): for one such name an exporter gives up its batch."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import openai
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

import spanledger

ODD = os.fsdecode(b"M\xfcnchen.pdf")
NAMES = ("workflow", "execution", "step", "key", "model", "plugin")


@pytest.mark.parametrize("where", NAMES)
def test_an_odd_name_is_sent_with_a_question_mark(make_house: Any, where: str) -> None:
    house = make_house()
    names = dict.fromkeys(NAMES, "plain") | {where: ODD}
    client = openai.OpenAI(api_key="test", base_url="http://127.0.0.1:9/v1", max_retries=0)
    step = spanledger.step(names["step"])
    failing = contextlib.suppress(UnicodeEncodeError, openai.APIConnectionError)
    with spanledger.workflow(names["workflow"], names["execution"], customer=names["key"]), step, failing:
        spanledger.plugin(names["plugin"], price="1 USD")(dict)()
        client.chat.completions.create(model=names["model"], messages=[])
    spans = house.spans
    assert len(encode_spans(spans).resource_spans[0].scope_spans[0].spans) == 4
    texts = [text for span in spans for text in (span.name, *span.attributes.values()) if isinstance(text, str)]
    assert any("M?nchen.pdf" in text for text in texts)
    assert "".join(texts).encode()
