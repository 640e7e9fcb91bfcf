"""Prometheus, the gateway and an application, for dashboards that are asked of real data."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]  # `dashboards` and the examples are folders of the repository, no part of the package

from local_provider import LocalProvider  # noqa: E402  # importable only now


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def eventually(said: Callable[[], Any], *, within: float, what: str) -> Any:
    """What ``said`` returns as soon as it is true."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            if answer := said():
                return answer
        except (OSError, KeyError):
            pass
        time.sleep(0.1)
    return pytest.fail(f"not within {within} s: {what}")


def until_ready(url: str, log: Path) -> None:
    def ready() -> bool:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)

    eventually(ready, within=30, what=f"{url} answers, see {log}")


@contextmanager
def process(log: Path, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is stopped at the end; what it says is in ``log``. Settings of the shell that runs the tests are not passed on."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, env={**inherited, **environment}) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            try:
                running.wait(15)
            except subprocess.TimeoutExpired:
                running.kill()


class Prometheus:
    """A real one."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer. Raises AssertionError with Prometheus's own words if it refuses."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refusal:
            raise AssertionError(json.load(refusal)["error"]) from None

    def series(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        return list(self.ask("query", query=expression)["result"])

    def soon(self, expression: str, within: float = 20) -> list[dict[str, Any]]:
        """The same as soon as it is not empty: a subquery sees a value up to one of its steps late."""
        until = time.monotonic() + within
        while not (found := self.series(expression)) and time.monotonic() < until:
            time.sleep(0.5)
        return found

    def names(self) -> set[str]:
        return set(self.ask("label/__name__/values"))


def configured(folder: Path, gateway_metrics: int) -> Path:
    """The shipped configuration and rules, in a hurry: everything is evaluated and scraped every second."""
    shipped = yaml.safe_load((ROOT / "collector" / "prometheus.yaml").read_text())
    rules = yaml.safe_load((ROOT / "collector" / "rules" / "spanledger.rules.yaml").read_text())
    for group in rules["groups"]:
        group["interval"] = "1s"
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    gateway = {"job_name": "spanledger-gateway", "static_configs": [{"targets": [f"127.0.0.1:{gateway_metrics}"]}]}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": ["rules.yaml"], "scrape_configs": [gateway],
        "otlp": shipped["otlp"], "storage": shipped["storage"],
    }  # fmt: skip
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory, binaries: dict[str, Path]) -> Iterator[Prometheus]:
    """After an application has worked for a while: it sends to a gateway, which sends to a Prometheus with the shipped rules."""
    folder = tmp_path_factory.mktemp("stack")
    port, otlp, grpc, health, metrics = free_ports(5)
    server = Prometheus(f"http://127.0.0.1:{port}", folder)
    command = (
        str(binaries["prometheus"]), f"--config.file={configured(folder, metrics)}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--web.enable-otlp-receiver", "--enable-feature=exemplar-storage",
    )  # fmt: skip
    gateway = {
        "SPANLEDGER_STACK_DIR": str(folder), "SPANLEDGER_GATEWAY_GRPC": f"127.0.0.1:{grpc}", "SPANLEDGER_GATEWAY_HTTP": f"127.0.0.1:{otlp}",
        "SPANLEDGER_GATEWAY_HEALTH": f"127.0.0.1:{health}", "SPANLEDGER_GATEWAY_METRICS_PORT": str(metrics),
        "SPANLEDGER_JAEGER": "127.0.0.1:1", "SPANLEDGER_PROMETHEUS": f"{server.url}/api/v1/otlp",
    }  # fmt: skip
    with process(folder / "prometheus.log", *command):
        until_ready(f"{server.url}/-/ready", folder / "prometheus.log")
        with process(folder / "gateway.log", str(binaries["collector"]), "--config", str(ROOT / "collector" / "gateway.yaml"), **gateway):
            ready = f"http://127.0.0.1:{health}/"
            eventually(
                lambda: urllib.request.urlopen(ready, timeout=5), within=30, what=f"the gateway is healthy, see {folder}/gateway.log"
            )
            for generation in ("default", "latest"):
                run_application(folder, server, f"http://127.0.0.1:{otlp}", generation)
            until_all_arrived(server)
            yield server


def until_all_arrived(server: Prometheus) -> None:
    """Spans and counters come by different ways: the last of them are here when both count the same operations."""

    def counted(source: str) -> list[str]:
        found = server.series(f'sum(max_over_time(spanledger_recon_operations_total{{source="{source}"}}[1h]))')
        return [series["value"][1] for series in found]

    eventually(lambda: counted("span") == counted("sdk") != [], within=30, what="the gateway counts as many operations as the application")
    eventually(lambda: server.series('ALERTS{alertstate="firing"}'), within=30, what="the alarm on a budget that is spent")
    eventually(lambda: server.series("spanledger_recon:discrepancy:ratio1h"), within=30, what="the rules compare the sources")


def run_application(folder: Path, server: Prometheus, endpoint: str, generation: str) -> None:
    """Until Prometheus has two values of each of its series, which a rate needs; with SIGTERM at the end nothing would be flushed."""
    stop = folder / f"stop-{generation}"
    with LocalProvider() as provider:
        environment = {
            "SPANLEDGER_SEMCONV": generation, "SPANLEDGER_LEDGER": f"sqlite:///{folder / generation}.db", "XDG_STATE_HOME": str(folder),
            "SPANLEDGER_BUDGET_DAY": "1000 USD per day", "SPANLEDGER_BUDGET_DEAR": "0.001 USD per day for model=gpt-4o",
            "SPANLEDGER_BUDGET_SEEN": "5 calls per day, warn at 20%, then warn",
            "OTEL_SERVICE_NAME": f"shop-{generation}", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "none", "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_METRIC_EXPORT_INTERVAL": "500", "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
            "OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "local", "ANTHROPIC_BASE_URL": provider.url, "ANTHROPIC_API_KEY": "local",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip
        program = str(Path(sys.executable).parent / "opentelemetry-instrument")
        application = str(Path(__file__).parent / "application.py")
        log = folder / f"application-{generation}.log"
        with process(log, program, sys.executable, application, str(stop), **environment) as running:
            calls = f'count_over_time(spanledger_calls_total{{service_name="shop-{generation}"}}[5m]) > 3'
            eventually(lambda: len(server.series(calls)) > 5, within=60, what=f"calls arrive in Prometheus, see {folder}")
            stop.touch()
            assert running.wait(30) == 0, log.read_text()
