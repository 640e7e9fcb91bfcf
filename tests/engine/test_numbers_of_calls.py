"""What is in the books of calls that tell less than they should: of another model, without an estimate, or read on after their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spanledger.engine import drive
from spanledger.engine.adapter import Reader, Target
from spanledger.model import Activity, Request, Usage
from spanledger.pricing.estimate import estimate_input

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = "hello world, how are you today"


def _wrapped(asked: str, served: str | None, call: Callable[[], Any] = object) -> Any:
    """A call of a library that asks for one model and is answered by another."""

    def response(_result: Any, into: Any) -> None:
        into.model, into.usage = served, Usage(1_000_000, 0)

    request = Request("chat", Activity.LLM, "openai", asked, max_output=100, content=WORDS)
    return drive.wrap(call, "fake", Target("", "call", Reader(lambda *_: request, response, lambda _event, _into: None)))


@pytest.mark.parametrize(
    ("served", "priced"),
    [("gpt-4o", "openai/gpt-4o"), ("model-nobody-knows", "openai/gpt-4o-mini"), (None, "openai/gpt-4o-mini")],
)
def test_a_model_without_a_price_costs_what_the_one_that_was_asked_for_does(make_house: Any, served: str | None, priced: str) -> None:
    house = make_house()
    _wrapped("gpt-4o-mini", served)()
    (entry,) = house.entries
    assert (entry.response_model, entry.cost.model) == (served, priced)
    assert entry.cost.nano_usd > 0


def test_a_call_that_could_not_be_estimated_and_of_which_nothing_came_back_has_the_size_of_its_request(
    make_house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    def fails() -> None:
        raise TimeoutError

    house = make_house(SPANLEDGER_DEBUG="false")
    monkeypatch.setattr(house.runtime.gate, "admit", broken)
    with pytest.raises(TimeoutError):
        _wrapped("gpt-4o-mini", None, fails)()
    (entry,) = house.entries
    assert (entry.usage.input, entry.usage.state) == (estimate_input(WORDS, "openai", "gpt-4o-mini"), "unknown")
    assert entry.usage.input > 0


def test_a_stream_read_on_after_it_was_closed_changes_nothing_in_the_books(make_house: Any, fake: Any) -> None:
    house = make_house(fake.adapter)
    stream = fake.module.Client().stream(kind="stream")
    stream.close()
    (before,) = house.entries
    assert next(stream).text == "word0 "
    assert (house.entries, before.time_to_first_chunk) == ([before], None)
