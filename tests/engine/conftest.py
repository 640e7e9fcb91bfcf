"""A client library of our own with every call shape, and its adapter."""

from __future__ import annotations

import importlib.util
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.engine.adapter import Adapter, Reader, Target
from spanledger.model import Activity, Request, Response, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples"

SOURCE = '''
import asyncio, json


class ProviderError(Exception):
    pass


class Chunk:
    def __init__(self, text, usage=None):
        self.text, self.usage = text, usage


def chunks(fail_at, count=4):
    for n in range(count):
        if n == fail_at:
            raise ProviderError("in the middle")
        yield Chunk(f"word{n} ", (7, 5) if n == count - 1 else None)


class Stream:
    """Iterates like the SDKs' streams: __iter__ is a generator over one inner iterator."""

    def __init__(self, fail_at=None, hang_at=None):
        self.inner, self.closed, self.hang_at, self.read = chunks(fail_at), False, hang_at, 0

    def __next__(self):
        self.read += 1
        return next(self.inner)

    def __iter__(self):
        for item in self.inner:
            yield item

    def close(self):
        self.closed = True

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class AsyncStream:
    def __init__(self, fail_at=None, hang_at=None):
        self.inner, self.closed, self.hang_at, self.read = chunks(fail_at), False, hang_at, 0

    async def __anext__(self):
        if self.read == self.hang_at:
            await asyncio.Event().wait()
        self.read += 1
        await asyncio.sleep(0)
        try:
            return next(self.inner)
        except StopIteration:
            raise StopAsyncIteration from None

    async def __aiter__(self):
        while True:
            try:
                yield await self.__anext__()
            except StopAsyncIteration:
                return

    async def close(self):
        self.closed = True

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        await self.close()


class HelperStream:
    """Like anthropic's MessageStream: its own iterator over a raw stream, and other ways to read it."""

    def __init__(self, raw):
        self._raw = raw
        self.text_stream = self._texts()

    def __next__(self):
        return next(self._raw)

    def __iter__(self):
        for item in self._raw:
            yield item

    def _texts(self):
        for item in self:
            yield item.text

    def close(self):
        self._raw.close()


class Manager:
    sent = 0

    def __init__(self, fail, fail_at):
        self.fail, self.fail_at, self.stream = fail, fail_at, None

    def __enter__(self):
        Manager.sent += 1
        if self.fail:
            raise ProviderError("before")
        self.stream = HelperStream(Stream(self.fail_at))
        return self.stream

    def __exit__(self, *exc):
        if self.stream:
            self.stream.close()


class AsyncHelperStream:
    def __init__(self, raw):
        self._raw = raw

    async def __anext__(self):
        return await self._raw.__anext__()

    async def __aiter__(self):
        async for item in self._raw:
            yield item

    async def close(self):
        await self._raw.close()


class AsyncManager:
    def __init__(self, fail, fail_at, hang_at):
        self.args, self.stream = (fail, fail_at, hang_at), None

    async def __aenter__(self):
        fail, fail_at, hang_at = self.args
        if fail:
            raise ProviderError("before")
        self.stream = AsyncHelperStream(AsyncStream(fail_at, hang_at))
        return self.stream

    async def __aexit__(self, *exc):
        if self.stream:
            await self.stream.close()


class Http:
    def __init__(self, body, closed):
        self.content, self.is_closed, self.headers = body, closed, {"content-type": "application/json"}


class Raw:
    def __init__(self, parsed, closed):
        self.http_response, self.parsed = Http(json.dumps({"text": "hello", "usage": [7, 5]}).encode(), closed), parsed

    def parse(self):
        return self.parsed

    def read(self):
        self.http_response.is_closed = True
        return self.http_response.content

    def close(self):
        self.http_response.is_closed = True


class Base:
    def inherited(self, **kw):
        return Chunk("hello", (7, 5))


class Client(Base):
    def plain(self, *, fail=False, **kw):
        if fail:
            raise ProviderError("before")
        return Chunk("hello", (7, 5))

    async def coroutine(self, *, fail=False, hang=False, **kw):
        await asyncio.sleep(0)
        if hang:
            await asyncio.Event().wait()
        if fail:
            raise ProviderError("before")
        return Chunk("hello", (7, 5))

    def returns_coroutine(self, **kw):
        return self._really(**kw)

    async def _really(self, *, fail=False, hang=False, **kw):
        return await Client.coroutine.__wrapped__(self, fail=fail, hang=hang) if hasattr(Client.coroutine, "__wrapped__") else await self.coroutine(fail=fail, hang=hang)

    def stream(self, *, fail=False, fail_at=None, **kw):
        if fail:
            raise ProviderError("before")
        return Stream(fail_at)

    async def coroutine_stream(self, *, fail=False, fail_at=None, hang_at=None, **kw):
        await asyncio.sleep(0)
        if fail:
            raise ProviderError("before")
        return AsyncStream(fail_at, hang_at)

    def generator_object(self, *, fail=False, fail_at=None, **kw):
        if fail:
            raise ProviderError("before")
        return chunks(fail_at)

    async def async_generator_object(self, *, fail=False, fail_at=None, hang_at=None, **kw):
        if fail:
            raise ProviderError("before")
        return aiter(AsyncStream(fail_at, hang_at))

    def generator(self, *, fail=False, fail_at=None, **kw):
        if fail:
            raise ProviderError("before")
        yield from chunks(fail_at)

    async def async_generator(self, *, fail=False, fail_at=None, hang_at=None, **kw):
        if fail:
            raise ProviderError("before")
        n = 0
        for item in chunks(fail_at):
            if n == hang_at:
                await asyncio.Event().wait()
            n += 1
            yield item

    def manager(self, *, fail=False, fail_at=None, **kw):
        return Manager(fail, fail_at)

    def async_manager(self, *, fail=False, fail_at=None, hang_at=None, **kw):
        return AsyncManager(fail, fail_at, hang_at)

    def raw(self, *, fail=False, **kw):
        if fail:
            raise ProviderError("before")
        return Raw(Chunk("hello", (7, 5)), True)

    def raw_stream(self, *, fail=False, fail_at=None, **kw):
        if fail:
            raise ProviderError("before")
        return Raw(Stream(fail_at), False)

    @staticmethod
    def static(*, n=1):
        return Chunk("hello", (7, 5))

    @classmethod
    def klass(cls, *, n=1):
        return Chunk(cls.__name__, (7, 5))
'''


