"""What the names of values decide, in attributes, mappings and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger.redaction.redactor import Redactor

if TYPE_CHECKING:
    from spanledger.redaction.engine import Engine

MAIL = "jane.roe" + "@" + "example.com"


@pytest.fixture
def redactor(engine: Engine) -> Redactor:
    return Redactor(engine=engine)


def test_names_mask_whole_values(redactor: Redactor) -> None:
    assert redactor.value("password", "x") == "[PASSWORD]"
    assert redactor.value("ssn", 536904399) == "[US_SSN]"
    assert redactor.value("credentials", {"a": 1}) == "[SECRET]"
    assert redactor.value("cookie", ["a", "b"]) == "[COOKIE]"
    assert redactor.value(None, {"user": {"Email": "somebody", "email_verified": True, "phone": None, "passwd": ""}}) == {
        "user": {"Email": "[EMAIL]", "email_verified": True, "phone": None, "passwd": ""}
    }


def test_names_that_may_be_secrets_mask_texts_only(redactor: Redactor) -> None:
    value = {"token": 4096, "auth": "basic", "otp": {"kind": "sms"}, "token_count": "123456789"}
    assert redactor.value(None, value) is value
    assert redactor.value("token", "a1b2c3d4e5") == "[API_KEY]"


def test_tokens_of_a_model_are_text(redactor: Redactor) -> None:
    piece = {
        "token": "-1b2c3d",
        "logprob": -0.3,
        "bytes": [32],
        "top_logprobs": [{"token": " hello", "logprob": -1.0}, {"token": "<|end|>"}],
    }
    assert redactor.value("logprobs", [piece]) == [piece]
    assert redactor.text(json.dumps(piece)) == json.dumps(piece)
    assert redactor.value(None, {"decoded_token": " hello", "token": "\n  x = 1"}) == {"decoded_token": " hello", "token": "\n  x = 1"}
    assert redactor.value(None, {"token": f" {MAIL}", "logprob": 0, "api_token": "a1b2c3"}) == {
        "token": " [EMAIL]",
        "logprob": 0,
        "api_token": "[API_KEY]",
    }
    assert redactor.value("auth_token", "Bearer 0f1e2d3c4b5a") != "Bearer 0f1e2d3c4b5a"


@pytest.mark.parametrize(
    "reference",
    [
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf12",
        "op://vault/database/field9",
        "vault:secret/data/db#key9",
        "projects/p-1/secrets/db9/versions/latest",
    ],
)
def test_where_a_secret_is_kept_is_none(redactor: Redactor, reference: str) -> None:
    assert redactor.attributes({"db.password": reference, "aws.secretsmanager.secret.arn": reference}) is None
    for text in (reference, f"password: {reference} and", f"api_key={reference}", f"see {reference} there"):
        assert redactor.text(text) == text
    assert redactor.value("password", f"{reference} hunter2") == "[PASSWORD]"
    assert redactor.text(f"token from {reference}: password: hunter2x").endswith("[PASSWORD]")


def test_a_mask_in_a_name_says_nothing_of_its_value(redactor: Redactor) -> None:
    once = redactor.attributes({f"for {MAIL}": 1, "api_key[EMAIL]": "x", "[API_KEY]": "a text"})
    assert once == {"for [EMAIL]": 1, "api_key[EMAIL]": "[API_KEY]", "[API_KEY]": "a text"}
    assert redactor.attributes(once) is None


def test_a_schema_of_a_password_is_no_password(redactor: Redactor) -> None:
    schema = {
        "properties": {"password": {"type": "string", "description": "at least 8 signs"}, "email": {"type": "string", "format": "email"}}
    }
    assert redactor.value("gen_ai.tool.definitions", schema) is schema
    assert redactor.value(None, {"password": {"type": "string", "default": "hunter2"}}) == {
        "password": {"type": "string", "default": "[PASSWORD]"}
    }


def test_arguments_of_a_command(redactor: Redactor) -> None:
    command = ("app", "--password", "hunter2", "--verbose", "yes", "--token=a1B2c3D4e5F6g7H8i9J0")
    assert redactor.value("process.command_args", command) == ("app", "--password", "[PASSWORD]", "--verbose", "yes", "--token=[API_KEY]")


def test_the_user_of_a_command(redactor: Redactor) -> None:
    command = ("curl", "-u", "bob:hunter2xyz9", "-v", "https://example.com")
    assert redactor.value("process.command_args", command) == ("curl", "-u", "[URL_CREDS]", "-v", "https://example.com")
    unbuffered = ("python", "-u", "app.py")
    assert redactor.value("process.command_args", unbuffered) is unbuffered


@pytest.mark.parametrize("kind", [list, tuple])
def test_headers_as_pairs(redactor: Redactor, kind: type) -> None:
    headers = [kind(("host", "example.com")), kind(("x-api-key", "0f1e2d3c4b5a")), kind((b"Authorization", b"Token 0f1e2d3c4b5a"))]
    safe = redactor.value("headers", headers)
    assert safe == [kind(("host", "example.com")), kind(("x-api-key", "[API_KEY]")), kind((b"Authorization", "[AUTHORIZATION]"))]
    assert safe[0] is headers[0]
    assert redactor.value("http.headers", '[["x-api-key","0f1e2d3c4b5a"],["a","b"]]') == '[["x-api-key","[API_KEY]"],["a","b"]]'
    plain = [kind(("a", "b")), kind(("c", 1))]
    assert redactor.value("pairs", plain) is plain


def test_names_are_read_with_their_values_as_in_prose(redactor: Redactor) -> None:
    random = "0123456789abcdef" * 2
    private = {"tel": "4155550132", "home.cell": "4155550132", "social": "536904399", "tomtom_key": random, "X-Hub-Signature-256": random}
    for name, value in private.items():
        assert value not in repr(redactor.attributes({name: value}))
        assert value not in redactor.text(json.dumps({name: value}))
    assert redactor.attributes({"http.request.header.x-functions-key": (random,)}) == {
        "http.request.header.x-functions-key": ("[API_KEY]",)
    }
    harmless = {"aws.s3.key": random, "cache_key": random, "contact_id": "4155550132", "key": "value", "card": "visa"}
    assert redactor.attributes(harmless) is None
    assert Redactor("hash", "key").value("tel", "415 5550132") == Redactor("hash", "key").value("tel", "4155550132")


def test_a_pair_of_name_and_value_is_read_as_one(redactor: Redactor) -> None:
    assert redactor.value("env", [{"name": "DB_PASSWORD", "value": "hunter2"}]) == [{"name": "DB_PASSWORD", "value": "[PASSWORD]"}]
    assert redactor.text('[{"Key":"ssn","Value":123456789}]') == '[{"Key":"ssn","Value":"[US_SSN]"}]'
    assert redactor.value("of", {"name": "order_id", "value": "415-555-0132"}) == {"name": "order_id", "value": "[PHONE]"}
    harmless = [
        {"name": "heap.size", "value": 4111111111111111},
        {"name": "MODE", "value": "fast"},
        {"value": "hunter2"},
        {"name": "password", "type": "string"},
        {"name": ["password"], "value": 1},
    ]
    assert redactor.value("env", harmless) is harmless


def test_whole_numbers_that_are_cards(redactor: Redactor) -> None:
    visa, amex, diners = 4111111111111111, 371449635398431, 30569309025904
    for card in (visa, amex, diners):
        assert redactor.attributes({"note": card, "pan": card}) == {"note": "[CREDIT_CARD]", "pan": "[CREDIT_CARD]"}
        assert redactor.text(f'{{"n": [{card}]}}') == '{"n": ["[CREDIT_CARD]"]}'
    counted = ["gen_ai.usage.input_tokens", "spanledger.cost.nano_usd", "start_time", "end_unix_ns", "rpc.duration", "row.count", "heap.size", "io.bytes",
               "order.id", "trace_id", "token_limit", "price", "messaging.kafka.offset"]  # fmt: skip
    assert redactor.attributes(dict.fromkeys(counted, visa)) is None
    assert redactor.attributes({"note": visa + 1, "n": -visa, "x": float(visa), "big": visa * 1000, "ok": True}) is None


@given(number=st.integers(1_500_000_000 * 10**6, 2_000_000_000 * 10**6))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_times_in_microseconds_are_never_cards(number: int) -> None:
    assert Redactor().attributes({"note": number, "t": number * 1000, "s": number // 1000}) is None


def test_identifiers_keep_their_digits_unless_these_are_surely_private(redactor: Redactor) -> None:
    private = {
        "order.id": "4111111111111111",
        "user_id": "+14155550132",
        "customer.id": "536-90-4399",
        "account.id": "DE89370400440532013000",
    }
    assert redactor.attributes(private) == {
        "order.id": "[CREDIT_CARD]",
        "user_id": "[PHONE]",
        "customer.id": "[US_SSN]",
        "account.id": "[IBAN]",
    }
    for value in ("536904399", "4155550132", "415-555-0132", "203.0.113.7", "1.2.3.4", "4111111111111112", 4111111111111111, 536904399):
        assert redactor.attributes({"order.id": value, "user_id": value}) is None
    machines = ["trace_id", "span_id", "parent.id", "file.sha256", "service.version", "start_time", "created_at_timestamp"]
    assert redactor.attributes(dict.fromkeys(machines, "4111111111111111")) is None


def test_a_schema_with_limits(redactor: Redactor) -> None:
    schemas = [
        {"type": "integer", "minimum": 1, "exclusiveMaximum": 9, "multipleOf": 2, "x-order": 4},
        {"type": "array", "items": {"type": "string", "minLength": 2}, "minItems": 1, "uniqueItems": True},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"const": None}}},
    ]
    for schema in schemas:
        value = {"properties": {"email": schema, "passport": schema, "password": schema}}
        assert redactor.value("tools", value) is value
        assert redactor.text(json.dumps(value)) == json.dumps(value)


@pytest.mark.parametrize("word", ["default", "example", "examples", "const", "x-example"])
def test_values_given_in_a_schema(redactor: Redactor, word: str) -> None:
    shown = ["greenharbour"] if word == "examples" else "greenharbour"
    schema = {"type": "string", "description": "As chosen", word: shown}
    safe = schema | {word: "[PASSWORD]"}
    assert redactor.value(None, {"password": schema}) == {"password": safe}
    assert redactor.value(None, {"password": {"type": "array", "items": schema}}) == {"password": {"type": "array", "items": safe}}
    assert redactor.value(None, {"comment": schema}) == {"comment": schema}


def test_what_is_no_schema_is_masked(redactor: Redactor) -> None:
    for value in ({"default": "greenharbour"}, {"type": "basic", "said": "greenharbour"}, {"items": ["greenharbour"]}):
        assert redactor.value(None, {"password": value}) == {"password": "[PASSWORD]"}


def test_what_to_sort_by_is_no_value(redactor: Redactor) -> None:
    value = {"sort": [["email", "asc"], ("phone", "DESC")]}
    assert redactor.value(None, value) is value
    assert redactor.value(None, [["password", "greenharbour"]]) == [["password", "[PASSWORD]"]]


def test_a_schema_in_other_words(redactor: Redactor) -> None:
    for schema in ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"$ref": "#/$defs/key"}, {"enum": ["a", "b"], "default": None}):
        value = {"properties": {"api_key": schema, "ssn": schema}}
        assert redactor.value(None, value) is value
    assert redactor.value(None, {"password": {"anyOf": [], "default": "hunter2"}}) == {"password": {"anyOf": [], "default": "[PASSWORD]"}}
    assert redactor.value(None, {"password": {"title": "hunter2"}}) == {"password": "[PASSWORD]"}


def test_keys_with_secrets_are_shown_without(redactor: Redactor) -> None:
    assert redactor.attributes({f"of {MAIL}": 1, "n": 2}) == {"of [EMAIL]": 1, "n": 2}
    assert redactor.attributes({f"of {MAIL}": 1, "n": 2}) == {"of [EMAIL]": 1, "n": 2}


def test_keys_with_private_numbers_are_shown_without(redactor: Redactor) -> None:
    private = {"536-90-4399": 1, "+14155550132": 2, "4111111111111111": 3, 4111111111111111: 4, "415555013": 5}
    assert redactor.value("m", private) == {"[US_SSN]": 1, "[PHONE]": 2, "[CREDIT_CARD]": 3, "[CREDIT_CARD]#2": 4, "415555013": 5}


def test_names_that_become_one_lose_no_value(redactor: Redactor) -> None:
    attributes = {f"of {MAIL}": 1, "of [EMAIL]": True, f"of joe{MAIL}": 2, "of [EMAIL]#2": False, f"of jim{MAIL}": 3}
    for safe in (redactor.attributes(attributes), redactor.value(None, attributes)):
        assert safe is not None
        assert sorted(map(repr, safe.values())) == ["1", "2", "3", "False", "True"]
        assert MAIL not in repr(safe)
