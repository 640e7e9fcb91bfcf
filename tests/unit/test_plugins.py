"""Plugin calls: decorated and named, priced, timed out, budgeted."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import sys
import threading
import types
from typing import TYPE_CHECKING, Any

import pytest
import trio

import spanledger
from spanledger.errors import ConfigurationError
from spanledger.model import Unit
from spanledger.plugins import is_there, parse_price, parse_prices, parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("text", "price"), [("0.002 USD", (Unit.USD, 2_000_000)), (" 250 tokens", (Unit.TOKENS, 250)), ("1 token", (Unit.TOKENS, 1))]
)
def test_prices(text: str, price: Any) -> None:
    assert parse_price("x", text) == price


@pytest.mark.parametrize("text", ["", "five USD", "-1 USD", "1 EUR", "nan tokens", 5])
def test_bad_prices_say_what_was_expected(text: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"SPANLEDGER_PLUGIN_PRICES: cannot read .* expected a price such as"):
        parse_price("SPANLEDGER_PLUGIN_PRICES", text)


@pytest.mark.parametrize("text", ["mail", "mail:", ":send", "my mail:send", "mail:se-nd", "a..b:c"])
def test_bad_targets_say_what_was_expected(text: str) -> None:
    with pytest.raises(ConfigurationError, match="expected module:function"):
        parse_target("SPANLEDGER_PLUGINS", text)


def test_a_price_may_name_its_plugin_as_the_list_of_plugins_does() -> None:
    prices, problems = parse_prices("X", ("myapp.mail:send_email=1 USD", "myapp.mail : Post.send = 2 tokens", "search=3 tokens"))
    assert problems == []
    assert (prices["send_email"], prices["Post.send"], prices["search"]) == ((Unit.USD, 10**9), (Unit.TOKENS, 2), (Unit.TOKENS, 3))


def test_default_price_is_400_tokens(make_house: Any) -> None:
    house = make_house()

    @spanledger.plugin
    def search(query: str) -> list[str]:
        return [query]

    assert search("x") == ["x"]
    (entry,) = house.entries
    assert (entry.plugin, entry.usage.total, entry.cost.nano_usd, entry.usage.state) == ("search", 400, 0, "exact")
    (span,) = house.call_spans
    assert (span.name, span.kind.name) == ("execute_tool search", "INTERNAL")
    assert span.attributes["spanledger.plugin.tokens"] == 400
    assert "gen_ai.usage.input_tokens" not in span.attributes


def test_prices_by_name_and_in_budgets(make_house: Any) -> None:
    house = make_house(SPANLEDGER_PLUGIN_PRICES="mail=0.5 USD, search=10 tokens", SPANLEDGER_BUDGET_DAY="1.2 USD per day")

    @spanledger.plugin(name="mail")
    def send() -> None:
        """Does nothing."""

    send()
    send()
    with pytest.raises(spanledger.BudgetExceeded, match="budget DAY refused"):
        send()
    assert [entry.cost.nano_usd for entry in house.entries] == [500_000_000] * 2


def test_errors_are_recorded_and_raised_unchanged(make_house: Any) -> None:
    house = make_house()
    problem = KeyError("x")

    @spanledger.plugin
    def broken() -> None:
        raise problem

    with pytest.raises(KeyError) as caught:
        broken()
    assert caught.value is problem
    assert house.entries[0].error == "KeyError"
    assert house.call_spans[0].attributes["error.type"] == "KeyError"
    assert house.call_spans[0].status.status_code.name == "ERROR"


def test_timeouts(make_house: Any) -> None:
    house = make_house()
    release = threading.Event()

    @spanledger.plugin(timeout=0.05)
    def stuck() -> None:
        release.wait(30)

    @spanledger.plugin(timeout=0.05)
    async def stuck_too() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match=r"0\.05 s"):
        stuck()
    release.set()
    with pytest.raises(TimeoutError):
        asyncio.run(stuck_too())
    assert [entry.error for entry in house.entries] == ["TimeoutError", "TimeoutError"]


def test_a_generator_with_a_timeout_runs_without_one_and_that_is_said_where_it_is_decorated(
    make_house: Any, caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house()

    @spanledger.plugin(timeout=0.0)
    def words() -> Any:
        got = yield "one"
        yield got

    @spanledger.plugin(timeout=0.0)
    async def later() -> Any:
        await asyncio.sleep(0)
        yield "two"

    async def read() -> list[str]:
        return [word async for word in later()]

    told = [record.getMessage() for record in caplog.records]
    assert [f"{name} is a generator and runs without a timeout" in text for name, text in zip(("words", "later"), told, strict=True)] == [
        True,
        True,
    ]
    generator = words()
    assert (next(generator), generator.send("sent"), list(generator)) == ("one", "sent", [])
    assert asyncio.run(read()) == ["two"]
    assert [(entry.plugin, entry.error) for entry in house.entries] == [("words", None), ("later", None)]


def test_methods_of_classes_are_timed_too(make_house: Any) -> None:
    house, release = make_house(), threading.Event()

    class Box:
        @spanledger.plugin(timeout=30)
        @staticmethod
        def add(one: int, two: int) -> int:
            return one + two

        @spanledger.plugin(timeout=0.05)
        @classmethod
        def stuck(cls) -> None:
            release.wait(30)

    assert (Box.add(1, 2), Box().add(1, 2)) == (3, 3)
    with pytest.raises(TimeoutError):
        Box.stuck()
    release.set()
    assert [(entry.plugin, entry.error) for entry in house.entries] == [("add", None), ("add", None), ("stuck", "TimeoutError")]


def test_named_functions_are_plugins_without_code(make_house: Any, tmp_path: Any, monkeypatch: Any) -> None:
    source = "def send_email(to, subject=''):\n    return to\n\nclass Box:\n    def search(self, q):\n        return q\n\ndef _hidden():\n    pass\n"
    for module in ("mailtool", "searchtool"):
        (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    house = make_house(SPANLEDGER_PLUGINS="mailtool:send_email, mailtool:Box.search, searchtool:*, mailtool:gone, nonsense")
    import mailtool  # type: ignore[import-not-found]
    import searchtool  # type: ignore[import-not-found]

    mailtool.send_email("ada", subject="hi")
    assert mailtool.Box().search("q") == "q"
    searchtool.send_email("bob")
    searchtool.Box().search("not a function of the module")
    assert [entry.plugin for entry in house.entries] == ["send_email", "Box.search", "send_email"]
    from spanledger import install

    problems = " ".join(install.status()["problems"])
    assert "has no gone" in problems
    assert "nonsense" in problems
    for module in ("mailtool", "searchtool"):
        del sys.modules[module]


def test_a_module_is_looked_for_as_far_as_its_packages_are_imported(tmp_path: Any, monkeypatch: Any) -> None:
    for package in ("shop", "shop/tools"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ("shop", "shop.tols", "shop.tools.mail", "shpo", "shpo.tools", "json.decoder.deeper", "__main__")
    assert [is_there(name) for name in names] == [True, True, True, False, False, False, True]
    import shop  # type: ignore[import-not-found]  # noqa: F401

    assert [is_there(name) for name in names[:3]] == [True, False, True]
    assert "shop.tools" not in sys.modules
    del sys.modules["shop"]


def test_arguments_and_results_only_when_captured(make_house: Any) -> None:
    @spanledger.plugin
    def mail(to: str, body: str) -> str:
        return "sent"

    house = make_house(OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="SPAN_ONLY")
    mail("ada@example.com", body="hello")
    attributes = house.call_spans[0].attributes
    assert json.loads(attributes["gen_ai.tool.call.arguments"]) == {"to": "[EMAIL]", "body": "hello"}
    assert json.loads(attributes["gen_ai.tool.call.result"]) == {"result": "sent"}


def test_nested_plugins_are_calls_of_their_own(make_house: Any) -> None:
    house = make_house()

    @spanledger.plugin
    def inner() -> int:
        return 1

    @spanledger.plugin
    def outer() -> int:
        return inner() + inner()

    assert outer() == 2
    assert sorted(entry.plugin for entry in house.entries) == ["inner", "inner", "outer"]


def test_a_tool_called_event_reaches_subscribers(make_house: Any) -> None:
    make_house()
    seen: list[Any] = []
    stop = spanledger.subscribe(seen.append)

    @spanledger.plugin
    def search() -> None:
        """Does nothing."""

    search()
    stop()
    search()
    assert [event.name for event in seen] == ["tool_called"]
    assert seen[0].attributes["gen_ai.tool.name"] == "search"


def test_a_callback_that_is_subscribed_twice_has_two_subscriptions(make_house: Any) -> None:
    make_house()
    seen: list[Any] = []
    hear = seen.append
    stop_one, stop_other = spanledger.subscribe(hear), spanledger.subscribe(hear)
    for stop in (stop_one, stop_one, stop_other):
        stop()
        spanledger.plugin(lambda: None)()
    assert len(seen) == 2


def test_a_decorator_that_changes_a_function_s_kind_is_taken_as_it_is(make_house: Any) -> None:
    house = make_house()

    @spanledger.plugin
    @contextlib.contextmanager
    def opened() -> Iterator[int]:
        yield 3

    def blocking(function: Any) -> Any:
        return functools.wraps(function)(lambda: asyncio.run(function()))

    @spanledger.plugin(timeout=10)
    @blocking
    async def fetch() -> int:
        return 4

    with opened() as value:
        assert value == 3
    assert fetch() == 4
    assert [entry.plugin for entry in house.entries] == ["opened", "fetch"]


def test_a_plugin_of_a_plugin_is_one(make_house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("toolbox")
    module.mail = spanledger.plugin(name="post", price="1 USD")(lambda: None)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toolbox", module)
    house = make_house(SPANLEDGER_PLUGINS="toolbox:mail")
    module.mail()
    spanledger.plugin(name="parcel", price="2 USD")(module.mail)()
    assert [(entry.plugin, entry.cost.nano_usd) for entry in house.entries] == [("post", 10**9), ("parcel", 2 * 10**9)]


def test_every_kind_of_coroutine_is_timed_out(make_house: Any) -> None:
    house = make_house()

    class Tool:
        async def __call__(self) -> None:
            await asyncio.Event().wait()

    tool = Tool()
    for made in (tool, functools.partial(tool.__call__), functools.partial(tool)):
        with pytest.raises(TimeoutError):
            asyncio.run(spanledger.plugin(timeout=0.01)(made)())
    assert [entry.error for entry in house.entries] == ["TimeoutError"] * 3


def test_what_cannot_be_called_is_left_alone_and_told(make_house: Any, caplog: pytest.LogCaptureFixture) -> None:
    house = make_house()

    class Tool:
        @spanledger.plugin
        @property
        def size(self) -> int:
            return 3

        @property
        @spanledger.plugin
        def weight(self) -> int:
            return 4

    assert (Tool().size, Tool().weight) == (3, 4)
    assert [entry.plugin for entry in house.entries] == ["weight"]
    assert "@plugin: a property cannot be called and is not recorded; put @plugin below what makes it one" in caplog.text


def test_what_is_named_and_is_no_function_stays_what_it_is(make_house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Box:
        @property
        def size(self) -> int:
            return 3

    module = types.ModuleType("shelf")
    module.Box, module.LIMIT = Box, 5  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shelf", module)
    make_house(SPANLEDGER_PLUGINS="shelf:LIMIT, shelf:Box.size")
    from spanledger import install

    assert (type(module.LIMIT), Box().size) == (int, 3)
    problems = " ".join(install.status()["problems"])
    assert "module shelf has no LIMIT; expected the name of a function in it" in problems
    assert "module shelf has no Box.size" in problems


def test_a_coroutine_is_timed_out_in_other_loops_too(make_house: Any) -> None:
    house = make_house()

    @spanledger.plugin(timeout=0.05)
    async def wait(seconds: float) -> str:
        await trio.sleep(seconds)
        return "done"

    assert trio.run(wait, 0) == "done"
    with pytest.raises(TimeoutError, match=r"0\.05 s"):
        trio.run(wait, 30)
    assert [entry.error for entry in house.entries] == [None, "TimeoutError"]


def test_a_coroutine_without_a_loop_takes_the_time_it_takes(make_house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    house = make_house()
    monkeypatch.delitem(sys.modules, "trio", raising=False)

    @spanledger.plugin(timeout=0.05)
    async def answer() -> str:
        return "done"

    with pytest.raises(StopIteration, match="done"):
        answer().send(None)
    assert [entry.error for entry in house.entries] == [None]


@pytest.mark.parametrize("timeout", ["5", True, -1, float("nan"), float("inf"), 10**30, [5]])
def test_a_wrong_timeout_is_told_of_where_it_is_given_and_does_not_count(make_house: Any, caplog: Any, timeout: Any) -> None:
    house = make_house()

    @spanledger.plugin(timeout=timeout)
    def search(query: str) -> str:
        return query

    @spanledger.plugin(timeout=timeout)
    async def search_later(query: str) -> str:
        return query

    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [
        "@plugin(name='search')",
        "@plugin(name='search_later')",
    ]
    assert (search("x"), asyncio.run(search_later("y"))) == ("x", "y")
    assert [entry.error for entry in house.entries] == [None, None]


def test_a_name_alone_is_the_plugins_name(make_house: Any) -> None:
    house = make_house()

    @spanledger.plugin("search", price="7 tokens")
    def look_up() -> str:
        return "found"

    assert look_up() == "found"
    assert [(entry.plugin, entry.usage.input) for entry in house.entries] == [("search", 7)]
