"""workflow, step and scope: who pays, retries, totals, however a run ends."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import pickle
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.trace import StatusCode

import spanledger
from spanledger import workflows
from spanledger.model import Activity


@spanledger.plugin(name="tool", price="0.001 USD")
def tool(fail: bool = False) -> str:
    if fail:
        message = "no"
        raise ValueError(message)
    return "done"


def test_calls_are_booked_to_the_scope(make_house: Any) -> None:
    house = make_house()
    with spanledger.workflow("answer", execution_id="run-1", customer="acme"), spanledger.scope(user="ada", tries=3):
        tool()
    (entry,) = house.entries
    assert (entry.workflow, entry.execution) == ("answer", "run-1")
    assert dict(entry.keys) == {"customer": "acme", "user": "ada", "tries": "3"}
    span = next(span for span in house.call_spans)
    assert span.attributes["spanledger.scope.customer"] == "acme"
    assert span.attributes["spanledger.execution.id"] == "run-1"


def test_without_a_workflow_the_trace_is_the_execution(make_house: Any) -> None:
    house = make_house()
    with house.tracer_provider.get_tracer("app").start_as_current_span("request") as span:
        tool()
        tool()
    tool()
    trace_id = f"{span.get_span_context().trace_id:032x}"
    executions = [entry.execution for entry in house.entries]
    assert executions[:2] == [trace_id, trace_id]
    assert executions[2] == house.entries[2].trace_id != trace_id


def test_a_retried_step_replaces_and_never_doubles(make_house: Any) -> None:
    house = make_house()
    with spanledger.workflow("answer") as run:
        with pytest.raises(ValueError, match="no"), spanledger.step("fetch"):
            tool(fail=True)
        with spanledger.step("fetch"):
            tool()
        with spanledger.step("other"):
            tool()
    assert [(e.step, e.attempt, e.superseded) for e in house.entries] == [("fetch", 1, True), ("fetch", 2, False), ("other", 1, False)]
    (total,) = house.runtime.ledger.totals()
    assert (total.calls, total.billable_calls) == (3, 2)
    assert (total.nano_usd, total.billable_nano_usd) == (3_000_000, 2_000_000)
    assert run.totals()["plugin"].calls == 3


class Cancelled(BaseException):
    """As trio's, which is known by this name."""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "completed"),
        (ValueError("x"), "failed"),
        (TimeoutError(), "timeout"),
        (asyncio.CancelledError(), "cancelled"),
        (Cancelled(), "cancelled"),
        (BaseExceptionGroup("a nursery's", [Cancelled(), BaseExceptionGroup("inner", [Cancelled()])]), "cancelled"),
        (BaseExceptionGroup("a nursery's", [Cancelled(), ValueError("x")]), "failed"),
    ],
)
def test_totals_are_recorded_however_a_run_ends(make_house: Any, error: BaseException | None, status: str) -> None:
    house = make_house()
    with pytest.raises(type(error)) if error is not None else contextlib.nullcontext(), spanledger.workflow("answer", execution_id="e"):
        tool()
        if error is not None:
            raise error
    (execution,) = house.runtime.ledger.executions()
    assert (execution.status, execution.totals["plugin"].calls, execution.totals["plugin"].nano_usd) == (status, 1, 1_000_000)
    span = next(span for span in house.spans if span.name == "invoke_workflow answer")
    assert span.attributes["spanledger.totals.plugin.calls"] == 1
    assert span.attributes["spanledger.workflow.status"] == status
    names = [record.event_name for record in house.log_events()]
    assert names[0] == "spanledger.workflow_started"
    assert names[-1] == ("spanledger.workflow_completed" if error is None else "spanledger.workflow_failed")


