"""Texts, values and attributes: what is replaced, what stays, and what happens when something goes wrong."""

from __future__ import annotations

import json
import threading
from collections import Counter
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spanledger.redaction.redactor import Redactor

if TYPE_CHECKING:
    from spanledger.redaction.engine import Engine

MAIL = "jane.roe" + "@" + "example.com"
PHONE = "+1 415-555-0132"


@pytest.fixture
def redactor(engine: Engine) -> Redactor:
    return Redactor(engine=engine)


class Named:
    """Says something private when a text is made of it."""

    def __str__(self) -> str:
        return f"for {MAIL}"


def test_modes(engine: Engine) -> None:
    text = f"mail {MAIL} or call {PHONE}"
    assert Redactor(engine=engine).text(text) == "mail [EMAIL] or call [PHONE]"
    assert Redactor("drop", engine=engine).text(text) == "[REDACTED]"
    assert Redactor("off", engine=engine).text(text) is text
    assert Redactor("off", engine=engine).attributes({"password": "x"}) is None
    with pytest.raises(ValueError, match="expected one of mask, hash, drop, off"):
        Redactor("shred")


def test_hashes_join_what_is_the_same_and_tell_apart_what_is_not() -> None:
    one, same, other = Redactor("hash", "key"), Redactor("hash", "key"), Redactor("hash", "another key")
    assert one.text(MAIL) == same.text(MAIL.upper()) != other.text(MAIL)
    assert one.text("+1 415-555-0132") == same.text("+1 (415) 555 0132")
    assert one.text("joe" + MAIL) != one.text(MAIL)
    assert Redactor("hash").text(MAIL) != Redactor("hash").text(MAIL)
    assert one.value("password", 1234) == same.value("password", 1234) != one.value("password", 1235)
    label, digest = one.text(MAIL)[1:-1].split(":")
    assert (label, len(digest), digest[0] in "abcdef") == ("EMAIL", 10, True)


def test_untouched_values_are_the_same_objects(redactor: Redactor) -> None:
    values: list[Any] = [
        "clean text",
        ("a clean one", 1),
        ["x", {"y": [1.5, None]}],
        {"a": b"clean bytes"},
        4111111111111112,
        0.1,
        True,
        None,
        '{"a": 1.0}',
    ]
    assert all(redactor.value("note", value) is value for value in values)
    assert redactor.attributes({"a": values[0], "n": 4155550132, "gen_ai.usage.input_tokens": 12}) is None
    assert redactor.attributes({}) is None
    assert redactor.attributes(None) is None


def test_nested_values(redactor: Redactor) -> None:
    value = {"messages": [{"role": "user", "content": f"I am {MAIL}"}, (PHONE, 7)], "n": 1, MAIL: b"call " + PHONE.encode(), 3: {MAIL}}
    assert redactor.value("input", value) == {
        "messages": [{"role": "user", "content": "I am [EMAIL]"}, ("[PHONE]", 7)], "n": 1, "[EMAIL]": b"call [PHONE]", 3: ["[EMAIL]"],
    }  # fmt: skip
    assert value[MAIL].startswith(b"call +1")  # type: ignore[union-attr]


def test_json_in_a_text_is_read_as_what_it_means(redactor: Redactor) -> None:
    assert redactor.text('{"role": "user", "content": "mail jane\\u0040example.com", "max_tokens": 4096, "t": 0.10}') == (
        '{"role": "user", "content": "mail [EMAIL]", "max_tokens": 4096, "t": 0.1}'
    )
    assert redactor.text('{"ssn":123456789,"a":"\u00e9"}') == '{"ssn":"[US_SSN]","a":"\u00e9"}'
    inner = json.dumps({"password": "hunter2", "n": 1})
    assert json.loads(json.loads(redactor.text(json.dumps({"arguments": inner})))["arguments"]) == {"password": "[PASSWORD]", "n": 1}
    assert redactor.text(json.dumps(f"line\nmail {MAIL}")) == '"line\\nmail [EMAIL]"'


def test_counts_stay_numbers(redactor: Redactor) -> None:
    counts = {"emails": 31, "cookies": 2, "phones.failed": 1, "first_names": 4, "jwt.expires_in": 3600, "email.p99": 0.31}
    assert redactor.attributes(counts) is None
    assert redactor.text(json.dumps(counts)) == json.dumps(counts)
    assert redactor.text('{"emails": 31, "phone": 4155550132}') == '{"emails": 31, "phone": "[PHONE]"}'


def test_json_that_cannot_be_parsed_is_read_as_text(redactor: Redactor) -> None:
    assert redactor.text('{"a": "jane\\u0040example.com", "b": "cut') == '{"a": "[EMAIL]", "b": "cut'
    assert redactor.text('{"password": "hunter2", "password": "x", "b": ') == '{"password": "[PASSWORD]", "password": "x", "b": '
    assert "hunter2" not in redactor.text('{"password": "hunter2", "password": ""}')
    assert MAIL not in redactor.text("[" * 200_000 + MAIL + "]" * 200_000)


