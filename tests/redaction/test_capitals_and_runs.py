"""Secrets whose names run together or shout, user names beside passwords, and what looks a little like either and stays."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger.redaction import detectors, keys
from spanledger.redaction.redactor import Redactor
from spanledger.redaction.text import Budget

if TYPE_CHECKING:
    from spanledger.redaction.engine import Engine

HEX = "4f9d0c1b7e6a2538" * 2
RUN = "qwertzuiopasdfghjklyxcvbnm"
FOUND = [
    ("vendorKEY-{}", HEX, "API_KEY"),
    ("vendor-KEY-{} x", HEX + "-" + HEX, "API_KEY"),
    ("signupPRIVATE.{}", HEX, "API_KEY"),
    ("vendorSECRETkey-{}", HEX, "API_KEY"),
    ("cloudPRIVATEkey: {}", HEX, "PRIVATE_KEY"),
    ("vendor accessKEy {}", HEX, "API_KEY"),
    ("vendor SECRET {}", "9081726354" * 3, "SECRET"),
    ("vendor PRIVATE_KEY {}", RUN, "PRIVATE_KEY"),
    ("vendor_token={}", RUN, "API_KEY"),
    ("vendor_samplekey = {}", HEX, "API_KEY"),
    ("vendor_token = {}", "z9y8x7w6v5u", "API_KEY"),
    ("document_intelligence_key = {}", HEX, "API_KEY"),
    ("session_key = {}", HEX, "API_KEY"),
    ("event_signature = {}", HEX, "API_KEY"),
    ("file_access_key: {}", HEX, "API_KEY"),
    ("VENDOR_PAT = {}", HEX, "API_KEY"),
    ("cache: {}", "AKCp" + "aB3dE5gH7jK9mN1pQ2sT4vW6yZ8xC0bF" * 2, "API_KEY"),
    ("GET https://x.com/a?b=c&token={} HTTP/1.1", "hunter2zz99aa", "API_KEY"),
    ("POST {}", "http://thingsboard.cloud/api/v1/354u1g321kcqc1oad3w7/telemetry", "URL_CREDS"),
    ("POST {}", "https://acme.tines.com/webhook/" + HEX, "URL_CREDS"),
    ("POST {}", "https://events.pagerduty.com/integration/" + HEX + "/enqueue", "URL_CREDS"),
    ("token={}", "xoxo-23984754" + "863-2348975623113", "API_KEY"),
    ("Server=a;Uid={};", "somebody;Pwd=hunter2", "URL_CREDS"),
    ('$user = "{};', 'somebody"; $password = hunter2', "URL_CREDS"),
]
KEPT = [
    f"cache-key-{HEX}", f"CACHE_KEY={HEX}", f"idempotencykey = {HEX}", f"partitionkey={HEX}", "const ourToken = '" + "a" * 32 + "'",
    *(f"{thing}_key={HEX}" for thing in ("document", "file", "event", "order", "shard", "tenant", "thread", "job", "node", "dedupe", "chunk")),
    f'stateKey: "{HEX}"', f"the document key {HEX}", f'{{"document.key": "{HEX}"}} x',
    f"GSSAPI-{RUN.upper()}", f"KEY-{HEX[:16]}", "the secret internationalization", "token: a1b2", "file_path=/srv/a1b2c3d4e5f6", "a_pattern = z9y8x7w6v5u",
    "https://x.com/?page_token=abc123def", "https://x.com/?a=b&token=yes", "https://x.com/?token=12345", "MAX_TOKENS-4096", "user=somebody; host=db1", "Uid=1000;Gid=1000", "monkey = banana", "max_token = 123456789", "TOKEN-COUNT-12",
]  # fmt: skip


def find(engine: Engine, text: str) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.label) for span in detectors.find(engine, text, Budget(10_000))]


@pytest.mark.parametrize(("frame", "value", "label"), FOUND)
def test_found(engine: Engine, frame: str, value: str, label: str) -> None:
    assert find(engine, frame.replace("{}", value)) == [(value, label)]


@pytest.mark.parametrize("text", KEPT)
def test_kept(engine: Engine, text: str) -> None:
    assert find(engine, text) == []


def test_names_of_keys() -> None:
    assert [keys.label(name) for name in ("cloudPRIVATEkey", "vendorPrivatetoken", "x.accesstoken", "compassKey")] == [
        "PRIVATE_KEY", "API_KEY", "API_KEY", None,
    ]  # fmt: skip
    assert [keys.maybe(name) for name in ("GITHUB_PAT", "path", "url.path", "pattern")] == ["API_KEY", None, None, None]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["SECRET", "TOKEN", "KEY", "PRIVATE"]), st.text(string.ascii_lowercase + string.digits, min_size=24, max_size=64))
def test_any_long_run_after_a_word_in_capitals_goes(engine: Engine, word: str, run: str) -> None:
    if len(set(run)) > 8 and any(sign.isdigit() for sign in run):
        assert run not in Redactor(engine=engine).text(f"vendor{word}-{run}")
