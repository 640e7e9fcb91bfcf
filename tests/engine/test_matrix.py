"""Every call shape with every way of ending it: one span, one entry, right numbers, nothing left open, no context left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context

from spanledger.engine.call import Call, current_call, library_in_call

if TYPE_CHECKING:
    from collections.abc import Callable

EXACT, CUT = ("exact", 7, 5), ("estimated", None, None)
KIND = {"kind": "stream"}


class BodyError(Exception):
    """The application's own."""


def _read_sync(stream: Any, ending: str) -> None:
    for seen, _ in enumerate(stream, 1):
        if seen == 2 and ending == "body_error":
            raise BodyError
        if seen == 2 and ending in ("break", "close", "gc"):
            break
    if ending == "close":
        stream.close()


async def _read_async(stream: Any, ending: str) -> None:
    seen = 0
    async for _ in stream:
        seen += 1
        if seen == 2 and ending == "body_error":
            raise BodyError
        if seen == 2 and ending in ("break", "close", "gc"):
            break
    if ending == "close":
        await (stream.aclose() if hasattr(stream, "asend") else stream.close())


def _arguments(ending: str) -> dict[str, Any]:
    if ending == "error_before":
        return {"fail": True, **KIND}
    return {"fail_at": 2, **KIND} if ending == "error_mid" else dict(KIND)


def stream(client: Any, ending: str) -> None:
    _read_sync(client.stream(**_arguments(ending)), ending)


def with_stream(client: Any, ending: str) -> None:
    with client.stream(**_arguments(ending)) as opened:
        _read_sync(opened, ending)


def generator(client: Any, ending: str) -> None:
    _read_sync(client.generator(**_arguments(ending)), ending)


def generator_object(client: Any, ending: str) -> None:
    _read_sync(client.generator_object(**_arguments(ending)), ending)


def manager(client: Any, ending: str) -> None:
    with client.manager(**_arguments(ending)) as opened:
        _read_sync(opened, ending)


def manager_text_stream(client: Any, ending: str) -> None:
    with client.manager(**_arguments(ending)) as opened:
        _read_sync(opened.text_stream, ending)


def raw_stream(client: Any, ending: str) -> None:
    raw = client.raw_stream(**_arguments(ending))
    parsed = raw.parse()
    del raw
    gc.collect()  # dropping the response object must not end the call: the stream lives on
    _read_sync(parsed, ending)


def plain(client: Any, ending: str) -> None:
    client.plain(fail=ending == "error_before")


def raw(client: Any, ending: str) -> None:
    client.raw(fail=ending == "error_before")


async def coroutine(client: Any, ending: str) -> None:
    await client.coroutine(fail=ending == "error_before", hang=ending in ("cancel", "timeout"))


async def returns_coroutine(client: Any, ending: str) -> None:
    await client.returns_coroutine(fail=ending == "error_before", hang=ending in ("cancel", "timeout"))


def _async_arguments(ending: str) -> dict[str, Any]:
    return {"hang_at": 2, **KIND} if ending in ("cancel", "timeout") else _arguments(ending)


async def coroutine_stream(client: Any, ending: str) -> None:
    await _read_async(await client.coroutine_stream(**_async_arguments(ending)), ending)


async def with_coroutine_stream(client: Any, ending: str) -> None:
    async with await client.coroutine_stream(**_async_arguments(ending)) as opened:
        await _read_async(opened, ending)


async def async_generator_object(client: Any, ending: str) -> None:
    await _read_async(await client.async_generator_object(**_async_arguments(ending)), ending)


async def async_generator(client: Any, ending: str) -> None:
    await _read_async(client.async_generator(**_async_arguments(ending)), ending)


async def async_manager(client: Any, ending: str) -> None:
    async with client.async_manager(**_async_arguments(ending)) as opened:
        await _read_async(opened, ending)


STREAM_ENDINGS = ("ok", "error_before", "error_mid", "body_error", "break", "close", "gc")
SYNC = [(shape, ending) for shape in (plain, raw) for ending in ("ok", "error_before")]
SYNC += [(s, e) for s in (stream, with_stream, generator, generator_object, manager, raw_stream) for e in STREAM_ENDINGS]
SYNC += [(manager_text_stream, e) for e in STREAM_ENDINGS]
ASYNC = [(s, e) for s in (coroutine, returns_coroutine) for e in ("ok", "error_before", "cancel", "timeout")]
ASYNC += [
    (s, e)
    for s in (coroutine_stream, with_coroutine_stream, async_generator, async_generator_object, async_manager)
    for e in (*STREAM_ENDINGS, "cancel", "timeout")
]


