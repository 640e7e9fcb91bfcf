"""Coroutines that are made long before they run, or never run, and what a call starts that outlives it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context

import spanledger
from spanledger.engine import drive
from spanledger.engine.call import library_in_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.engine.runtime import Runtime


@pytest.fixture
def client(make_house: Callable[..., Any], fake: Any) -> Any:
    """A client of the library, and the house as its ``house``."""
    house = make_house(fake.adapter, SPANLEDGER_BUDGET_ACME="1 call per customer per day")
    client = fake.module.Client()
    client.house, client.adapter = house, fake.adapter
    return client


def _open(runtime: Runtime) -> tuple[int, int]:
    return len(runtime.open_calls), runtime.ledger.open_leases()


def test_a_task_that_a_call_started_is_counted_when_the_call_is_over(client: Any) -> None:
    over, tasks = asyncio.Event(), []

    async def later() -> None:
        await over.wait()
        client.plain()

    async def during(**_: Any) -> Any:
        tasks.append(asyncio.create_task(later()))
        return client.plain()  # the library's own nested call is part of this one

    async def main() -> None:
        client._really = during
        await client.returns_coroutine()
        over.set()
        await tasks[0]

    asyncio.run(main())
    assert len(client.house.entries) == 2


def test_a_thread_that_a_call_started_is_counted_when_the_call_is_over(client: Any) -> None:
    over, threads = threading.Event(), []

    def later() -> None:
        assert over.wait(10)
        client.plain()

    class Hook:
        """Starts a thread with the call's context, as OpenTelemetry's threading instrumentation does."""

        def __bool__(self) -> bool:
            context = contextvars.copy_context()
            threads.append(threading.Thread(target=context.run, args=(later,)))
            threads[-1].start()
            return False

    client.plain(fail=Hook())
    over.set()
    threads[0].join()
    assert len(client.house.entries) == 2


@pytest.mark.parametrize("shape", ["coroutine", "async_generator", "generator", "manager", "async_manager"])
def test_a_call_is_made_where_and_when_it_runs(client: Any, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = getattr(client, shape)()
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)

    async def run() -> None:
        with spanledger.workflow("batch", customer="acme"):
            if shape == "coroutine":
                await made
            elif shape == "async_generator":
                assert [item async for item in made]
            elif shape == "generator":
                assert list(made)
            elif shape == "manager":
                with made as stream:
                    assert list(stream)
            else:
                async with made as stream:
                    assert [item async for item in stream]

    asyncio.run(run())
    (entry,) = client.house.entries
    assert (entry.time, entry.workflow, entry.keys) == (2_000_000_000.0, "batch", {"customer": "acme"})
    with pytest.raises(spanledger.BudgetExceeded, match="customer=acme"), spanledger.scope(customer="acme"):
        client.plain()
    assert _open(client.house.runtime) == (0, 0)


def test_a_coroutine_in_the_workflow_it_was_made_in_has_the_time_it_runs(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = client.coroutine()
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    asyncio.run(made)
    (entry,) = client.house.entries
    assert entry.time == 2_000_000_000.0


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_coroutine_that_never_runs_ends_its_call(client: Any) -> None:
    client.returns_coroutine()
    gc.collect()
    client.house.settle()
    (entry,) = client.house.entries
    assert entry.usage.state == "unknown"
    assert _open(client.house.runtime) == (0, 0)


@pytest.mark.parametrize("shape", ["coroutine", "returns_coroutine", "async_manager"])
@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_pending_coroutine_that_is_closed_leaves_no_context(
    client: Any, shape: str, elsewhere: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Pending:
        def __await__(self) -> Any:
            yield

    class Manager:
        async def __aenter__(self) -> None:
            await Pending()

        async def __aexit__(self, *_: object) -> None:
            """Closes nothing."""

    async def enter(manager: Any) -> None:
        async with manager:
            pass

    async def pending(*_: Any) -> None:
        await Pending()

    original = {"coroutine": pending, "returns_coroutine": lambda *_: pending(), "async_manager": lambda *_: Manager()}[shape]
    here = contextvars.copy_context()
    coroutine = _driven_by_hand(client, shape, original)
    running = enter(coroutine) if shape == "async_manager" else coroutine
    here.run(running.send, None)
    (contextvars.copy_context() if elsewhere else here).run(running.close)
    client.house.settle()
    (entry,) = client.house.entries
    assert (entry.usage.state, entry.error) == ("unknown", None)
    assert "Failed to detach" not in caplog.text
    assert elsewhere or here.run(otel_context.get_current) == {}
    assert here.run(library_in_call) is None
    client.plain()
    assert len(client.house.entries) == 2
    assert _open(client.house.runtime) == (0, 0)


def _driven_by_hand(client: Any, shape: str, original: Any) -> Any:
    """The wrapped method of this shape, around another original: what it awaits must be driven by hand."""
    target = next(target for target in client.adapter.targets if target.name == f"Client.{shape}")
    return drive.wrap(original, "fakelib", target)(*([client] if shape == "returns_coroutine" else []))


def test_a_generator_whose_cleanup_raises_is_booked(make_house: Callable[..., Any]) -> None:
    house = make_house()

    @spanledger.plugin
    def numbers() -> Any:
        try:
            yield 1
        finally:
            msg = "cleanup"
            raise ValueError(msg)

    generator = numbers()
    next(generator)
    with pytest.raises(ValueError, match="cleanup"):
        generator.close()
    house.settle()
    assert [entry.plugin for entry in house.entries] == ["numbers"]
    assert _open(house.runtime) == (0, 0)


def test_what_a_plugin_returns_stays_what_it_is(make_house: Callable[..., Any]) -> None:
    house = make_house()

    class Query:
        """Awaitable, and more."""

        def filter(self) -> Query:
            return self

        def __await__(self) -> Any:
            yield from ()
            return 7

    @spanledger.plugin
    def query() -> Query:
        return Query()

    @spanledger.plugin
    def submit() -> asyncio.Task[int]:
        return asyncio.create_task(asyncio.sleep(0, 8))

    async def main() -> None:
        assert await query().filter() == 7
        task = submit()
        assert isinstance(task, asyncio.Task)
        assert await task == 8

    asyncio.run(main())
    assert [entry.plugin for entry in house.entries] == ["query", "submit"]
    assert _open(house.runtime) == (0, 0)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_workflow_whose_coroutine_never_runs_is_left(make_house: Callable[..., Any]) -> None:
    house = make_house()

    async def work() -> None:
        """Never runs."""

    @spanledger.workflow("late")
    def start() -> Any:
        return work()

    start()
    gc.collect()
    house.settle()
    assert [(run.workflow, run.status) for run in house.runtime.ledger.executions()] == [("late", "cancelled")]


def test_a_call_that_times_out_is_booked_by_its_estimate_without_any_budget(make_house: Callable[..., Any], fake: Any) -> None:
    house = make_house(fake.adapter)
    with pytest.raises(fake.module.ProviderError):
        fake.module.Client().plain(fail=True)
    (entry,) = house.entries
    assert (entry.usage.state, entry.usage.output) == ("unknown", 1024)