@pytest.mark.parametrize(("end", "status"), [
    (SystemExit(), "completed"), (SystemExit(0), "completed"), (SystemExit(3), "failed"), (SystemExit("no such file"), "failed"),
    (GeneratorExit(), "cancelled"),
])  # fmt: skip
def test_an_orderly_exit_and_a_reader_that_stops_are_no_errors(make_house: Any, end: BaseException, status: str) -> None:
    house = make_house()
    with pytest.raises(type(end)), spanledger.workflow("answer"), spanledger.step("think"):
        raise end
    house.settle()
    (execution,) = house.runtime.ledger.executions()
    failed = status == "failed"
    assert (execution.status, execution.error) == (status, "SystemExit" if failed else None)
    assert {(span.status.status_code, span.attributes.get("error.type")) for span in house.spans} == (
        {(StatusCode.ERROR, "SystemExit")} if failed else {(StatusCode.UNSET, None)}
    )
    assert house.log_events()[-1].event_name == f"spanledger.workflow_{'failed' if failed else 'completed'}"


def test_decorators_make_a_new_run_each_time(make_house: Any) -> None:
    house = make_house()

    @spanledger.workflow("answer", customer="acme")
    def answer() -> str:
        return tool()

    @spanledger.workflow("answer")
    async def answer_later() -> str:
        async with spanledger.step("think", activity="memory"):
            return tool()

    assert (answer(), answer(), asyncio.run(answer_later())) == ("done", "done", "done")
    assert len({entry.execution for entry in house.entries}) == 3
    assert house.entries[2].activity is Activity.MEMORY


def test_keys_that_reports_mean_something_else_by_are_told_of_once(make_house: Any, caplog: Any) -> None:
    make_house()
    workflows._tell_reserved.cache_clear()
    for _ in range(2):
        with spanledger.scope(model="x", customer="acme"), spanledger.workflow("w", execution="7"):
            tool()
    told = sorted(record.getMessage() for record in caplog.records)
    assert [text.partition(":")[0] for text in told] == ["scope key execution", "scope key model"]
    assert told[0].endswith("write spanledger.workflow(name, execution_id=...)")


def test_an_empty_value_of_a_key_is_none(make_house: Any) -> None:
    house = make_house()
    with spanledger.workflow("answer", customer=""), spanledger.scope(user="", agent=None, campaign=0):
        tool()
    (entry,) = house.entries
    assert dict(entry.keys) == {"campaign": "0"}


@pytest.mark.parametrize("kind", [spanledger.workflow, spanledger.step])
def test_a_function_decorated_without_a_call_runs_and_gives_its_name(make_house: Any, kind: Any) -> None:
    house = make_house()

    @kind
    def answer(text: str) -> str:
        return text + tool()

    @kind
    async def answer_later(text: str) -> str:
        return text + tool()

    class Agent:
        @kind
        def method(self, text: str) -> str:
            return text + tool()

        @kind
        @classmethod
        def of_class(cls, text: str) -> str:
            return text + tool()

        @kind
        @staticmethod
        def static(text: str) -> str:
            return text + tool()

    answers = [answer("a "), asyncio.run(answer_later("b ")), Agent().method("c "), Agent.of_class("d "), Agent.static("e ")]
    assert answers == [f"{letter} done" for letter in "abcde"]
    assert answer.__name__ == "answer"
    names = [entry.workflow if kind is spanledger.workflow else entry.step for entry in house.entries]
    assert names == ["answer", "answer_later", "method", "of_class", "static"]


@pytest.mark.parametrize("kind", [spanledger.workflow, spanledger.step])
def test_what_else_can_be_called_runs_when_it_is_decorated_without_a_call(make_house: Any, kind: Any) -> None:
    make_house()
    for function in (tool, functools.partial(tool, False), functools.lru_cache(tool)):
        assert kind(function)() == "done"
    assert (kind(name="x").name, kind(str).name, copy.copy(kind("y")).name) == ("x", "<class 'str'>", "y")


def test_parallel_tasks_and_threads_keep_their_scopes(make_house: Any) -> None:
    house = make_house()

    async def one(customer: str) -> None:
        async with spanledger.scope(customer=customer):
            await asyncio.sleep(0)
            await asyncio.to_thread(tool)

    async def main() -> None:
        async with spanledger.workflow("parallel"):
            await asyncio.gather(*(one(f"c{n}") for n in range(8)))

    asyncio.run(main())
    assert {entry.keys["customer"] for entry in house.entries} == {f"c{n}" for n in range(8)}
    assert {entry.workflow for entry in house.entries} == {"parallel"}