def test_unknown_types_are_not_shown(redactor: Redactor) -> None:
    class Quiet:
        def __str__(self) -> str:
            return MAIL

    assert redactor.value("x", {"a": Quiet(), "b": Decimal(1)}) == {"a": "[REDACTED:type]", "b": "[REDACTED:type]"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ((MAIL, 1), "('[EMAIL]', 1)"), (frozenset([MAIL]), "frozenset({'[EMAIL]'})"), (f"to {MAIL}".encode(), b"to [EMAIL]"), (Named(), "for [EMAIL]"),
        (4111111111111111, "[CREDIT_CARD]"), (("a", 1), ("a", 1)), (b"clean", b"clean"), (1732264322.5, 1732264322.5), (None, None), (True, True),
    ],
)  # fmt: skip
def test_names_of_any_type_are_redacted_as_exporters_would_say_them(name: Any, shown: Any) -> None:
    assert Redactor().value(None, {name: 1}) == {shown: 1}


def test_names_in_bytes_say_what_their_values_are() -> None:
    headers = {b"authorization": b"Bearer x9y8z7w6v5u4t3s2r1q0", b"password": "hunter2", b"accept": b"text/html"}
    assert Redactor().value(None, headers) == {b"authorization": "[AUTHORIZATION]", b"password": "[PASSWORD]", b"accept": b"text/html"}


def test_counting(engine: Engine) -> None:
    counts: Counter[str] = Counter()

    def count(label: str, amount: int) -> None:
        counts[label] += amount

    redactor = Redactor(on_redact=count, engine=engine)
    redactor.text(f"{MAIL}, {MAIL}, {PHONE}")
    redactor.attributes({"a": MAIL, "password": "x", "b": "clean"})
    assert counts == {"EMAIL": 3, "PHONE": 1, "PASSWORD": 1}


def test_a_counter_that_fails_changes_nothing(engine: Engine) -> None:
    def fail(_: str, __: int) -> None:
        raise RuntimeError

    assert Redactor(on_redact=fail, engine=engine).text(MAIL) == "[EMAIL]"


class Broken:
    """An engine with a bug."""

    name = "broken"

    def present(self, text: str) -> list[int]:
        raise RuntimeError(text)

    find = present


