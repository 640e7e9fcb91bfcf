"""Secrets behind a name and whatever stands between them: types, quotes, Markdown, arrows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.redaction import detectors
from spanledger.redaction.redactor import Redactor
from spanledger.redaction.text import Budget

if TYPE_CHECKING:
    from spanledger.redaction.engine import Engine

HEX = "4f9d0c1b7e6a2538" * 2
FOUND = [
    ('password: str = "{}"', "hunter2!Ab", "PASSWORD"),
    ('def login(password: str="{}"):', "hunter2!Ab", "PASSWORD"),
    ('const apiKey: string = "{}"', HEX, "API_KEY"),
    ('var apiKey string = "{}"', HEX, "API_KEY"),
    ('api_key: str | None = "{}"', HEX, "API_KEY"),
    ('password: typing.Optional[str] = f"{}"', "hunter2!Ab", "PASSWORD"),
    ('char password[32] = "{}";', "hunter2!Ab", "PASSWORD"),
    ('let password: &str = "{}";', "hunter2!Ab", "PASSWORD"),
    ('const PASSWORD: &\'static str = "{}";', "hunter2!Ab", "PASSWORD"),
    ('val password: String? = "{}"', "hunter2!Ab", "PASSWORD"),
    ('private password?: string = "{}";', "hunter2!Ab", "PASSWORD"),
    ('password: {}, user = "bob"', "hunter2x", "PASSWORD"),
    ('password="{}" and', "p4ss'w0rdX99", "PASSWORD"),
    ('password="{}"', "O'Reilly2024!", "PASSWORD"),
    ("secret = '{}'", "abc`def1234567", "SECRET"),
    ('see {"password":"{}","a":"b"} here', r"hun\"ter2Ab99", "PASSWORD"),
    (r"see {\"password\":\"{}\",\"a\":\"b\"} here", r"hun\\\"ter2Ab99", "PASSWORD"),
    ("&quot;password&quot;:&quot;{}&quot;,", "hun'ter2", "PASSWORD"),
    ("password=\"{}' or 'x'", "unclosed", "PASSWORD"),
    ("**Password:** {}", "hunter2Ab", "PASSWORD"),
    ("- **Password**: {}", "hunter2Ab", "PASSWORD"),
    ("**Password:** `{}`", "hunter2Ab", "PASSWORD"),
    ("**API Key:** {}", HEX, "API_KEY"),
    ("| API Key | {} |", HEX, "API_KEY"),
    ("|API Key|{}|", HEX, "API_KEY"),
    ("| Password | {} | of Jane", "hunter2Ab", "PASSWORD"),
    ("API Key -> {}", HEX, "API_KEY"),
    ("The API key is: {}", HEX, "API_KEY"),
    ("the password is: {}", "hunter2Ab", "PASSWORD"),
    ('process.env.API_KEY || "{}"', HEX, "API_KEY"),
    ('process.env.API_KEY ?? "{}"', HEX, "API_KEY"),
    ("password: {}", "@dmin!", "PASSWORD"),
    ("password = {}", ":hunter", "PASSWORD"),
    ("Authorization: Bearer {}", "a1b2c3d4", "AUTHORIZATION"),
    ("CREATE USER jane IDENTIFIED BY '{}'", "correct-horse", "PASSWORD"),
    ("alter user jane identified by '{}';", "hunter2Ab", "PASSWORD"),
    ("sshpass -p {} ssh host", "hunter2Ab", "PASSWORD"),
    ("sshpass -p '{}' ssh host", "hunter2Ab", "PASSWORD"),
    ("Passwort: {}", "hunter2Ab", "PASSWORD"),
    ("senha: {}", "hunter2Ab", "PASSWORD"),
    ("[(b'authorization', b'{}')]", "0f1e2d3c4b5a", "AUTHORIZATION"),
    ("API Secret Key: {}", HEX, "API_KEY"),
    ("auth0 secret key: {}", HEX, "API_KEY"),
    ("keycloak secret key = {}", HEX, "API_KEY"),
    ("Auth token key: {}", HEX, "API_KEY"),
    ("Tomtom2 key: {}", HEX, "API_KEY"),
    ("tomtom_key = {}", f"ab/{HEX}", "API_KEY"),
    ("        - name: MAIL_PASSWORD\n          value: {}\n", "greenharbour", "PASSWORD"),
    ("  - name: MAIL_PASSWORD\r\n    value: {}\r\n", "greenharbour", "PASSWORD"),
    ("            - name: \"MAIL_PASSWORD\"\n              value: '{}'\n", "green harbour", "PASSWORD"),
    ("stringData:\n  password: |-\n    {}\n  user: bob\n", "Green&Harbour", "PASSWORD"),
    ("password: >2+\n  {}\nuser: bob\n", "first half\n  second half", "PASSWORD"),
    ("items:\n- password: |\n    {}\n- user: bob\n", "harbour", "PASSWORD"),
    ('"api_key": |\n    {}\n', f"{HEX}\n    {HEX}", "API_KEY"),
    ("api_key: |\n  {}\nuser: bob\n", "\n  ".join([HEX] * 60), "API_KEY"),
    ("password: |\n  {}\nuser: bob\n", "green harbour\n\n  blue harbour", "PASSWORD"),
]
STORAGE_KEPT = [
    f"S3 key: invoices/2026/{HEX}.png", f"S3 key: {HEX}", f"NoSuchKey: no such object. Key: {HEX}", f"The object is gone. Key: invoices/{HEX[:20]}.pdf",
    f'upload_key = "invoices/{HEX}.tar"',
]  # fmt: skip
YAML_KEPT = [
    "    - name: MAIL_PASSWORD\n      valueFrom:\n        secretKeyRef:\n          name: mail\n          key: password\n", "    - name: MAIL_PASSWORD\n      value: $(OTHER)\n",
    "  password: |\n  user: bob\n", "password: |\nuser: bob\n", "api_key: |\n  Get one in the console first.\n", "password: |\n  {{ .Values.password }}\n",
    "      - name: password\n        in: query\n        value: string\n",
]  # fmt: skip
CODE_KEPT = [
    "SET password = :password, api_key = @api_key WHERE id = 1", "api_key = @api_key", "mutation($password: String!, $token: String)",
    "secretName: my-db-credentials-v2", "existingSecret: postgres-credentials", "passwordSecretRef: my-secret-v2",
    "the one that is identified by the path, the user identified by 'name'", 'sshpass -p "$PASS" ssh host',
    "def login(password): return 1", "if not password: raise ValueError(x)", "case 'password': return foo", 'case "password": break;',
    "Access denied for user 'root'@'localhost' (using password: YES)", "password: valid", "password: set", "password: provided",
    "password: incorrect", "Authorization: Bearer", "Authorization: Bearer\nHost: x", '"Authorization": "Bearer "', "Authorization: Bearer <token>",
]  # fmt: skip
KEPT = [
    'password: str = os.environ["X"]', 'password: str = ""', 'def f(password: str, token: str = "x") -> None', "password: string",
    """x = "password='" + pw + "' and secret='" + y + "'\"""", "print('password: ', pw, \"x\", 'y')", 'password="", token="x"',
    "if (password || token) {", "password || fallback_value", "**Password:** Minimum 8 characters", "**Password**: Enter your password",
    "| password | string | The password |", "| password | `string` | yes |", "def get_password() -> SomeType:", "the password is: required",
    "const x = password ?? null", "the password -> hash step", "keys: (authorization|api[._-]?key|secret|password)",
    "`age`, `authorization`, `referer` and `cookie`", 'token: string = "abc"', "char password[32];", "let password: &str = secret;", 'var apiKey string = ""',
]  # fmt: skip


def find(engine: Engine, text: str) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.label) for span in detectors.find(engine, text, Budget(10_000))]


@pytest.mark.parametrize(("frame", "value", "label"), FOUND)
def test_found(engine: Engine, frame: str, value: str, label: str) -> None:
    assert find(engine, frame.replace("{}", value)) == [(value, label)]


@pytest.mark.parametrize("depth", range(4))
@pytest.mark.parametrize("value", ["hunter2!", 'hun"ter2!', "hunter2!\\"])
def test_found_in_json_in_json(engine: Engine, depth: int, value: str) -> None:
    told: Any = {"password": value, "user": "bob"}
    for _ in range(depth):
        told = {"body": json.dumps(told)}
    for text in (f"Received event: {json.dumps(told)}", f"Received event: {told}", f"Received event: {json.dumps(json.dumps(told))}"):
        safe = Redactor(engine=engine).text(text)
        assert "ter2!" not in safe
        assert "bob" in safe


@pytest.mark.parametrize("text", KEPT + CODE_KEPT + YAML_KEPT + STORAGE_KEPT)
def test_kept(engine: Engine, text: str) -> None:
    assert find(engine, text) == []
