"""What names say about their values."""

from __future__ import annotations

import pytest

from spanledger.redaction import keys
from spanledger.redaction.text import Digits

SENSITIVE = {
    "PASSWORD": ["passwords", "userPasswords", "passphrases", "password", "db.password", "userPassword", "user_passwd", "USER_PWD", "password_hash", "connectionpassword",
                 "passwort", "senha", "mot_de_passe", "contrase\u00f1a", "\u043f\u0430\u0440\u043e\u043b\u044c", "\u5bc6\u7801"],
    "SECRET": ["client_secret", "secret", "credentials", "existing.client.secret", "my.app.secrets"],
    "API_KEY": [
        "api_key", "apiKey", "X-API-Key", "openai.api_key", "OPENAI_API_KEY", "access_token", "refreshToken", "id_token", "session_token",
        "aws_secret_access_key", "secretAccessKey", "fbapikey", "bot_token", "encryption_key",
        "apikeys", "accessKeys", "refresh_tokens", "authTokens", "encryption_keys",
    ],
    "AUTHORIZATION": ["http.request.header.authorization", "Proxy-Authorization"],
    "COOKIE": ["http.request.header.cookie", "Set-Cookie", "cookies"],
    "US_SSN": ["ssns", "ssn", "customer.ssn", "socialSecurityNumber"],
    "EMAIL": ["emails", "emailAddresses", "email", "user.email", "customerEmail", "emailAddress"],
    "PHONE": ["phone", "phone_number", "homePhone", "mobile_number"],
    "CREDIT_CARD": ["credit_cards", "card_number", "creditCardNumber", "credit_card"],
    "CARD_CODE": ["cvv", "card.cvc", "security_code"],
    "PRIVATE_KEY": ["private_keys", "private_key", "sshKey"],
    "BIRTH_DATE": ["date_of_birth", "dob", "birthDate"],
    "PERSON": ["user.full_name", "firstName", "last_name"],
    "IP": ["client.address", "http.client_ip", "x-forwarded-for"],
    "IBAN": ["iban"],
    "PASSPORT": ["passport_number"],
    "GOV_ID": ["tax_id", "drivers_license"],
    "ADDRESS": ["home_address", "streetAddress"],
    "ACCOUNT": ["accountNumbers", "bank_account", "account_number"],
}  # fmt: skip
HARMLESS = [
    "gen_ai.usage.input_tokens", "max_tokens", "token_count", "total_tokens", "tokens", "completion_tokens_details", "token_type", "prompt_tokens",
    "gen_ai.server.time_to_first_token", "llm.token_count.prompt", "gen_ai.token.type", "tokens_per_second", "session_tokens", "user_tokens", "api_tokens", "passwords_count", "status", "token_budget", "cache_key", "primary_key",
    "gen_ai.response.id", "api_key_id", "password_length", "password.policy", "email_count", "aws.secretsmanager.secret.arn", "author", "authentic",
    "k8s.secret.name", "secretName", "existingSecret", "imagePullSecrets", "passwordSecretRef", "api_key_alias", "api_key_name", "token_name",
    "secret_store", "email_template", "ssn_present", "credential_refs", "secretary", "tokenizer", "passenger", "compass", "monkey", "keyboard", "phone_verified", "email.queue", "phone_model", "jwt.alg", "cookie_consent", "authorization.result", "password_strength", "server.address", "user.id", "", "123", "...",
]  # fmt: skip


@pytest.mark.parametrize(("label", "name"), [(label, name) for label, names in SENSITIVE.items() for name in names])
def test_sensitive_names(label: str, name: str) -> None:
    assert keys.label(name) == label


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_names(name: str) -> None:
    assert (keys.label(name), keys.maybe(name)) == (None, None)


@pytest.mark.parametrize("name", ["token", "auth", "github_token", "auth_header", "user.pin"])
def test_names_that_may_be_sensitive(name: str) -> None:
    assert keys.label(name) or keys.maybe(name)


@pytest.mark.parametrize(
    "name", ["trace_id", "parent_span_id", "gen_ai.request.model", "service.version", "start_unix_nano", "traceId", "server.address"]
)
def test_names_of_what_machines_make(name: str) -> None:
    assert keys.digits(name) is Digits.NONE


@pytest.mark.parametrize("name", ["order.id", "user_id", "gen_ai.response.id", "customerId", "request_ids", "session.uuid"])
def test_identifiers(name: str) -> None:
    assert keys.digits(name) is Digits.SURE


@pytest.mark.parametrize("name", ["message", "user.note", "url.full", "idea", "client.address"])
def test_no_identifiers(name: str) -> None:
    assert keys.digits(name) is Digits.ANY


@pytest.mark.parametrize(
    "name",
    ["gen_ai.usage.input_tokens", "spanledger.cost.nano_usd", "start_time_ns", "http.server.duration", "queue.size", "bytes_sent", "rpc.timeout_ms", "order.id"],
)  # fmt: skip
def test_names_of_numbers_that_are_no_cards(name: str) -> None:
    assert keys.counts(name)


@pytest.mark.parametrize(
    ("name", "number"),
    [("emails_sent", 31), ("cookies", 10**12), ("first_names", 4), ("jwt.expires_in", 3600), ("email.p99", 0.31), ("phones", 2), ("secrets", 1200), ("api_keys", 7), ("ssns", float("nan"))],
)  # fmt: skip
def test_counts_of_what_a_name_says(name: str, number: float) -> None:
    assert keys.number_label(keys.known(name, name), number) is None


@pytest.mark.parametrize(
    ("name", "number", "label"),
    [
        ("password", 7, "PASSWORD"), ("card.cvv", 12, "CARD_CODE"), ("phone", 4155550132, "PHONE"), ("phone", 4155550132.0, "PHONE"), ("ssn", 1234567, "US_SSN"),
        ("bank_account", 48213, "ACCOUNT"), ("client_secret", 81726354, "SECRET"), ("api_key", 10**15, "API_KEY"), ("note", 4111111111111111, "CREDIT_CARD"),
    ],
)  # fmt: skip
def test_numbers_that_are_what_a_name_says(name: str, number: float, label: str) -> None:
    assert keys.number_label(keys.known(name, name), number) == label


def test_names_that_say_what_a_value_is_are_read_with_it() -> None:
    assert keys.spoken("homeTel") == "home tel homeTel: "
    assert keys.spoken("http.request.header.x-functions-key") == "x functions key x-functions-key: "
    assert keys.spoken("tel") == "tel: "
    assert keys.spoken("note") == keys.spoken("contact_id") == ""


def test_words() -> None:
    assert keys.words("userAPIKey_v2.httpStatus-Code") == ["user", "api", "key", "v", "2", "http", "status", "code"]