def test_executors_keep_the_scope_with_the_threading_instrumentation(make_house: Any) -> None:
    house = make_house()
    ThreadingInstrumentor().instrument()
    try:
        with spanledger.workflow("pool"), ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: tool(), range(4)))
            thread = threading.Thread(target=tool)
            thread.start()
            thread.join()
    finally:
        ThreadingInstrumentor().uninstrument()
    assert [entry.workflow for entry in house.entries] == ["pool"] * 5


def test_baggage_of_others_is_read_and_ours_is_not_sent_unasked(make_house: Any) -> None:
    house = make_house()
    token = otel_context.attach(baggage.set_baggage("customer", "from-gateway"))
    try:
        with spanledger.scope(user="ada"):
            tool()
            assert dict(baggage.get_all()) == {"customer": "from-gateway"}
    finally:
        otel_context.detach(token)
    assert dict(house.entries[0].keys) == {"customer": "from-gateway", "user": "ada"}


class Unreadable:
    def __str__(self) -> str:
        raise ValueError


def test_a_value_that_is_no_text_costs_its_key_and_not_the_call(make_house: Any, caplog: pytest.LogCaptureFixture) -> None:
    house = make_house()
    carried = otel_context.get_current()
    for key, value in (("tenant", Unreadable()), ("user", None), (5, "five")):
        carried = baggage.set_baggage(key, value, carried)  # type: ignore[arg-type]  # it takes anything
    token = otel_context.attach(carried)
    try:
        with spanledger.scope(customer="acme", agent=Unreadable()):
            tool()
            tool()
    finally:
        otel_context.detach(token)
    assert [dict(entry.keys) for entry in house.entries] == [{"customer": "acme", "5": "five"}] * 2
    told = [record.getMessage() for record in caplog.records]
    assert [text.partition(":")[0] for text in told] == ["scope key agent", "scope key tenant"], "once each"


def test_names_and_ids_that_are_no_text_cost_neither_the_run_nor_the_step(make_house: Any, caplog: pytest.LogCaptureFixture) -> None:
    house = make_house()
    for _ in range(2):
        with (
            spanledger.workflow(Unreadable(), execution_id=Unreadable(), customer="acme"),  # type: ignore[arg-type]
            spanledger.step(Unreadable(), activity=["memory"], attempt=Unreadable()),  # type: ignore[arg-type]
        ):
            tool()
    entries = house.entries
    assert [(entry.workflow, entry.step, entry.attempt, entry.activity) for entry in entries] == [
        ("Unreadable", "Unreadable", 1, "plugin")
    ] * 2
    assert len({entry.execution for entry in entries}) == 2, "runs without an id of theirs get one each"
    told = [record.getMessage().partition(":")[0] for record in caplog.records if "cannot be made text" in record.getMessage()]
    assert told == ["the name of a workflow", "execution_id of a workflow", "the name of a step", "the attempt of a step"], "once each"


def test_baggage_when_asked(make_house: Any) -> None:
    make_house(SPANLEDGER_BAGGAGE="true")
    with spanledger.workflow("answer", customer="acme"):
        assert baggage.get_baggage("customer") == "acme"


def test_everything_works_uninstalled() -> None:
    with spanledger.workflow("answer", customer="acme"), spanledger.step("one"), spanledger.scope(user="ada"):
        assert tool() == "done"
        assert spanledger.totals() == {}


def test_an_unknown_activity_is_reported_not_raised(make_house: Any, caplog: Any) -> None:
    house = make_house()
    with spanledger.workflow("answer"), spanledger.step("x", activity="thinking"):
        tool()
    assert "activity 'thinking' is not known" in caplog.text
    assert house.entries[0].activity is Activity.PLUGIN


def test_budget_exceeded_survives_pickling(make_house: Any) -> None:
    make_house(SPANLEDGER_BUDGET_TINY="1 calls per customer per day")
    with spanledger.scope(customer="acme"):
        tool()
        with pytest.raises(spanledger.BudgetExceeded) as caught:
            tool()
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == str(caught.value)
    assert (error.budget, error.scope, error.limit, error.spent, error.asked) == ("TINY", "customer=acme", 1, 1, 1)