def test_an_error_costs_the_value_and_nothing_else(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    counts: list[tuple[str, int]] = []
    redactor = Redactor(on_redact=lambda label, count: counts.append((label, count)), engine=Broken())  # type: ignore[arg-type]
    assert redactor.text(MAIL) == "[REDACTED:error]"
    assert redactor.value("a", [MAIL]) == "[REDACTED:error]"
    assert redactor.attributes({"a": MAIL, "tokens": 5, "password": MAIL}) == {
        "a": "[REDACTED:error]",
        "tokens": 5,
        "password": "[PASSWORD]",
    }
    assert [count for count in counts if count[0] == "error"] == [("error", 1)] * 3
    assert MAIL not in caplog.text + "".join(capsys.readouterr())


def test_too_much_work_costs_the_value(engine: Engine) -> None:
    counts: list[str] = []
    redactor = Redactor(on_redact=lambda label, _: counts.append(label), engine=engine)
    loop: list[Any] = []
    loop.extend((loop, loop))
    assert redactor.value("a", loop) == "[REDACTED:budget]"
    assert redactor.text("a" * 4_000_001) == "[REDACTED:budget]"
    assert redactor.text(f"{MAIL} " * 60_000) == "[REDACTED:budget]"
    assert redactor.value("a", list(range(60_000))) == "[REDACTED:budget]"
    assert counts == ["budget"] * 4


# --- what was found clean is not looked at again


class Folded(str):
    """As texts of case-insensitive mappings are: equal to what they are not."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str.lower(self) == str.lower(other)

    def __hash__(self) -> int:
        return hash(str.lower(self))


class Hollow(str):
    """Says that there is nothing in it."""

    __slots__ = ()

    def __len__(self) -> int:
        return 0

    def startswith(self, *_: Any) -> bool:
        return False


class Colour(StrEnum):
    RED = "the red one"


NAMES = ["note", "request.model", "thing.id", "password", "auth", "Client.ID", "cookie", f"of {MAIL}", '{"ssn": 1234567}', "x" * 80]
VALUES: list[Any] = [
    "stop", "gpt-4o-mini", "hunter2", "--password", "536-90-4399", "415-555-0132", MAIL, "1", "", "true", "the red one",
    "akia" + "iosfodnn7exampl2", Folded("AKIA" + "IOSFODNN7EXAMPL2"), Hollow(MAIL), Hollow("--password"), Colour.RED, "[EMAIL]",
    "0f" * 16, "chatcmpl-BxQk2mJb7Zc0tUuK1n8vXy3aRw5Ed", "call_AKIA" + "IOSFODNN7EXAMPL2", "a b" * 40, '{"ssn": 1234567}', '["x", 1]',
    0, 1, 1.0, True, False, None, 1234, 4155550132, b"bytes", Decimal(1), (1, True), (), [MAIL], {"password": "x"}, {"a": [1]},
]  # fmt: skip
ODD = st.sampled_from(VALUES) | st.lists(st.sampled_from(VALUES), max_size=3).map(tuple)
WARM = {mode: Redactor(mode, "key") for mode in ("mask", "drop")}


def exactly(value: Any) -> str:
    """Unlike ``==``, tells 1 from True."""
    return repr(list(value.items()) if isinstance(value, dict) else value)


@given(spans=st.lists(st.dictionaries(st.sampled_from(NAMES) | st.sampled_from(NAMES).map(Folded), ODD, max_size=8), max_size=4))
@example(spans=[{"note": "hunter2", "thing": "--password"}, {"args": ("--password", "hunter2")}])
@example(spans=[{'{"ssn": 1234567}': 1}, {"thing.id": '{"ssn": 1234567}'}])
@example(spans=[{"note": "akia" + "iosfodnn7exampl2"}, {"note": Folded("AKIA" + "IOSFODNN7EXAMPL2")}])
@example(spans=[{"note": Hollow(MAIL)}, {"note": MAIL}])
@example(spans=[{"password": True}, {"password": 1}, {"password": 1.0}])
@example(spans=[{"thing.id": "call_AKIA" + "IOSFODNN7EXAMPL2"}] * 2)
@settings(max_examples=400, deadline=None, derandomize=True)
@pytest.mark.parametrize("mode", ["mask", "drop"])
def test_a_redactor_that_has_seen_much_does_as_a_new_one(mode: str, spans: list[dict[str, Any]]) -> None:
    for attributes in spans:
        before = exactly(attributes)
        for _ in range(2):
            assert exactly(WARM[mode].attributes(attributes)) == exactly(Redactor(mode, "key").attributes(attributes))
        assert exactly(attributes) == before


def test_what_was_seen_clean_is_not_looked_at_again(engine: Engine) -> None:
    redactor = Redactor(engine=engine)
    attributes = {
        "gen_ai.request.model": "gpt-4o-mini",
        "note": "a clean one",
        "reasons": ("stop", "length"),
        "count": 3,
        "thing.id": "0f" * 16,
    }
    for _ in range(2):
        assert redactor.attributes(attributes) is None
    redactor._attribute = None  # type: ignore[assignment,method-assign]
    assert redactor.attributes(attributes | {"count": 4.5, "thing.id": "1e" * 16}) is None


def test_what_is_remembered_is_bounded(redactor: Redactor) -> None:
    for number in range(10_000):
        redactor.attributes({f"name.{number}": f"text {number}", f"name.{number}.id": f"v{number}", f"{number}" * 50: "text" * 50})
    remembered: list[Any] = [redactor._keys, redactor._clean_under, *redactor._clean]
    assert all(len(each) <= 4096 for each in remembered)
    assert max(len(text) for each in remembered for text in each) <= 64


def test_threads_share_a_redactor(redactor: Redactor) -> None:
    results: list[str] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for turn in range(50):
            results.append(redactor.text(f"{number}-{turn} {MAIL}").split()[1])  # noqa: PERF401  # appends interleave

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["[EMAIL]"] * 400


FRAGMENTS = [
    MAIL, PHONE, "536-90-4399", "password", "=", ": ", '"', "token", " ", "\n", "4111111111111111", "203.0.113.7", "[EMAIL]", "Bearer ", "x9y8z7w6v5u4t3s2r1q0",
    "://u:p@h", "{", "}", "\\u0040", "%40", "\u200b", "card ", "phone ", ",", "[PASSWORD]", "Cookie: a=b", "api_key", "1",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=16).map("".join)


@given(text=TEXTS)
@example(text="password=[PASSWORD]")
@example(text="token: [API_KEY:a123456789]")
@example(text='{"password": "[PASSWORD]"}')
@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("mode", ["mask", "hash", "drop"])
def test_what_is_redacted_stays_as_it_is(mode: str, text: str) -> None:
    redactor = Redactor(mode, "key")
    once = redactor.text(text)
    assert redactor.text(once) == once
    assert MAIL not in once


@given(value=st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.just(MAIL), st.text(max_size=9)), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner), max_leaves=12))  # fmt: skip
@settings(max_examples=200, deadline=None, derandomize=True)
def test_json_keeps_its_shape_and_its_numbers(value: Any) -> None:
    redactor = Redactor()
    walked = redactor.value(None, value)
    read = redactor.text(json.dumps(value))
    assert MAIL not in json.dumps(walked) + read
    if isinstance(value, (list, dict)) and not isinstance(walked, str):
        assert json.loads(read) == walked
