"""The whole of it, for real: an application under ``opentelemetry-instrument``, collectors, Prometheus, Jaeger, and a local provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.ledger.sqlite import SqliteLedger
from spanledger.stack.ports import Ports
from spanledger.stack.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
BIN = Path(sys.executable).parent
SOURCES = ("span", "sdk", "execution", "ledger")


class Views:
    """One stack, one ledger, one provider, and what can be asked of them."""

    def __init__(self, directory: Path, provider: Any) -> None:
        self.directory, self.provider = directory, provider
        self.stack = Stack(directory / "stack", Ports.free())
        self.ledger_path = directory / "ledger.db"
        self.audit_path = directory / "audit.db"
        self.prices_path = directory / "prices.yaml"
        self.prices_path.write_text("aliases: {flaky: openai/gpt-4o-mini, error-400: openai/gpt-4o-mini, slow-0.3: openai/gpt-4o-mini}\n")

    @property
    def environment(self) -> dict[str, str]:
        """What an application runs with."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
        return {
            **inherited,
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
            "SPANLEDGER_LEDGER": f"sqlite:///{self.ledger_path}",
            "SPANLEDGER_PRICES": str(self.prices_path),  # for the names by which the provider is asked to misbehave
            "OTEL_SERVICE_NAME": "demo",
            "OTEL_METRIC_EXPORT_INTERVAL": "2000",
            "OTEL_BSP_SCHEDULE_DELAY": "500",
            "OPENAI_BASE_URL": f"{self.provider.url}/v1",
            "OPENAI_API_KEY": "local",
            "ANTHROPIC_BASE_URL": self.provider.url,
            "ANTHROPIC_API_KEY": "local",
            **self.stack.environment,
        }

    def start(self, *program: str, **environ: str) -> subprocess.Popen[str]:
        """Starts a program of ``examples`` without code of ours in it."""
        command = [str(BIN / "opentelemetry-instrument"), sys.executable, *program]
        return subprocess.Popen(
            command, cwd=EXAMPLES, env=self.environment | environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *program: str, timeout: float = 600, **environ: str) -> str:
        """Runs it to its end; what it printed."""
        process = self.start(*program, **environ)
        out, errors = process.communicate(timeout=timeout)
        assert process.returncode == 0, errors
        return out

    def command(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Runs ``spanledger``."""
        return subprocess.run(
            [sys.executable, "-m", "spanledger.cli", *arguments], env=self.environment, capture_output=True, text=True, timeout=timeout
        )

    def get(self, service: str, path: str, /, **query: str) -> Any:
        """Asks a service, as JSON."""
        url = f"{self.stack.urls[service]}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """A PromQL query's result."""
        found: list[dict[str, Any]] = self.get("prometheus", "/api/v1/query", query=expression)["data"]["result"]
        return found

    def sums(self, measure: str) -> dict[str, Counter[tuple[str, ...]]]:
        """Source -> (activity, state, token type) -> the sum Prometheus has. Several processes tell the same ledger: the largest stands."""
        labels = "source, activity_type, usage_state, token_type"
        name = f"spanledger_recon_{measure}_total"
        largest = f'max by ({labels}, service_name, ledger_id) (max_over_time({name}{{source="ledger"}}[1h]))'
        summed = f'sum by ({labels}) (max_over_time({name}{{source!="ledger"}}[1h]))'
        found: dict[str, Counter[tuple[str, ...]]] = {source: Counter() for source in SOURCES}
        for row in (*self.query(f"sum by ({labels}) ({largest})"), *self.query(summed)):
            metric = row["metric"]
            key = tuple(metric.get(name, "") for name in ("activity_type", "usage_state", "token_type"))
            found[metric["source"]][key] += int(row["value"][1])
        return {source: +counts for source, counts in found.items()}

    def spans(self) -> Iterator[dict[str, Any]]:
        """Every span in the file of spans, attributes as a dictionary."""
        for path in sorted((self.directory / "stack" / "spans").iterdir()):
            for line in path.read_text().splitlines():
                for resource in json.loads(line)["resourceSpans"]:
                    for scope in resource["scopeSpans"]:
                        for span in scope["spans"]:
                            yield {**span, "attributes": {a["key"]: _plain(a["value"]) for a in span.get("attributes", [])}}

    def in_ledger(self) -> Counter[str]:
        """Operations, tokens and nano-USD of the books, by activity."""
        ledger = SqliteLedger(self.ledger_path)
        sums = ledger.sums()
        ledger.close()
        return Counter(
            operations=sum(one.operations for one in sums),
            tokens=sum(one.input + one.cache_read + one.cache_write + one.output + one.reasoning + one.plugin for one in sums),
            cost=sum(one.nano_usd for one in sums),
        )

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Whether it holds within this time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)
        return True


def _plain(value: dict[str, Any]) -> Any:
    if "intValue" in value:
        return int(value["intValue"])
    return next(iter(value.values()), None)


@pytest.fixture(scope="module")
def make_views(binaries: Any, tmp_path_factory: Any) -> Iterator[Callable[[], Views]]:
    """Starts stacks, each with an empty ledger; stops them at the end."""
    sys.path.insert(0, str(EXAMPLES))
    from local_provider import LocalProvider

    made: list[Views] = []
    with LocalProvider() as provider, pytest.MonkeyPatch.context() as environment:

        def make() -> Views:
            views = Views(tmp_path_factory.mktemp("views"), provider)
            made.append(views)
            environment.setenv("SPANLEDGER_LEDGER", f"sqlite:///{views.audit_path}")  # where the webhook writes
            views.stack.start()
            return views

        yield make
        for views in made:
            views.stack.stop()
    sys.path.remove(str(EXAMPLES))


@pytest.fixture
def views(make_views: Callable[[], Views]) -> Views:
    """A stack of this test's own."""
    return make_views()