def test_a_workflow_within_a_workflow_is_an_execution_of_its_own(make_house: Any) -> None:
    house = make_house(SPANLEDGER_BUDGET_RUN="1 calls per workflow", SPANLEDGER_BUDGET_JOB="3 calls per job")
    with spanledger.workflow("outer", job="nightly") as outer:
        for _ in range(3):
            with spanledger.workflow("inner"):
                tool()
        with pytest.raises(spanledger.BudgetExceeded, match="budget JOB"), spanledger.workflow("inner"):
            tool()
        assert outer.totals() == {}
    assert {entry.workflow for entry in house.entries} == {"inner"}
    assert len({entry.execution for entry in house.entries}) == 3


@pytest.mark.parametrize("manager", [spanledger.workflow("job"), spanledger.step("job"), spanledger.scope(customer="acme")])
def test_static_and_class_methods_stay_what_they_are_below_a_decorator(make_house: Any, manager: Any) -> None:
    make_house()

    class Jobs:
        @manager
        @staticmethod
        def one(number: int) -> int:
            return number

        @manager
        @classmethod
        def two(cls, number: int) -> tuple[str, int]:
            return cls.__name__, number

    assert (Jobs.one(1), Jobs().one(2), Jobs.two(3), Jobs().two(4)) == (1, 2, ("Jobs", 3), ("Jobs", 4))


@pytest.mark.parametrize("given", [uuid.UUID(int=2**127).int, str(2**70), -(2**63)])
def test_an_id_given_as_an_attempt_costs_no_call(make_house: Any, tmp_path: Any, caplog: Any, given: Any) -> None:
    """No ledger could hold it, nor sweep what was reserved with it."""
    house = make_house(SPANLEDGER_LEDGER=f"sqlite:///{tmp_path}/ledger.db")
    with spanledger.workflow("answer"):
        for attempt in (given, None):
            with spanledger.step("fetch", attempt=attempt):
                tool()
    assert [(entry.attempt, entry.superseded) for entry in house.entries] == [(1, True), (2, False)]
    assert house.runtime.ledger.open_leases() == 0
    assert "is no number of an attempt; the attempts of this run are counted" in caplog.text


def test_a_clock_that_is_set_back_makes_no_run_negative(make_house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    house, now = make_house(), time.time
    with spanledger.workflow("answer"):
        monkeypatch.setattr(time, "time", lambda: now() - 3600)
    (execution,) = house.runtime.ledger.executions()
    assert execution.ended >= execution.started
    (point,) = house.metric("gen_ai.workflow.duration")
    assert (point.count, point.sum >= 0) == (1, True)


def test_names_and_ids_may_be_more_than_text(make_house: Any, caplog: Any) -> None:
    house, id_ = make_house(SPANLEDGER_BUDGET_FLOW="100 calls per workflow for workflow=7"), uuid.uuid4()
    with spanledger.workflow(7, execution_id=id_), spanledger.step(8, attempt="2"), spanledger.step(9, attempt="later"):  # type: ignore[arg-type]
        spanledger.plugin(name=10)(lambda: None)()  # type: ignore[call-overload]
    (entry,), (run,) = house.entries, house.runtime.ledger.executions()
    assert (entry.workflow, entry.execution, entry.step, entry.attempt, entry.plugin) == ("7", str(id_), "9", 1, "10")
    assert run.id == str(id_)
    assert [one.spent for one in house.runtime.ledger.balances(0.0)] == [1]
    assert "step: attempt 'later' is no number of an attempt; the attempts of this run are counted" in caplog.text


def test_an_attempt_without_a_number_comes_after_all_that_have_one() -> None:
    attempts = []
    with spanledger.workflow("answer"):
        for given in (3, 1, None, None):
            with spanledger.step("fetch", attempt=given) as attempt:
                attempts.append(attempt.attempt)
    assert attempts == [3, 1, 4, 5]
