"""The local provider, an application run with and without us, a small client library of our own, and the tools."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.engine.adapter import Adapter, Reader, Target
from spanledger.model import Activity, Request, Response, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
APPLICATION = Path(__file__).parent / "application.py"
sys.path.insert(0, str(ROOT / "examples"))

from local_provider import LocalProvider  # noqa: E402  # importable only now


@pytest.fixture(scope="session")
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as running:
        yield running


@pytest.fixture
def load_tool() -> Callable[[str], Any]:
    """``load_tool("budget_fire")`` -> the module of that name in tests/tools."""

    def load(name: str) -> Any:
        spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "tools" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    return load


# --- an application in a process of its own


@dataclass
class Application:
    """The application with its own home, and what it leaves there."""

    provider: LocalProvider
    home: Path

    @property
    def ledger(self) -> Path:
        return self.home / "books" / "ledger.db"

    @property
    def state(self) -> Path:
        return self.home / "state" / "spanledger"

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a command with a clean environment, our defaults and these variables."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_", "XDG_"))}
        environ = {
            **inherited,
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "SPANLEDGER_LEDGER": f"sqlite:///{self.ledger}",
            "OPENAI_BASE_URL": f"{self.provider.url}/v1",
            "OPENAI_API_KEY": "local",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            **variables,
        }
        program = [str(BIN / command[0]) if (BIN / command[0]).exists() else command[0], *command[1:]]
        return subprocess.run(program, capture_output=True, text=True, env=environ, cwd=self.home, timeout=120, check=False)

    def plain(self, chats: int = 1) -> str:
        """What the application prints without us."""
        done = self.run("python", str(APPLICATION), str(chats))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def instrumented(self, chats: int = 1, prefix: tuple[str, ...] = (), **variables: str) -> subprocess.CompletedProcess[str]:
        """The same application under ``opentelemetry-instrument``; ``prefix`` goes before the command."""
        command = ("opentelemetry-instrument", "python", str(APPLICATION), str(chats))
        return self.run(*prefix, str(BIN / command[0]), *command[1:], **variables)


@pytest.fixture
def application(provider: LocalProvider, tmp_path: Path) -> Application:
    return Application(provider, tmp_path)


@pytest.fixture(scope="session")
def plain(provider: LocalProvider, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the application prints without us; the provider answers everybody the same."""
    return Application(provider, tmp_path_factory.mktemp("plain")).plain()


# --- a client library in this process


SOURCE = '''
class ProviderError(Exception):
    pass


class Piece:
    def __init__(self, text, usage=None):
        self.text, self.usage = text, usage


class Stream:
    """Four pieces; the last one tells the usage."""

    def __init__(self, pieces):
        self.pieces = iter(pieces)

    def __iter__(self):
        return self.pieces

    def __next__(self):
        return next(self.pieces)

    def close(self):
        pass


def pieces(usage):
    return [Piece("one "), Piece("two "), Piece("three "), Piece("four", usage)]


class Client:
    """Counts what it is asked, so that a test can see what was sent."""

    def __init__(self):
        self.sent = 0

    def ask(self, *, usage=(7, 5), fail=False, **kw):
        self.sent += 1
        if fail:
            raise ProviderError("told by the provider")
        return Piece("hello", usage)

    async def ask_async(self, *, usage=(7, 5), fail=False, **kw):
        self.sent += 1
        if fail:
            raise ProviderError("told by the provider")
        return Piece("hello", usage)

    def stream(self, *, usage=(7, 5), **kw):
        self.sent += 1
        return Stream(pieces(usage))
'''


def _usage(told: Any) -> Usage:
    return Usage(told[0], told[1])


def request(_instance: Any, _args: tuple[Any, ...], kwargs: Any) -> Request:
    asked = kwargs.get("usage", (7, 5))
    words = "word " * asked[0]  # estimated at more tokens than the "provider" will count
    return Request("chat", Activity.LLM, "openai", "gpt-4o-mini", stream=kwargs.get("streams", False), max_output=asked[1], content=words)


def response(result: Any, into: Response) -> None:
    into.usage, into.finish_reasons = _usage(result.usage), ["stop"]


def chunk(event: Any, into: Response) -> None:
    into.text.append(event.text)
    if event.usage:
        into.usage, into.finish_reasons, into.complete = _usage(event.usage), ["stop"], True


@dataclass
class Library:
    """The library, imported fresh."""

    module: Any

    def adapter(self, **readers: Any) -> Adapter:
        """Its adapter, some of whose readers may be replaced."""
        reader = Reader(**{"request": request, "response": response, "chunk": chunk, **readers})
        return Adapter(
            "smalllib", "smalllib", tuple(Target("smalllib", f"Client.{name}", reader) for name in ("ask", "ask_async", "stream"))
        )


@pytest.fixture
def library() -> Iterator[Library]:
    module = types.ModuleType("smalllib")
    exec(SOURCE, vars(module))
    sys.modules["smalllib"] = module
    yield Library(module)
    del sys.modules["smalllib"]