def _expected(ending: str) -> tuple[str, str | None]:
    """Usage state and error type."""
    return {
        "ok": ("exact", None),
        "error_before": ("unknown", "fakelib.ProviderError"),
        "error_mid": ("estimated", "fakelib.ProviderError"),
        "body_error": ("estimated", None),
        "break": ("estimated", None),
        "close": ("estimated", None),
        "gc": ("estimated", None),
        "cancel": ("estimated", "asyncio.exceptions.CancelledError"),
        "timeout": ("estimated", "asyncio.exceptions.CancelledError"),
    }[ending]


def _check(house: Any, ending: str, *, streamed: bool) -> None:
    assert otel_context.get_current() == {}, "a context stayed attached"
    (entry,) = house.entries
    (span,) = house.call_spans
    state, error = _expected(ending)
    if not streamed and ending in ("cancel", "timeout"):
        state = "unknown"
    assert (entry.usage.state.value, entry.error) == (state, error)
    assert span.attributes["spanledger.entry.id"] == entry.id
    assert span.attributes["spanledger.usage.state"] == state
    assert span.end_time is not None
    if state == "exact":
        assert (entry.usage.input, entry.usage.output) == (7, 5)
    elif state == "estimated":
        assert entry.usage.input >= 1
        assert entry.usage.output >= 1
    assert house.runtime.open_calls == {}
    assert house.runtime.ledger.open_leases() == 0


@pytest.fixture
def no_detach_errors(caplog: pytest.LogCaptureFixture) -> Any:
    yield
    assert not [r for r in caplog.records if "detach" in r.getMessage()]


@pytest.mark.parametrize(("shape", "ending"), SYNC, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_synchronous(shape: Callable[..., None], ending: str, make_house: Any, fake: Any, no_detach_errors: None) -> None:
    house = make_house(fake.adapter)
    expected = {"error_before": fake.module.ProviderError, "error_mid": fake.module.ProviderError, "body_error": BodyError}.get(ending)
    with pytest.raises(expected) if expected else contextlib.nullcontext():
        shape(fake.module.Client(), ending)
    _check(house, ending, streamed=shape not in (plain, raw))


@pytest.mark.parametrize(("shape", "ending"), ASYNC, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_asynchronous(shape: Callable[..., Any], ending: str, make_house: Any, fake: Any, no_detach_errors: None) -> None:
    house = make_house(fake.adapter)
    client = fake.module.Client()

    async def main() -> None:
        if ending == "timeout":
            await asyncio.wait_for(shape(client, ending), 0.05)
        elif ending == "cancel":
            task = asyncio.ensure_future(shape(client, ending))
            await asyncio.sleep(0.02)
            task.cancel()
            await task
        else:
            await shape(client, ending)

    expected = {
        "error_before": fake.module.ProviderError, "error_mid": fake.module.ProviderError, "body_error": BodyError,
        "timeout": TimeoutError, "cancel": asyncio.CancelledError,
    }.get(ending)  # fmt: skip
    with pytest.raises(expected) if expected else contextlib.nullcontext():
        asyncio.run(main())
    _check(house, ending, streamed=shape not in (coroutine, returns_coroutine))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The calls that are in memory, each with all that was sent, while the garbage collector does not run."""
    begun: list[weakref.ref[Call]] = []
    start = Call.start

    def noted(call: Call) -> None:
        begun.append(weakref.ref(call))
        start(call)

    monkeypatch.setattr(Call, "start", noted)
    gc.disable()
    yield lambda: [call for reference in begun if (call := reference()) is not None]
    gc.enable()
    assert begun


@pytest.mark.parametrize("shape", [plain, raw, stream, with_stream, generator, generator_object, raw_stream])
def test_an_ended_call_is_freed_at_once(shape: Callable[..., None], make_house: Any, fake: Any, calls: Any) -> None:
    make_house(fake.adapter)
    shape(fake.module.Client(), "ok")
    assert not calls()


@pytest.mark.parametrize(
    "shape", [coroutine, returns_coroutine, coroutine_stream, with_coroutine_stream, async_generator, async_generator_object]
)
def test_an_ended_asynchronous_call_is_freed_at_once(shape: Callable[..., Any], make_house: Any, fake: Any, calls: Any) -> None:
    make_house(fake.adapter)
    asyncio.run(shape(fake.module.Client(), "ok"))
    assert not calls()


def test_the_context_of_a_call_that_somebody_keeps_does_not_keep_the_call(make_house: Any, fake: Any, calls: Any) -> None:
    make_house(fake.adapter)
    kept = []
    fake.module.Chunk.__init__ = lambda self, *_: (kept.append(otel_context.get_current()), setattr(self, "usage", (7, 5)))[0]
    fake.module.Client().plain()
    assert not calls()
    token = otel_context.attach(kept[0])
    assert (library_in_call(), current_call()) == (None, None)
    otel_context.detach(token)
