"""One workflow, step or scope object used again: in turn, nested, in parallel. Every use is one of its own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spanledger
from spanledger import scopes
from spanledger.engine import runs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@spanledger.plugin(name="tool", price="10 tokens")
def tool() -> None:
    """Does nothing."""


def customer() -> str | None:
    return scopes.current().keys.get("customer")


def test_threads_that_share_a_scope_do_not_keep_it(caplog: Any) -> None:
    acme, together = spanledger.scope(customer="acme"), threading.Barrier(2, timeout=10)

    def job(first: bool) -> list[str | None]:
        with acme:
            together.wait()
            inside = customer()
            if first:  # leaves while the other is inside
                together.wait()
        if not first:
            together.wait()
        return [inside, customer()]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(job, [True, False])) == [["acme", None]] * 2
        assert list(pool.map(lambda _: customer(), range(4))) == [None] * 4
    assert not caplog.records


def test_a_scope_within_itself_ends_with_the_outermost() -> None:
    acme = spanledger.scope(customer="acme")
    with acme:
        with acme, spanledger.scope(customer="other"):
            assert customer() == "other"
        assert customer() == "acme"
    assert customer() is None


@given(script=st.lists(st.sampled_from(["enter a", "enter b", "leave"]), max_size=30))
@settings(max_examples=100, deadline=None)
def test_any_nesting_gives_back_what_was_before(script: list[str]) -> None:
    managers = {name: spanledger.scope(customer=name) for name in "ab"}
    inside: list[str] = []
    for word in script:
        if word != "leave":
            inside.append(word[-1])
            managers[word[-1]].__enter__()
        elif inside:
            managers[inside.pop()].__exit__(None, None, None)
        assert customer() == (inside[-1] if inside else None)
    while inside:
        managers[inside.pop()].__exit__(None, None, None)
    assert customer() is None


def test_each_entry_of_a_workflow_is_a_run_of_its_own(make_house: Any) -> None:
    house = make_house(SPANLEDGER_BUDGET_RUN="15 tokens per workflow")
    request = spanledger.workflow("request")
    entered = []
    for _ in range(3):
        with request as run:
            tool()
            with pytest.raises(spanledger.BudgetExceeded):
                tool()
        entered.append(run)
    executions = list(house.runtime.ledger.executions())
    assert [execution.id for execution in executions] == [run.execution_id for run in entered]
    assert len({run.execution_id for run in entered}) == 3
    assert [run.totals()["plugin"].calls for run in entered] == [1, 1, 1]
    assert request.execution_id == entered[0].execution_id
    assert {entry.execution for entry in house.entries} == {run.execution_id for run in entered}


def test_a_given_execution_id_stays() -> None:
    request = spanledger.workflow("request", execution_id="mine")
    for _ in range(2):
        with request as run:
            assert run.execution_id == scopes.current().execution == "mine"


def _execution_operations(house: Any) -> int:
    house.settle()
    points = house.metric("spanledger.recon.operations")
    return sum(point.value for point in points if point.attributes["spanledger.source"] == "execution")


def test_execution_sums_count_each_run_once(make_house: Any) -> None:
    house = make_house()
    request = spanledger.workflow("request")
    for number in range(1, 5):
        with request:
            tool()
        assert _execution_operations(house) == number


def test_a_run_is_closed_once(make_house: Any) -> None:
    house = make_house()
    with spanledger.workflow("request") as run:
        tool()
    house.settle()
    before = _execution_operations(house)
    runs.closed(run._run)
    runs.closed(run._run)
    assert _execution_operations(house) == before == 1


def test_parallel_runs_of_one_object(make_house: Any, caplog: Any) -> None:
    house = make_house()
    request, step, together = spanledger.workflow("request"), spanledger.step("fetch"), threading.Barrier(3, timeout=10)

    def job(_: int) -> None:
        with request:
            together.wait()
            with step as attempt:
                together.wait()
                assert attempt.attempt == 1
                tool()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(job, range(3)))
    assert len({entry.execution for entry in house.entries}) == 3
    assert {(entry.step, entry.attempt) for entry in house.entries} == {("fetch", 1)}
    assert [execution.totals["plugin"].calls for execution in house.runtime.ledger.executions()] == [1, 1, 1]
    assert not caplog.records


def test_a_step_object_entered_again_is_the_next_attempt(make_house: Any) -> None:
    house = make_house()
    fetch = spanledger.step("fetch")
    with spanledger.workflow("request"):
        for number in (1, 2, 3):
            with fetch as attempt:
                tool()
            assert attempt.attempt == number
    assert [(entry.attempt, entry.superseded) for entry in house.entries] == [(1, True), (2, True), (3, False)]


def test_parallel_tasks_of_one_object() -> None:
    acme = spanledger.scope(customer="acme")

    async def job() -> list[str | None]:
        async with acme:
            await asyncio.sleep(0)
            inside = customer()
        return [inside, customer()]

    async def main() -> list[list[str | None]]:
        return await asyncio.gather(*(job() for _ in range(5)))

    assert asyncio.run(main()) == [["acme", None]] * 5


def test_tasks_begun_inside_may_enter_it_too() -> None:
    acme = spanledger.scope(customer="acme")

    async def job() -> str | None:
        async with acme, spanledger.scope(user="ada"):
            await asyncio.sleep(0)
        return customer()

    async def main() -> None:
        async with acme:
            assert await asyncio.gather(job(), job()) == ["acme", "acme"]
        assert customer() is None

    asyncio.run(main())


def test_entered_in_one_context_and_left_in_another(make_house: Any, caplog: Any) -> None:
    house = make_house()
    request = spanledger.workflow("request")
    contextvars.copy_context().run(request.__enter__)
    contextvars.copy_context().run(request.__exit__, None, None, None)
    assert [execution.status for execution in house.runtime.ledger.executions()] == ["completed"]
    assert {record.name for record in caplog.records} <= {"spanledger"}  # OpenTelemetry has no error to tell of


def test_leaving_what_was_never_entered_does_nothing() -> None:
    spanledger.workflow("request").__exit__(None, None, None)
    assert customer() is None


def test_recursion_of_a_decorated_function(make_house: Any) -> None:
    house = make_house()

    @spanledger.workflow("again")
    def again(more: int) -> None:
        tool()
        if more:
            again(more - 1)

    again(2)
    assert len({entry.execution for entry in house.entries}) == 3
    assert scopes.current() is scopes.NOBODY


@given(st.permutations("abc"))
def test_overlapping_uses_leave_nothing_behind_in_whatever_order_they_are_left(order: list[str]) -> None:
    before = scopes.current()

    def reading(name: str) -> Iterator[None]:
        with spanledger.scope(customer=name):
            yield

    readers = {name: reading(name) for name in "abc"}
    for reader in readers.values():
        next(reader)
    still_open = list(readers)
    for name in order:
        readers[name].close()
        still_open.remove(name)
        expected = {"customer": still_open[-1]} if still_open else before.keys
        assert scopes.current().keys == expected


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_asynchronous_generator_that_is_left_early_leaves_nothing_behind(make_house: Any, asynchronous: bool) -> None:
    """The event loop closes it later, in a task of its own; or it is read on when the scope it was begun in is left."""
    house = make_house()

    async def reading() -> AsyncIterator[None]:
        inner = spanledger.workflow("answer", user="ada")
        if asynchronous:
            async with inner, spanledger.step("read"):
                yield
        else:
            with inner, spanledger.step("read"):
                yield

    async def main() -> None:
        for name in ("acme", "globex"):
            with spanledger.scope(customer=name):
                async for _ in reading():
                    tool()
                    break
            tool()
            await asyncio.sleep(0)
            tool()
        with spanledger.scope(customer="initech"):
            reader = reading()
            await anext(reader)
        with spanledger.scope(customer="hooli"):
            await reader.aclose()
            tool()
        tool()

    asyncio.run(main())
    booked = [(entry.step, entry.keys.get("customer"), entry.keys.get("user")) for entry in house.entries]
    nobody = (None, None, None)
    assert booked == [
        *[("read", "acme", "ada"), nobody, nobody],
        *[("read", "globex", "ada"), nobody, nobody],
        *[(None, "hooli", None), nobody],
    ]
