"""Values that a validator quotes, whose field it names elsewhere."""

from __future__ import annotations

import json

import pytest

from spanledger.redaction.redactor import Redactor

VALUE = "Blue-Harbour7"
LINES = "1 validation error for Mailer\n{place}\n  Value should be longer [type=string_too_short, input_value={value}, input_type=str]\n"


@pytest.mark.parametrize(
    ("place", "label"),
    [
        ("smtp_password", "PASSWORD"),
        ("mail.0.apiKey", "API_KEY"),
        ("login.token.str", "API_KEY"),
        ("password.function-after[check(), str]", "PASSWORD"),
    ],
)
@pytest.mark.parametrize("quoted", [f"'{VALUE}'", f'"{VALUE}"'])
def test_lines_of_pydantic(place: str, label: str, quoted: str) -> None:
    text = LINES.format(place=place, value=quoted)
    inner = json.dumps({"error": text})
    for seen in (
        text,
        f"raised {text!r}",
        f"event {inner}",
        f"event {json.dumps({'body': inner})}",
        f"event {json.dumps([json.dumps([inner])])}",
    ):
        assert VALUE not in Redactor().text(seen)
    assert Redactor().text(text) == text.replace(VALUE, f"[{label}]")


def test_each_value_belongs_to_the_field_before_it() -> None:
    text = LINES.format(place="nickname", value="'Bluebird'") + LINES.format(place="password", value="81726354")
    assert Redactor().text(text) == text.replace("81726354", "[PASSWORD]")


def test_lines_quoted_by_a_test_runner() -> None:
    text = "E   " + LINES.format(place="password", value=f"'{VALUE}'").replace("\n", "\nE   ")
    assert Redactor().text(text) == text.replace(VALUE, "[PASSWORD]")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("comment", f"'{VALUE}'"),
        ("password", "None"),
        ("password", "'**********'"),
        ("password", "{'user': 'bob'}"),
        ("token", "12"),
        ("the password field", "'x'"),
    ],
)
def test_lines_that_stay(place: str, value: str) -> None:
    text = LINES.format(place=place, value=value)
    assert Redactor().text(text) == text


ERROR = {"type": "string_too_short", "loc": ["body", "password"], "msg": "Value should be longer", "input": VALUE}


@pytest.mark.parametrize("place", [["body", "password"], ("body", "password"), ["body", "password", 0, "str"], ["header", "x-api-key"]])
def test_lists_of_errors(place: list[str]) -> None:
    error = ERROR | {"loc": place}
    detail = {"detail": [error, ERROR | {"loc": ["body", "comment"], "input": "Bluebird"}]}
    for text in (json.dumps(detail), repr(detail), f"said {detail}", f"said {json.dumps(detail)}"):
        safe = Redactor().text(text)
        assert VALUE not in safe
        assert "Bluebird" in safe
    assert VALUE not in str(Redactor().value(None, detail))


def test_a_list_that_was_refused() -> None:
    """As where one value was asked for and several came, or not as many as there must be."""
    for error in (
        ERROR | {"type": "string_type", "input": [VALUE]},
        ERROR | {"loc": ["body", "recovery_passwords"], "input": (VALUE, VALUE)},
    ):
        assert VALUE not in str(Redactor().value(None, {"detail": [error]}))
        assert VALUE not in Redactor().text(json.dumps({"detail": [error]}))


@pytest.mark.parametrize(
    "error",
    [
        ERROR | {"type": "missing", "input": {"user": "bob"}},
        ERROR | {"loc": ["body", "comment"]},
        ERROR | {"loc": []},
        {"name": "set_password", "input": {"user": "bob"}},
    ],
)
def test_lists_that_stay(error: dict[str, object]) -> None:
    for text in (json.dumps(error), f"said {json.dumps(error)}", f"said {error}"):
        assert Redactor().text(text) == text