def _usage(pair: Any) -> Usage:
    return Usage(pair[0], pair[1])


def _request(_instance: Any, _args: tuple[Any, ...], kwargs: Any) -> Request:
    return Request("chat", Activity.LLM, "openai", "fake-model", stream="stream" in kwargs.get("kind", ""), content="hello world")


def _response(result: Any, into: Response) -> None:
    into.usage, into.finish_reasons = _usage(result.usage), ["stop"]


def _chunk(event: Any, into: Response) -> None:
    into.text.append(event.text)
    if event.usage:
        into.usage, into.finish_reasons, into.complete = _usage(event.usage), ["stop"], True


METHODS = (
    "plain", "coroutine", "returns_coroutine", "stream", "coroutine_stream", "generator", "async_generator", "generator_object",
    "async_generator_object", "raw", "raw_stream", "static", "klass", "inherited",
)  # fmt: skip


@dataclass
class Fake:
    module: Any
    adapter: Adapter


@pytest.fixture
def fake() -> Iterator[Fake]:
    """The library, imported fresh, and its adapter."""
    module = types.ModuleType("fakelib")
    exec(SOURCE, vars(module))  # a library needs a module of its own that tests can import and forget
    sys.modules["fakelib"] = module
    reader = Reader(request=_request, response=_response, chunk=_chunk)
    targets = [Target("fakelib", f"Client.{name}", reader) for name in METHODS]
    targets += [Target("fakelib", f"Client.{name}", reader, tap="_raw") for name in ("manager", "async_manager")]
    yield Fake(module, Adapter("fakelib", "fakelib", tuple(targets)))
    del sys.modules["fakelib"]


@pytest.fixture(scope="session")
def provider() -> Iterator[Any]:
    sys.path.insert(0, str(EXAMPLES))
    spec = importlib.util.spec_from_file_location("local_provider", EXAMPLES / "local_provider.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.LocalProvider() as running:
        yield running
    sys.path.remove(str(EXAMPLES))
