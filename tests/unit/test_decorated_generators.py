"""Decorated generators: in force while they run, suspended while their reader does, left once however they end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import inspect
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace

import spanledger
from spanledger import scopes
from spanledger.engine import decorator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator


@spanledger.plugin(name="tool", price="0.001 USD")
def tool() -> None:
    """Does nothing."""


def here() -> tuple[str | None, str | None, str | None]:
    """Who pays for what is called here: workflow, step, customer."""
    scope = scopes.current()
    return scope.workflow, scope.step, scope.keys.get("customer")


NOBODY = (None, None, None)


@spanledger.workflow("stream", customer="acme")
def answers(count: int = 2) -> Generator[Any, Any, str]:
    for _ in range(count):
        tool()
        yield here()
    return "done"


def statuses(house: Any) -> list[str]:
    house.settle()
    return [execution.status for execution in house.runtime.ledger.executions()]


def test_a_generator_is_in_force_while_it_runs_and_only_then(make_house: Any, caplog: Any) -> None:
    house = make_house()
    outside = otel_context.get_current()
    seen = []
    for inside in answers():
        seen.append(inside)
        assert here() == NOBODY
        assert otel_context.get_current() == outside
    assert seen == [("stream", None, "acme")] * 2
    assert [(entry.workflow, dict(entry.keys)) for entry in house.entries] == [("stream", {"customer": "acme"})] * 2
    (execution,) = house.runtime.ledger.executions()
    assert (execution.status, execution.totals["plugin"].calls) == ("completed", 2)
    assert not caplog.records


def test_nothing_begins_before_the_first_item_is_asked_for(make_house: Any) -> None:
    house = make_house()
    running = answers()
    assert house.log_events() == []
    running.close()
    assert statuses(house) == []


def test_a_decorated_generator_is_a_generator_function_still() -> None:
    @spanledger.step("later")
    async def later() -> AsyncGenerator[int]:
        yield 1

    assert inspect.isgeneratorfunction(answers)
    assert inspect.isasyncgenfunction(later)
    assert (answers.__name__, later.__name__) == ("answers", "later")


def test_what_is_sent_thrown_and_returned_passes(make_house: Any) -> None:
    make_house()

    @spanledger.scope(customer="acme")
    def echo() -> Generator[Any, Any, Any]:
        got = yield "first"
        try:
            yield got
        except KeyError as error:
            yield ("caught", error.args[0], here()[2])
        return "last"

    running = echo()
    assert next(running) == "first"
    assert running.send("hello") == "hello"
    assert running.throw(KeyError("x")) == ("caught", "x", "acme")
    with pytest.raises(StopIteration) as end:
        next(running)
    assert end.value.value == "last"


def test_an_error_ends_the_run_and_is_the_same_error(make_house: Any) -> None:
    house = make_house()
    problem = ValueError("no")

    @spanledger.workflow("broken")
    def broken() -> Generator[int]:
        yield 1
        raise problem

    with pytest.raises(ValueError, match="no") as caught:
        list(broken())
    assert caught.value is problem
    assert statuses(house) == ["failed"]
    assert here() == NOBODY


@pytest.mark.parametrize("way", ["close", "break", "cycle", "thread"])
def test_a_generator_left_early_is_left_once(make_house: Any, way: str, caplog: Any) -> None:
    house = make_house()
    running = answers(5)
    next(running)
    if way == "close":
        running.close()
        running.close()
    elif way == "thread":
        thread = threading.Thread(target=running.close)
        thread.start()
        thread.join()
    elif way == "cycle":
        cycle: list[Any] = [running]
        cycle.append(cycle)
        del cycle
    del running
    gc.collect()
    assert statuses(house) == ["cancelled"]
    assert len([span for span in house.spans if span.name == "invoke_workflow stream"]) == 1
    assert here() == NOBODY
    assert not caplog.records


def test_spans_opened_inside_stay_inside(make_house: Any, caplog: Any) -> None:
    house = make_house()
    tracer = house.tracer_provider.get_tracer("app")

    @spanledger.workflow("stream")
    def spanning() -> Generator[Any]:
        with tracer.start_as_current_span("inner") as span:
            yield span
            assert trace.get_current_span() is span
            tool()
            yield span

    with tracer.start_as_current_span("outer") as outer:
        for _ in spanning():
            assert trace.get_current_span() is outer
    inner = next(span for span in house.spans if span.name == "inner")
    assert house.call_spans[0].parent.span_id == inner.context.span_id
    assert not caplog.records


def test_generators_within_generators_take_turns(make_house: Any) -> None:
    make_house()

    @spanledger.step("part")
    def part() -> Generator[Any]:
        yield here()
        yield here()

    @spanledger.workflow("whole")
    def whole() -> Generator[Any]:
        for inside in part():
            yield inside, here()

    assert list(whole()) == [(("whole", "part", None), ("whole", None, None))] * 2


def test_two_readers_in_turn_each_have_their_own(make_house: Any) -> None:
    house = make_house()
    assert [one[0] for one in zip(answers(), answers(), strict=True)] == [("stream", None, "acme")] * 2
    assert len({entry.execution for entry in house.entries}) == 2
    assert statuses(house) == ["completed"] * 2


def test_each_item_may_be_read_in_another_context(make_house: Any, caplog: Any) -> None:
    house = make_house()
    running = answers()
    seen = [contextvars.Context().run(next, running) for _ in range(2)]
    with pytest.raises(StopIteration):
        next(running)
    assert seen == [("stream", None, "acme")] * 2
    assert statuses(house) == ["completed"]
    assert not caplog.records


@spanledger.workflow("stream", customer="acme")
async def async_answers() -> AsyncGenerator[Any, Any]:
    got = None
    while True:
        await asyncio.sleep(0)
        tool()
        try:
            got = yield (*here(), got)
        except KeyError:
            return


def test_an_asynchronous_generator_too(make_house: Any, caplog: Any) -> None:
    house = make_house()

    async def main() -> None:
        running = async_answers()
        assert await anext(running) == ("stream", None, "acme", None)
        assert here() == NOBODY
        assert await running.asend("hi") == ("stream", None, "acme", "hi")
        assert here() == NOBODY
        with pytest.raises(StopAsyncIteration):
            await running.athrow(KeyError())
        assert here() == NOBODY

    asyncio.run(main())
    assert [entry.workflow for entry in house.entries] == ["stream"] * 2
    assert statuses(house) == ["completed"]
    assert not caplog.records


@pytest.mark.parametrize("way", ["close", "break", "another task", "cancel"])
def test_an_asynchronous_generator_left_early_is_left_once(make_house: Any, way: str, caplog: Any) -> None:
    house = make_house()

    async def closed(running: AsyncGenerator[Any, Any]) -> None:
        await running.aclose()

    async def read() -> None:
        running = async_answers()
        async for _ in running:
            if way == "cancel":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            else:
                break
        if way == "close":
            await running.aclose()
        elif way == "another task":
            await asyncio.create_task(closed(running))
        assert here() == NOBODY

    async def main() -> None:
        (problem,) = await asyncio.gather(read(), return_exceptions=True)
        assert (problem is None) == (way != "cancel")

    asyncio.run(main())
    gc.collect()
    assert statuses(house) == ["cancelled"]
    assert not caplog.records


def test_an_asynchronous_generator_that_nobody_closes_is_left(make_house: Any) -> None:
    house = make_house()

    @spanledger.workflow("abandoned")
    async def abandoned() -> AsyncGenerator[int]:
        yield 1

    async def start() -> Any:
        running = abandoned()
        await anext(running)
        return running

    loop = asyncio.new_event_loop()
    running = loop.run_until_complete(start())
    loop.close()
    del running
    gc.collect()
    assert statuses(house) == ["cancelled"]


def test_functions_that_make_coroutines_and_partials(make_house: Any) -> None:
    house = make_house()

    async def work(number: int) -> Any:
        await asyncio.sleep(0)
        tool()
        return number, here()[0]

    @spanledger.workflow("made")
    def made(number: int) -> Any:
        return work(number)

    partly = spanledger.workflow("partly")(functools.partial(work, 2))

    async def main() -> list[Any]:
        coroutine = made(1)
        assert here() == NOBODY
        return [await coroutine, await partly(), here()]

    assert asyncio.run(main()) == [(1, "made"), (2, "partly"), NOBODY]
    assert statuses(house) == ["completed"] * 2


def test_a_made_coroutine_that_fails_fails_the_run(make_house: Any) -> None:
    house = make_house()

    @spanledger.workflow("fails")
    def fails() -> Any:
        async def fail() -> None:
            raise KeyError

        return fail()

    with pytest.raises(KeyError):
        asyncio.run(fails())
    assert statuses(house) == ["failed"]


def test_everything_works_uninstalled() -> None:
    assert list(answers()) == [("stream", None, "acme")] * 2
    running = answers()
    next(running)
    running.close()
    assert here() == NOBODY


def with_inside(customer: str = "acme", count: int = 2) -> Generator[Any, Any, None]:
    with spanledger.scope(customer=customer):
        for _ in range(count):
            yield here()


def told(house: Any, caplog: Any) -> int:
    house.settle()
    return sum("decorate the generator instead: @spanledger.scope" in record.getMessage() for record in caplog.records)


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decorator, "_told", set(), raising=False)


@pytest.mark.usefixtures("untold")
def test_a_with_in_a_generator_that_is_read_in_several_contexts_is_told_of_once(make_house: Any, caplog: Any) -> None:
    house = make_house()
    for _ in range(2):
        generator = with_inside()
        seen = [contextvars.copy_context().run(next, generator, None) for _ in range(3)]
        assert seen == [(None, None, "acme"), NOBODY, None]
    assert told(house, caplog) == 1


@pytest.mark.usefixtures("untold")
def test_a_with_in_each_of_two_generators_read_by_turns_is_told_of(make_house: Any, caplog: Any) -> None:
    house = make_house()
    for _ in zip(with_inside(), with_inside("globex"), strict=True):
        pass
    assert told(house, caplog) == 1
    assert here() == NOBODY


@pytest.mark.usefixtures("untold")
def test_a_with_that_is_left_where_it_was_entered_is_not_told_of(make_house: Any, caplog: Any) -> None:
    house = make_house()

    async def stuck() -> None:
        with spanledger.scope(customer="acme"):
            await asyncio.sleep(0)

    with contextlib.contextmanager(with_inside)(count=1):
        list(with_inside())
    coroutine = stuck()
    contextvars.copy_context().run(coroutine.send, None)
    coroutine.close()
    assert told(house, caplog) == 0
