"""The server behind the webhook, in a thread and as a process, alerts for it, and what it wrote."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from spanledger import settings as config
from spanledger.audit.emit import Emitter
from spanledger.audit.receive import Receiver
from spanledger.audit.serve import DEADLINE, AuditServer
from spanledger.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spanledger.ledger.ledger import Ledger

NO_EMITTER = Emitter(config.load({"HOME": "/nonexistent"}))


class Reply(NamedTuple):
    status: int
    body: dict[str, Any]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    """A ledger in a new file."""
    found = SqliteLedger(tmp_path / "ledger.db")
    yield found
    found.close()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of ours from outside but where programs are; the books are in the test's own folder."""
    for name in list(os.environ):
        if name.startswith(("SPANLEDGER_", "OTEL_")) and not name.endswith("_BIN"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SPANLEDGER_LEDGER", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def alert() -> Callable[..., dict[str, Any]]:
    """An alert as Alertmanager sends it: ``alert(fingerprint="...", status="resolved", severity=None, any_label="...")``."""

    def make(
        *, fingerprint: str = "1a30ba71cca2921f", status: str = "firing", summary: str = "llm: span differs from sdk by 3%", **labels: Any
    ) -> dict[str, Any]:
        named = {"alertname": "SpanledgerDiscrepancy", "severity": "critical", "activity_type": "llm", **labels}
        return {
            "status": status,
            "labels": {name: value for name, value in named.items() if value is not None},
            "annotations": {"summary": summary, "description": "not kept"},
            "startsAt": "2026-02-06T13:08:45.828Z",
            "endsAt": "2026-02-06T14:00:00Z" if status == "resolved" else "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example.org:9090/graph?g0.expr=secret_expression",
            "fingerprint": fingerprint,
        }

    return make


@pytest.fixture
def payload() -> Callable[..., dict[str, Any]]:
    """A whole webhook payload, version 4, around alerts."""

    def make(*alerts: Any) -> dict[str, Any]:
        return {
            "version": "4",
            "groupKey": '{}:{alertname="SpanledgerDiscrepancy"}',
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "audit",
            "groupLabels": {"alertname": "SpanledgerDiscrepancy"},
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": "http://alertmanager.example.org:9093",
            "alerts": list(alerts),
        }

    return make


@pytest.fixture
def post() -> Callable[..., Reply]:
    """Sends a body (bytes, or a value as JSON) to a URL; headers given as None are left out."""

    def send(url: str, body: Any, method: str = "POST", **headers: str | None) -> Reply:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        try:
            connection.request(method, parts.path, data, {name: value for name, value in sent.items() if value is not None})
            answer = connection.getresponse()
            return Reply(answer.status, json.loads(answer.read()))
        finally:
            connection.close()

    return send


@pytest.fixture
def serving() -> Iterator[Callable[..., str]]:
    """Runs the server in a thread over a ledger: ``serving(ledger, token=..., host=..., deadline=...)`` gives its URL."""
    running: list[tuple[AuditServer, threading.Thread]] = []

    def start(
        ledger: Ledger, *, token: str | None = None, host: str = "127.0.0.1", deadline: float = DEADLINE, emitter: Emitter = NO_EMITTER
    ) -> str:
        server = AuditServer(host, 0, Receiver(ledger, emitter), token, deadline)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server.url

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


class Process(NamedTuple):
    """A started ``spanledger audit serve``."""

    url: str
    process: subprocess.Popen[str]

    def stop(self) -> tuple[int, str]:
        """Asks it to end; its exit code and what it logged."""
        self.process.terminate()
        _, logged = self.process.communicate(timeout=60)
        return self.process.returncode, logged


@pytest.fixture
def process() -> Iterator[Callable[..., Process]]:
    """Starts ``spanledger audit serve`` with environment variables, and waits for its line."""
    started: list[subprocess.Popen[str]] = []

    def start(**environment: str) -> Process:
        command = [sys.executable, "-m", "spanledger.cli", "audit", "serve", "--port", "0"]
        one = subprocess.Popen(command, text=True, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(one)
        assert one.stdout is not None
        line = one.stdout.readline()
        assert line.startswith("Listening on http://127.0.0.1:"), (line, one.poll())
        return Process(line.removeprefix("Listening on ").strip().rstrip("."), one)

    yield start
    for one in started:
        one.kill()
        one.wait()
        for pipe in (one.stdout, one.stderr):
            if pipe:
                pipe.close()


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits until a condition holds; fails after a minute."""

    def wait(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, f"not within a minute: {what}"
            time.sleep(0.05)

    return wait
